/**
 * Decodes UTF-8 and parses server-sent events, one network chunk at a time, as the WHATWG specifies. In addition:
 *
 * - The last event needs no blank line after it (llama.cpp omits it).
 * - A field named `error` is an error event (older llama.cpp builds).
 * - A line of JSON or `[DONE]` without `data:` is an event (gateways that write an error into a stream).
 * - A JSON object after a JSON object starts another event.
 * - Other lines that are not fields are collected, up to a limit. Field names are case-sensitive: `DATA:` is not a field.
 */
import { createParser, type EventSourceParser } from "eventsource-parser"

/** One event: its name, if it has one, and its joined data lines. */
export interface ServerSentEvent {
  readonly event: string | undefined
  readonly data: string
}

/** The names of fields, including `error`. */
const fieldNames = ["data", "event", "id", "retry", "error"]

/** Matches a text that starts like a stream of events. */
export const fieldAtStart: RegExp = new RegExp(`^(?:${fieldNames.join("|")})?:`)

/** Whether a text is the start of a field's name. */
export const isFieldPrefix = (text: string): boolean => fieldNames.some((field) => `${field}:`.startsWith(text))

/** Whether an event ends the stream. */
export const isDone = (data: string): boolean => /^\s*\[DONE\]/i.test(data)

/** Matches a line that the parser reads: blank, a comment or one of its fields. */
const knownLine = /^(?:$|:|(?:data|event|id|retry)(?::|$))/

/**
 * Returns a function that adds the blank lines that some servers omit between events: two objects in sequence are never
 * one JSON value, so the second starts a new event. Each stream needs its own function.
 */
const blankLineInserter = (): (lines: string) => string => {
  let endedWithObject = false
  return (lines) => {
    const start = endedWithObject && /^data: ?\{/.test(lines) ? "\n" : ""
    endedWithObject = lines.endsWith("}\n")
    return start + (lines.includes("}\ndata:") ? lines.replace(/\}\n(?=data: ?\{)/g, "}\n\n") : lines)
  }
}

const isJsonLine = (line: string): boolean => line.startsWith("{") && line.trimEnd().endsWith("}")

/**
 * Returns a function that replaces the line ends of one stream by line feeds. After a CR at the end of a chunk, the parser
 * would wait for the next character, and emit an event one chunk late.
 */
const lineEndNormalizer = (): (text: string) => string => {
  let endedWithCr = false
  return (text) => {
    const rest = endedWithCr && text.startsWith("\n") ? text.slice(1) : text
    if (text !== "") endedWithCr = text.endsWith("\r")
    return rest.includes("\r") ? rest.replace(/\r\n?/g, "\n") : rest
  }
}

/** The maximum length of {@link SseParser.unparsedText}, and of one line in it, in characters. */
const maxUnparsedLength = 2 ** 14

/** An incremental parser of one stream. `push` and `end` return the events that the text completed. */
export class SseParser {
  readonly #maxEventSize: number
  readonly #parser: EventSourceParser
  readonly #normalizeLineEnds = lineEndNormalizer()
  readonly #insertBlankLines = blankLineInserter()
  #events: Array<ServerSentEvent> = []
  #overflow = false
  #isDone = false
  #unparsed = ""
  #hasUnparsed = false
  /** The fragments of an incomplete line. The parser would search the complete line again for each fragment. */
  #lineFragments: Array<string> = []
  #lineSize = 0

  constructor(maxEventSize: number) {
    this.#maxEventSize = maxEventSize
    this.#parser = createParser({
      maxBufferSize: maxEventSize,
      onEvent: ({ data, event }) => {
        if (data.length > maxEventSize) this.#overflow = true
        if (this.#overflow) return
        // Lines after the end are ignored, in this chunk and in later ones.
        this.#isDone ||= isDone(data)
        this.#events.push({ event, data })
      },
      onError: ({ line = "", type }) => {
        if (type === "max-buffer-size-exceeded") this.#overflow = true
        if (!this.#overflow && type === "unknown-field") this.#readUnparsedLine(line)
      }
    })
  }

  push(text: string): ReadonlyArray<ServerSentEvent> {
    if (this.#overflow) return []
    this.#events = []
    const lines = this.#normalizeLineEnds(text)
    const end = lines.lastIndexOf("\n") + 1
    if (end > 0) {
      this.#feed(this.#insertBlankLines(this.#lineFragments.join("") + lines.slice(0, end)))
      this.#lineFragments = []
      this.#lineSize = 0
    }
    if (end < lines.length) this.#lineFragments.push(end === 0 ? lines : lines.slice(end))
    this.#lineSize += lines.length - end
    if (this.#lineSize > this.#maxEventSize) this.#overflow = true
    return this.#events
  }

  end(): ReadonlyArray<ServerSentEvent> {
    return this.push("\n\n")
  }

  /** The lines so far that are not fields, for servers that send text instead of events. */
  unparsedText(): string {
    return this.#unparsed
  }

  /** Whether an event was too long. Nothing after it is read. */
  overflow(): boolean {
    return this.#overflow
  }

  /** Reads complete lines. The parser creates an `Error` for each line that is not a field, so long texts are filtered. */
  #feed(lines: string): void {
    const maxUnfilteredLength = 4096
    if (!this.#hasUnparsed && lines.length < maxUnfilteredLength) return this.#parser.feed(lines)
    let start = 0
    for (let at = 0, next = 0; at < lines.length; at = next) {
      next = lines.indexOf("\n", at) + 1
      const line = lines.slice(at, next - 1)
      if (knownLine.test(line)) continue
      this.#parser.feed(lines.slice(start, at))
      start = next
      this.#readUnparsedLine(line)
    }
    this.#parser.feed(lines.slice(start))
  }

  /** Reads a line that is not a field. */
  #readUnparsedLine(line: string): void {
    this.#hasUnparsed = true
    this.#isDone ||= isDone(line)
    if (line.startsWith("error:")) this.#events.push({ event: "error", data: line.slice(6).replace(/^ /, "") })
    else if (isJsonLine(line) || isDone(line)) this.#events.push({ event: undefined, data: line })
    else if (!this.#isDone && this.#unparsed.length < maxUnparsedLength) {
      this.#unparsed += `${line.slice(0, maxUnparsedLength)}\n`
    }
  }
}

/** A parser for one stream. `maxEventSize` is in characters. */
export const make = (maxEventSize: number): SseParser => new SseParser(maxEventSize)

const completeDecoder = new TextDecoder("utf-8", { ignoreBOM: true })

/**
 * Decodes one body. Invalid bytes become U+FFFD, and byte order marks are kept.
 *
 * Runtimes decode a complete text several times faster than one that may start or end within a character. A chunk is
 * complete if it and the chunk before it end with ASCII, as nearly all chunks do.
 */
export class Utf8 {
  #endedWithAscii = true
  /** For chunks that are not complete. Created on demand: that costs more than decoding most answers. */
  #streamingDecoder: TextDecoder | undefined

  decode(bytes: Uint8Array): string {
    const startsComplete = this.#endedWithAscii
    this.#endedWithAscii = (bytes.at(-1) ?? 0x80) < 0x80
    if (startsComplete && this.#endedWithAscii) return completeDecoder.decode(bytes)
    this.#streamingDecoder ??= new TextDecoder("utf-8", { ignoreBOM: true })
    return this.#streamingDecoder.decode(bytes, { stream: true })
  }

  /** Returns U+FFFD if the body ended within a character, otherwise an empty text. */
  end(): string {
    return this.#streamingDecoder?.decode() ?? ""
  }
}

/** Splits off a high surrogate at the end of a text, because a consumer cannot encode it without its low surrogate. */
export const splitSurrogate = (text: string): { readonly complete: string; readonly surrogate: string } => {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last < 0xdc00
    ? { complete: text.slice(0, -1), surrogate: text.slice(-1) }
    : { complete: text, surrogate: "" }
}
