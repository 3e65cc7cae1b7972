/**
 * Bytes of UTF-8 in chunks → text → server-sent events, a whole network chunk at a time, by the rules of the WHATWG.
 *
 * Beyond those rules: an event that the end of the stream cuts off before its blank line still counts (llama.cpp leaves
 * out the last one), a field named `error` is an error event (older llama.cpp builds), a line of JSON or `[DONE]` without
 * `data:` is an event (gateways that write an error into a stream), and an object behind an object begins another event.
 * Other lines that are no fields are kept: names of fields are in small letters, so `DATA:` is none.
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
  /** The lines so far that are no fields: what a server says that does not speak in events. */
  readonly stray: () => string
  /** Whether an event was longer than allowed: nothing after it is to be trusted. */
  readonly overflow: () => boolean
}

/** The names of fields. */
const fields = ["data", "event", "id", "retry", "error"]

/** Whether a text begins as a stream of events does. */
export const fieldAtStart: RegExp = new RegExp(`^(?:${fields.join("|")})?:`)

/** Whether a text is the beginning of a field, and no more than that. */
export const isCutField = (text: string): boolean => fields.some((field) => `${field}:`.startsWith(text))

/** Whether an event says that the stream is over. */
export const isDone = (data: string): boolean => /^\s*\[DONE\]/i.test(data)

/** A line that the parser knows: blank, a comment or one of its fields. */
const knownLine = /^(?:$|:|(?:data|event|id|retry)(?::|$))/

/**
 * Adds the blank lines of servers that end events with one line break: no JSON goes on with an object behind an object.
 * Takes the lines of one stream.
 */
const blankLines = (): (lines: string) => string => {
  let endedWithObject = false
  return (lines) => {
    const start = endedWithObject && /^data: ?\{/.test(lines) ? "\n" : ""
    endedWithObject = lines.endsWith("}\n")
    return start + (lines.includes("}\ndata:") ? lines.replace(/\}\n(?=data: ?\{)/g, "}\n\n") : lines)
  }
}

const isJsonLine = (line: string): boolean => line.startsWith("{") && line.trimEnd().endsWith("}")

/**
 * Replaces the line ends of one stream by line feeds. At a CR at the end of a chunk, the parser would wait for what
 * follows it, and an event would come one event late.
 */
const lineFeeds = (): (text: string) => string => {
  let endedWithCr = false
  return (text) => {
    const rest = endedWithCr && text.startsWith("\n") ? text.slice(1) : text
    if (text !== "") endedWithCr = text.endsWith("\r")
    return rest.includes("\r") ? rest.replace(/\r\n?/g, "\n") : rest
  }
}

/** A parser for one stream. `maxEventSize` is in characters. */
export const make = (maxEventSize: number): SseParser => {
  // How much is kept of lines that are no fields, in characters.
  const longestStray = 2 ** 14
  let events: Array<ServerSentEvent> = []
  let overflow = false
  let over = false
  let stray = ""
  let hasStray = false
  const parser = createParser({
    maxBufferSize: maxEventSize,
    onEvent: ({ data, event }) => {
      if (data.length > maxEventSize) overflow = true
      if (overflow) return
      // What comes after the end is of no interest, whether it comes in the same chunk or later.
      over ||= isDone(data)
      events.push({ event, data })
    },
    onError: ({ line = "", type }) => {
      if (type === "max-buffer-size-exceeded") overflow = true
      if (!overflow && type === "unknown-field") readStray(line)
    }
  })
  /** Reads a line that is no field. */
  const readStray = (line: string): void => {
    hasStray = true
    over ||= isDone(line)
    if (line.startsWith("error:")) events.push({ event: "error", data: line.slice(6).replace(/^ /, "") })
    else if (isJsonLine(line) || isDone(line)) events.push({ event: undefined, data: line })
    else if (!over && stray.length < longestStray) stray += `${line.slice(0, longestStray)}\n`
  }
  /** Reads lines that have ended. The parser makes an `Error` of each line that is no field, so many are kept from it. */
  const feed = (lines: string): void => {
    const few = 4096
    if (!hasStray && lines.length < few) return parser.feed(lines)
    let begin = 0
    for (let at = 0, next = 0; at < lines.length; at = next) {
      next = lines.indexOf("\n", at) + 1
      const line = lines.slice(at, next - 1)
      if (knownLine.test(line)) continue
      parser.feed(lines.slice(begin, at))
      begin = next
      readStray(line)
    }
    parser.feed(lines.slice(begin))
  }
  const withLf = lineFeeds()
  const withBlankLines = blankLines()
  /** The pieces of a line whose end has not come: the parser would search all of it anew for each piece. */
  let open: Array<string> = []
  let openSize = 0
  const push = (text: string): ReadonlyArray<ServerSentEvent> => {
    if (overflow) return []
    events = []
    const lines = withLf(text)
    const end = lines.lastIndexOf("\n") + 1
    if (end > 0) {
      feed(withBlankLines(open.join("") + lines.slice(0, end)))
      open = []
      openSize = 0
    }
    if (end < lines.length) open.push(end === 0 ? lines : lines.slice(end))
    openSize += lines.length - end
    if (openSize > maxEventSize) overflow = true
    return events
  }
  return { push, end: () => push("\n\n"), stray: () => stray, overflow: () => overflow }
}

const whole = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * A decoder of one body. Bytes that are no UTF-8 become U+FFFD, and byte order marks stay.
 *
 * Runtimes decode what is whole in itself several times faster than what may begin or end within a character. A chunk
 * that ends with ASCII, after another that did, is whole: nearly every chunk of a server is.
 */
export class Utf8 {
  #isBetween = true
  /** For chunks that are not whole in themselves. Its making costs more than most answers' decoding. */
  #streaming: TextDecoder | undefined

  decode(bytes: Uint8Array): string {
    const wasBetween = this.#isBetween
    this.#isBetween = (bytes.at(-1) ?? 0x80) < 0x80
    if (wasBetween && this.#isBetween) return whole.decode(bytes)
    this.#streaming ??= new TextDecoder("utf-8", { ignoreBOM: true })
    return this.#streaming.decode(bytes, { stream: true })
  }

  /** What the end of the body cut off. */
  end(): string {
    return this.#streaming?.decode() ?? ""
  }
}

/** A text without the first half of a character at its end, and that half. No consumer could encode a half. */
export const splitHalf = (text: string): { readonly complete: string; readonly half: string } => {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last < 0xdc00
    ? { complete: text.slice(0, -1), half: text.slice(-1) }
    : { complete: text, half: "" }
}
