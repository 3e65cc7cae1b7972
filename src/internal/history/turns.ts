/**
 * The turns of stored messages.
 */

/** A turn by the place of its first message. */
interface StoredTurn {
  readonly index: number
  readonly turnId: string
  readonly createdAt: number
  readonly start: number
}

/** The turns of messages that an older release stored: each begins with the first user message after another one. */
export const fromMessages = (messages: ReadonlyArray<{ readonly role: string }>): ReadonlyArray<StoredTurn> =>
  messages.flatMap(({ role }, start) =>
    start === 0 || (role === "user" && messages[start - 1]?.role !== "user") ? [start] : []
  ).map((start, index) => ({ index, turnId: migratedId(index), createdAt: 0, start }))

/** The id of a turn that an older release stored. */
export const migratedId = (index: number): string => `turn-${index}`

/** The messages of the first turns. */
export const messagesOf = <A>(
  { messages, turns }: { readonly messages: ReadonlyArray<A>; readonly turns: ReadonlyArray<StoredTurn> },
  count: number
): ReadonlyArray<A> => messages.slice(0, turns[count]?.start)
