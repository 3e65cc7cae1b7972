/** A client that is measured. */
export interface Peer {
  /** Streams one answer to its end, and gives the number of characters. */
  readonly stream: (onText: (text: string) => void) => Promise<number>
  /** Asks for one answer that is no stream. */
  readonly ask?: () => Promise<string>
}

/** Makes a client of the server at an address that ends in `/v1`. */
export type Make = (baseUrl: string) => Promise<Peer>
