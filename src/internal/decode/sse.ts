/**
 * Bytes of UTF-8 in chunks → text → server-sent events, a whole network chunk at a time, by the rules of the WHATWG.
 *
 * Beyond those rules: an event that the end of the stream cuts off before its blank line still counts (llama.cpp leaves
 * out the last one), a field named `error` is an error event (older llama.cpp builds), a line of JSON or `[DONE]` without
 * `data:` is an event (gateways that write an error into a stream), and an object behind an object begins another event.
 * Other lines that are no fields are kept: names of fields are in small letters, so `DATA:` is none.
 */
import { createParser, type EventSourceParser } from "eventsource-parser"

/** One event: its name, where it has one, and its data lines joined. */
export interface ServerSentEvent {
  readonly event: string | undefined
  readonly data: string
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

/** How much is kept of lines that are no fields, in characters. */
const longestStray = 2 ** 14

/** An incremental parser of one stream. `push` and `end` return the events that the text completed. */
export class SseParser {
  readonly #maxEventSize: number
  readonly #parser: EventSourceParser
  readonly #withLf = lineFeeds()
  readonly #withBlankLines = blankLines()
  #events: Array<ServerSentEvent> = []
  #overflow = false
  #isDone = false
  #stray = ""
  #hasStray = false
  /** The pieces of a line whose end has not come: the parser would search all of it anew for each piece. */
  #open: Array<string> = []
  #openSize = 0

  constructor(maxEventSize: number) {
    this.#maxEventSize = maxEventSize
    this.#parser = createParser({
      maxBufferSize: maxEventSize,
      onEvent: ({ data, event }) => {
        if (data.length > maxEventSize) this.#overflow = true
        if (this.#overflow) return
        // What comes after the end is of no interest, whether it comes in the same chunk or later.
        this.#isDone ||= isDone(data)
        this.#events.push({ event, data })
      },
      onError: ({ line = "", type }) => {
        if (type === "max-buffer-size-exceeded") this.#overflow = true
        if (!this.#overflow && type === "unknown-field") this.#readStray(line)
      }
    })
  }

  push(text: string): ReadonlyArray<ServerSentEvent> {
    if (this.#overflow) return []
    this.#events = []
    const lines = this.#withLf(text)
    const end = lines.lastIndexOf("\n") + 1
    if (end > 0) {
      this.#feed(this.#withBlankLines(this.#open.join("") + lines.slice(0, end)))
      this.#open = []
      this.#openSize = 0
    }
    if (end < lines.length) this.#open.push(end === 0 ? lines : lines.slice(end))
    this.#openSize += lines.length - end
    if (this.#openSize > this.#maxEventSize) this.#overflow = true
    return this.#events
  }

  end(): ReadonlyArray<ServerSentEvent> {
    return this.push("\n\n")
  }

  /** The lines so far that are no fields: what a server says that does not speak in events. */
  stray(): string {
    return this.#stray
  }

  /** Whether an event was longer than allowed: nothing after it is to be trusted. */
  overflow(): boolean {
    return this.#overflow
  }

  /** Reads lines that have ended. The parser makes an `Error` of each line that is no field, so many are kept from it. */
  #feed(lines: string): void {
    const few = 4096
    if (!this.#hasStray && lines.length < few) return this.#parser.feed(lines)
    let begin = 0
    for (let at = 0, next = 0; at < lines.length; at = next) {
      next = lines.indexOf("\n", at) + 1
      const line = lines.slice(at, next - 1)
      if (knownLine.test(line)) continue
      this.#parser.feed(lines.slice(begin, at))
      begin = next
      this.#readStray(line)
    }
    this.#parser.feed(lines.slice(begin))
  }

  /** Reads a line that is no field. */
  #readStray(line: string): void {
    this.#hasStray = true
    this.#isDone ||= isDone(line)
    if (line.startsWith("error:")) this.#events.push({ event: "error", data: line.slice(6).replace(/^ /, "") })
    else if (isJsonLine(line) || isDone(line)) this.#events.push({ event: undefined, data: line })
    else if (!this.#isDone && this.#stray.length < longestStray) this.#stray += `${line.slice(0, longestStray)}\n`
  }
}

/** A parser for one stream. `maxEventSize` is in characters. */
export const make = (maxEventSize: number): SseParser => new SseParser(maxEventSize)

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
