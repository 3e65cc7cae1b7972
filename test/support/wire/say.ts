/**
 * Builds what servers send: chunks, events and documents.
 */

/** A server-sent event. */
export const data = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`

/** The end of a stream. */
export const done = "data: [DONE]\n\n"

/** A chunk with one choice. */
export const choice = (choice: object, more: object = {}): object => ({
  id: "c1",
  object: "chat.completion.chunk",
  created: 1,
  model: "m1",
  choices: [{ index: 0, finish_reason: null, ...choice }],
  ...more
})

/** A chunk with a delta. */
export const delta = (delta: object, more: object = {}): object => choice({ delta }, more)

/** The event with a piece of text. */
export const says = (content: string): string => data(delta({ content }))

/** The event with a finish reason. */
export const ends = (reason: string | null = "stop"): string => data(choice({ delta: {}, finish_reason: reason }))

/** The event with pieces of tool calls. */
export const calls = (...pieces: ReadonlyArray<object>): string => data(delta({ tool_calls: pieces }))

/** A completion as one document. */
export const completion = (message: object, more: object = {}): object => ({
  id: "c1",
  object: "chat.completion",
  created: 1,
  model: "m1",
  choices: [{ index: 0, message: { role: "assistant", ...message }, finish_reason: "stop" }],
  ...more
})

/** The bytes of a text. */
export const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
