/**
 * Finds the turns of stored messages.
 */

interface StoredTurn {
  readonly index: number
  readonly turnId: string
  readonly createdAt: number
  /** The index of the first message. */
  readonly start: number
}

/**
 * The turns of messages that an older release stored without turns. A turn begins at the first
 * message, and at the first of consecutive user messages.
 */
export const fromMessages = (messages: ReadonlyArray<{ readonly role: string }>): ReadonlyArray<StoredTurn> =>
  messages.flatMap(({ role }, start) =>
    start === 0 || (role === "user" && messages[start - 1]?.role !== "user") ? [start] : []
  ).map((start, index) => ({ index, turnId: migratedId(index), createdAt: 0, start }))

/** The id of a turn that an older release stored. */
const migratedId = (index: number): string => `turn-${index}`

/** The messages of the first `count` turns. */
export const messagesOf = <A>(
  { messages, turns }: { readonly messages: ReadonlyArray<A>; readonly turns: ReadonlyArray<StoredTurn> },
  count: number
): ReadonlyArray<A> => messages.slice(0, turns[count]?.start)
