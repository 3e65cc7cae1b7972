/**
 * Decodes UTF-8 and parses server-sent events, one network chunk at a time, by the rules of the WHATWG. In addition:
 *
 * - The last event needs no blank line after it (llama.cpp omits it).
 * - A field named `error` is an error event (older llama.cpp builds).
 * - A line of JSON or `[DONE]` without `data:` is an event (gateways that write an error into a stream).
 * - A JSON object after a JSON object starts another event.
 * - Other lines that are not fields are kept. Field names are in lower case, so `DATA:` is not a field.
 */
import { createParser } from "eventsource-parser"

/** One event: its name, if it has one, and its joined data lines. */
export interface ServerSentEvent {
  readonly event: string | undefined
  readonly data: string
}

/** An incremental parser. `push` and `end` return the events that the text completed. */
export interface SseParser {
  readonly push: (text: string) => ReadonlyArray<ServerSentEvent>
  readonly end: () => ReadonlyArray<ServerSentEvent>
  /** The lines so far that are not fields, for servers that send text instead of events. */
  readonly stray: () => string
  /** Whether an event was too long. Nothing after it is read. */
  readonly overflow: () => boolean
}

/** The names of fields. */
const fields = ["data", "event", "id", "retry", "error"]

/** Matches a text that starts like a stream of events. */
export const fieldAtStart: RegExp = new RegExp(`^(?:${fields.join("|")})?:`)

/** Whether a text is only the start of a field. */
export const isCutField = (text: string): boolean => fields.some((field) => `${field}:`.startsWith(text))

/** Whether an event ends the stream. */
export const isDone = (data: string): boolean => /^\s*\[DONE\]/i.test(data)

/** A line that the parser knows: blank, a comment or one of its fields. */
const knownLine = /^(?:$|:|(?:data|event|id|retry)(?::|$))/

/**
 * Adds the blank lines that some servers omit between events. An object after an object is never one JSON value. Each
 * stream needs its own function.
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
 * Replaces the line ends of one stream by line feeds. After a CR at the end of a chunk the parser would wait for the next
 * character, and emit an event one chunk late.
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
  // The maximum number of characters that are kept of lines that are not fields.
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
      // Lines after the end are ignored, in this chunk and in later ones.
      over ||= isDone(data)
      events.push({ event, data })
    },
    onError: ({ line = "", type }) => {
      if (type === "max-buffer-size-exceeded") overflow = true
      if (!overflow && type === "unknown-field") readStray(line)
    }
  })
  /** Reads a line that is not a field. */
  const readStray = (line: string): void => {
    hasStray = true
    over ||= isDone(line)
    if (line.startsWith("error:")) events.push({ event: "error", data: line.slice(6).replace(/^ /, "") })
    else if (isJsonLine(line) || isDone(line)) events.push({ event: undefined, data: line })
    else if (!over && stray.length < longestStray) stray += `${line.slice(0, longestStray)}\n`
  }
  /** Reads complete lines. The parser creates an `Error` for each line that is not a field, so long texts are filtered. */
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
  /** The pieces of an incomplete line. The parser would search the line again for each piece. */
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

const completeText = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Decodes one body. Invalid bytes become U+FFFD, and byte order marks are kept.
 *
 * Runtimes decode a complete text several times faster than one that may start or end within a character. A chunk is
 * complete if it and the chunk before it end with ASCII, as nearly all chunks do.
 */
export class Utf8 {
  #endedWithAscii = true
  /** For chunks that are not complete. Created on demand: that costs more than decoding most answers. */
  #streaming: TextDecoder | undefined

  decode(bytes: Uint8Array): string {
    const startsComplete = this.#endedWithAscii
    this.#endedWithAscii = (bytes.at(-1) ?? 0x80) < 0x80
    if (startsComplete && this.#endedWithAscii) return completeText.decode(bytes)
    this.#streaming ??= new TextDecoder("utf-8", { ignoreBOM: true })
    return this.#streaming.decode(bytes, { stream: true })
  }

  /** The character that the end of the body cut off, as U+FFFD. */
  end(): string {
    return this.#streaming?.decode() ?? ""
  }
}

/** Splits off a high surrogate at the end of a text, because a consumer could not encode it alone. */
export const splitHalf = (text: string): { readonly complete: string; readonly half: string } => {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last < 0xdc00
    ? { complete: text.slice(0, -1), half: text.slice(-1) }
    : { complete: text, half: "" }
}
