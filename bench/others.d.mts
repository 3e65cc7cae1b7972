/** What a client makes of an answer. */
export interface Heard {
  readonly text: string
  readonly reasoning: string
  readonly toolCalls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly arguments: string }>
  /** Undefined where the client tells of a whole answer. */
  readonly error: { readonly name: string; readonly message: string } | undefined
}

/** A client that asks for one answer as a stream. `millis` is its limit for silence, where it has one. */
export interface Client {
  readonly name: string
  readonly ask: (baseUrl: string, millis: number) => Promise<Heard>
}

/** The packages of bench/package.json. */
export const others: ReadonlyArray<Client>

/** A text as it arrives where it is forwarded as bytes. */
export const asBytes: (text: string) => string
