/**
 * Text → server-sent events, a whole network chunk at a time, by the rules of the WHATWG.
 *
 * Beyond those rules: an event that the end of the stream cuts off before its blank line still counts (llama.cpp leaves
 * out the last one), and a field named `error` is an error event (older llama.cpp builds).
 */
import { createParser } from "eventsource-parser"

/** One event: its name, where it has one, and its data lines joined. */
export interface ServerSentEvent {
  readonly event: string | undefined
  readonly data: string
}

/** An incremental parser. `push` and `end` return the events that the text completed. */
export interface SseParser {
  readonly push: (text: string) => ReadonlyArray<ServerSentEvent>
  readonly end: () => ReadonlyArray<ServerSentEvent>
  /** Whether an event was longer than allowed: nothing after it is to be trusted. */
  readonly overflow: () => boolean
}

/** A parser for one stream. `maxEventSize` is in characters. */
export const make = (maxEventSize: number): SseParser => {
  let events: Array<ServerSentEvent> = []
  let overflow = false
  const parser = createParser({
    maxBufferSize: maxEventSize,
    onEvent: ({ data, event }) => {
      if (data.length > maxEventSize) overflow = true
      events.push({ event, data })
    },
    onError: (error) => {
      if (error.type === "max-buffer-size-exceeded") overflow = true
      else if (error.field === "error") events.push({ event: "error", data: error.value ?? "" })
    }
  })
  const push = (text: string): ReadonlyArray<ServerSentEvent> => {
    if (overflow) return []
    events = []
    parser.feed(text)
    return events
  }
  return { push, end: () => push("\n\n"), overflow: () => overflow }
}
