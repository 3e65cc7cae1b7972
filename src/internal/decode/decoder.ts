/**
 * Decodes the body of a response with status 200 into ChatEvents, one network chunk at a time.
 *
 * The text of the body decides whether it is a stream or a document, because its `Content-Type` is unreliable: servers
 * answer a request for a stream with plain JSON, declare a stream as JSON, and send an error or a page of HTML with status
 * 200.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { type ErrorInfo, fromBody, fromStreamData, isReport } from "../errors/errorBody.ts"
import { asString, fieldsOf, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { serverName } from "../settingSchemas.ts"
import { Accumulator } from "./accumulator.ts"
import { completionOf, plainTextOf } from "./chunk.ts"
import { JsonScanner, scan } from "./jsonScanner.ts"
import * as Sse from "./sse.ts"
import { Utf8 } from "./sse.ts"
import * as Template from "./template.ts"

/** Why a body is not a complete answer. */
export type Problem =
  | { readonly _tag: "ReportedError"; readonly info: ErrorInfo; readonly body: string }
  | { readonly _tag: "Malformed" | "Truncated"; readonly message: string; readonly body: string }

/** How many values a member of a chunk or of its message counts as. Unknown members are kept, which costs memory. */
const memberCount = 8

type Mode = "undecided" | "events" | "document"

/** Decodes one body. Mutable: each body has its own decoder. */
export class Decoder {
  readonly #utf8 = new Utf8()
  readonly #answer: Accumulator
  readonly #sse: Sse.SseParser
  readonly #template: Template.Template
  readonly #config: LLMConfig
  readonly #contentType: () => string | undefined
  #mode: Mode = "undecided"
  /** Whether the text so far ends with a complete event. */
  #isAtEventStart = false
  #document = ""
  /** Scans the document as it arrives. */
  readonly #scanner: JsonScanner
  #endedWithLf = false
  /** Whether `#hasChunkPerLine` has decided. */
  #hasCheckedLines = false
  #size = 0
  #finished = false

  /** `contentType` is used only if the body does not show what it is. */
  constructor(config: LLMConfig, contentType: () => string | undefined) {
    this.#config = config
    this.#contentType = contentType
    this.#answer = new Accumulator({
      provider: serverName(config),
      origin: originOf(config.baseUrl),
      model: config.model,
      thinkTags: config.wire.thinkTags
    })
    this.#scanner = new JsonScanner(config.maxBodySize, memberCount)
    this.#sse = Sse.make(config.maxEventSize)
    this.#template = Template.make(config.maxEventSize, (chunk) => mayBeError(chunk) ? undefined : plainTextOf(chunk))
  }

  /** Whether `Finish` was emitted. The rest of the body is ignored. */
  get isDone(): boolean {
    return this.#finished
  }

  /** Whether the answer is complete even if the body breaks off now. */
  get isComplete(): boolean {
    return this.#finished || (this.#answer.isFinished && this.#mode === "events")
  }

  /** Whether the body is one document, which emits nothing before its end. */
  get isDocument(): boolean {
    return this.#mode === "document"
  }

  /** The answer so far. Undefined if nothing has arrived. */
  get partial(): ChatResponse | undefined {
    return this.#answer.partial()
  }

  /** Decodes a chunk of the body, and appends its events to `out`. */
  push(bytes: Uint8Array, out: Array<ChatEvent>): Problem | undefined {
    this.#size += bytes.length
    if (this.#finished) return undefined
    const problem = this.#readText(this.#utf8.decode(bytes), out, false)
    if (problem !== undefined || this.isDone || this.#answer.size <= this.#config.maxBodySize) return problem
    return malformed(`The answer is longer than ${this.#config.maxBodySize} characters`, "")
  }

  /** Handles the end of the body: emits `Finish`, or returns why the answer is incomplete. */
  end(out: Array<ChatEvent>): Problem | undefined {
    if (this.#finished) return undefined
    const problem = this.#readText(this.#utf8.end(), out, true)
    if (problem !== undefined || this.isDone) return problem
    if (this.#mode === "document") return this.#readDocument(out) ?? this.finish(out)
    this.#mode = "events"
    const lastProblem = this.#readEvents(this.#sse.end(), out, true)
    if (lastProblem !== undefined || this.isDone) return lastProblem
    this.#answer.end(out)
    if (this.#answer.isFinished || (this.#config.wire.endOfStreamIsComplete && this.partial !== undefined)) {
      return this.finish(out)
    }
    const unparsedProblem = this.#readUnparsed(out, false)
    if (unparsedProblem !== undefined || this.#finished) return unparsedProblem
    this.#answer.flush(out)
    return this.partial === undefined ? empty : unfinished
  }

  /** Ends the answer with `Finish`. A caller may do that if the answer {@link isComplete}. */
  finish(out: Array<ChatEvent>): Problem | undefined {
    this.#answer.end(out)
    const failure = this.#answer.failure
    if (failure !== undefined) return generationFailed(failure, this.#answer.failureMessage)
    const unparsedProblem = this.#mode === "events" && !this.#answer.isFinished
      ? this.#readUnparsed(out, true)
      : undefined
    if (unparsedProblem !== undefined || this.#finished) return unparsedProblem
    if (!this.#answer.hasChoice) return empty
    this.#finished = true
    this.#answer.finish(out)
    return undefined
  }

  #readText(text: string, out: Array<ChatEvent>, atEnd: boolean): Problem | undefined {
    let rest = text
    if (this.#mode === "undecided") {
      // A byte order mark is white space as well.
      rest = (this.#document + text).trimStart()
      this.#document = ""
      this.#mode = this.#decide(rest, atEnd)
    }
    if (this.#mode === "events") return this.#decodeEvents(rest, out)
    this.#document += rest
    if (this.#mode === "document" && this.#hasChunkPerLine(rest)) {
      this.#mode = "events"
      const lines = this.#document
      this.#document = ""
      return this.#decodeEvents(lines, out)
    }
    return this.#mode === "document" && this.#size > this.#config.maxBodySize
      ? malformed(`The answer is longer than ${this.#config.maxBodySize} bytes`, this.#document)
      : undefined
  }

  /** Whether the body has one chunk per line: its first line is an object, and another line starts like one. */
  #hasChunkPerLine(text: string): boolean {
    this.#scanner.read(text)
    const isNext = text.includes("\n{") || (this.#endedWithLf && text.startsWith("{"))
    if (text !== "") this.#endedWithLf = text.endsWith("\n")
    if (!isNext || this.#hasCheckedLines) return false
    this.#hasCheckedLines = true
    const line = this.#document.slice(0, this.#document.indexOf("\n"))
    return this.#scanner.excess === undefined && isRecord(parseJson(line)?.value)
  }

  #decide(text: string, atEnd: boolean): Mode {
    // Enough characters to distinguish a field's name from other text.
    const maxFieldLength = 6
    const start = text.slice(0, maxFieldLength)
    if (start === "") return "undecided"
    if (/^[{["<]/.test(start)) return "document"
    if (this.#contentType()?.includes("event-stream") === true || Sse.fieldAtStart.test(start)) return "events"
    return atEnd || start.length === maxFieldLength ? "document" : "undecided"
  }

  /** Decodes events one by one: by the template if it matches, and otherwise in full. */
  #decodeEvents(text: string, out: Array<ChatEvent>): Problem | undefined {
    const emit = (content: string): void => this.#answer.addPlain(content, out)
    let at = 0
    while (at < text.length) {
      if (this.#isAtEventStart) at = this.#template.read(text, at, emit)
      if (at === text.length) break
      const end = text.indexOf("\n\n", at)
      const next = end === -1 ? text.length : end + 2
      const event = text.slice(at, next)
      const before = out.length
      const problem = this.#readEvents(this.#sse.push(event), out, false)
      if (problem !== undefined || this.#finished) return problem
      if (this.#isAtEventStart && end !== -1 && out.length === before + 1) this.#template.learn(event)
      this.#isAtEventStart = end !== -1
      at = next
    }
    return undefined
  }

  #readEvents(
    events: ReadonlyArray<Sse.ServerSentEvent>,
    out: Array<ChatEvent>,
    atEnd: boolean
  ): Problem | undefined {
    for (const event of events) {
      const problem = this.#readEvent(event, out, atEnd)
      if (problem !== undefined || this.#finished) return problem
    }
    return this.#sse.overflow()
      ? malformed(`A server-sent event is longer than ${this.#config.maxEventSize} characters`, "")
      : undefined
  }

  #readEvent({ data, event }: Sse.ServerSentEvent, out: Array<ChatEvent>, atEnd: boolean): Problem | undefined {
    if (event !== undefined && errorName.test(event)) return reported(fromBody(data), data)
    if (isKeepAlive(data) || (event !== undefined && keepAliveName.test(event))) return undefined
    if (Sse.isDone(data)) return this.finish(out)
    // Gateways that wrap the events of another server can write `data: data: …`.
    if (/^data: ?/.test(data)) return this.#readEvent({ event, data: data.replace(/^(?:data: ?)+/, "") }, out, atEnd)
    // Shorter events cannot exceed a limit.
    const minScannedLength = 512
    const excess = data.length > minScannedLength
      ? scan(data, this.#config.maxEventSize, memberCount).excess
      : undefined
    if (excess !== undefined) return malformed(`An event of the answer ${excess}`, data)
    const parsed = parseJson(data)
    if (isReport(event, parsed?.value)) return undefined
    if (parsed !== undefined) return this.#readChunk(parsed.value, data, out)
    const lines = data.split("\n")
    return lines.length === 1 ? notJson(data, atEnd) : this.#readEachLine(lines, event, out, atEnd)
  }

  /** Some servers end events with one line break instead of two. Then each line is an event. */
  #readEachLine(
    lines: ReadonlyArray<string>,
    event: string | undefined,
    out: Array<ChatEvent>,
    atEnd: boolean
  ): Problem | undefined {
    const problem = this.#readEvents(lines.map((data) => ({ event, data })), out, atEnd)
    if (problem?._tag !== "Malformed") return problem
    // A gateway may write an error into an event that it could not complete.
    for (const line of lines) {
      const info = fromStreamData(parseJson(line)?.value)
      if (info !== undefined) return reported(info, line)
    }
    return problem
  }

  #readChunk(value: unknown, data: string, out: Array<ChatEvent>): Problem | undefined {
    const text = value === null ? "" : asString(value)
    if (text !== undefined) {
      if (isKeepAlive(text)) return undefined
      if (Sse.isDone(text)) return this.finish(out)
    }
    const info = isRecord(value) && !mayBeError(value) ? undefined : fromStreamData(value)
    if (info !== undefined) return reported(info, data)
    if (!isRecord(value)) return malformed("An event of the answer is not an object", data)
    this.#answer.add(value, this.isDocument, out)
    return undefined
  }

  /**
   * Reads the lines outside of the events if the events are not a complete answer. The lines may be a document or an
   * error. A document may also be a chunk that lost its `data:`, so it is a complete answer only if it has a finish reason
   * or the events have ended.
   */
  #readUnparsed(out: Array<ChatEvent>, hasEnded: boolean): Problem | undefined {
    const text = this.#sse.unparsedText().trim()
    if (text === "" || Sse.isFieldPrefix(text)) return undefined
    if (this.partial === undefined) {
      this.#mode = "document"
      this.#document = text
      this.#scanner.read(text)
      const isEnded = () => hasEnded || this.#answer.isFinished || this.#config.wire.endOfStreamIsComplete
      return this.#readDocument(out) ?? (isEnded() ? this.finish(out) : unfinished)
    }
    const info = fromStreamData(parseJson(text)?.value)
    return info && reported(info, text)
  }

  #readDocument(out: Array<ChatEvent>): Problem | undefined {
    const body = withoutDone(this.#document.trim())
    const isJson = /^[{[]/.test(body)
    const excess = isJson ? this.#scanner.excess : undefined
    if (excess !== undefined) return malformed(`The answer ${excess}`, body)
    const parsed = parseJson(body)
    if (parsed === undefined) {
      return isJson
        ? truncated("The answer is JSON that is cut off")
        : reported(fromBody(body, this.#contentType()), body)
    }
    const value = completionOf(parsed.value)
    if (itemsOf(fieldsOf(value)["choices"]).length === 0) {
      const info = fromStreamData(value) ?? fromBody(body, this.#contentType())
      return info.message === "" || !isRecord(value)
        ? malformed("The answer is not a completion", body)
        : reported(info, body)
    }
    return this.#readChunk(value, body, out)
  }
}

/** The document without a `[DONE]` after it. */
const withoutDone = (body: string): string => {
  const maxEndLength = 64
  const end = /\s*(?:data:\s*)?\[DONE\]\s*$/.exec(body.slice(-maxEndLength))?.[0]
  return end === undefined || !/^[{[]/.test(body) ? body : body.slice(0, -end.length).trimEnd()
}

/** The names of events that report an error. */
const errorName = /^(?:error|exception)$/i

const keepAliveName = /^(?:ping|heartbeat|keep-?alive)$/i

const isKeepAlive = (data: string): boolean => {
  if (data.startsWith("{")) return false
  const text = data.trim()
  return text === "" || text.startsWith(":") || keepAliveName.test(text)
}

/** Handles data that is not JSON: an error in words, an event that the end of the body cut off, or malformed data. */
const notJson = (data: string, atEnd: boolean): Problem | undefined => {
  if (/^\s*error\b/i.test(data)) return reported(fromBody(data), data)
  return atEnd && /^\s*[{["]/.test(data) ? undefined : malformed("An event of the answer is not JSON", data)
}

/** A quick check that is false for regular chunks, so that they are not searched for an error. */
const mayBeError = (chunk: JsonRecord): boolean =>
  !Array.isArray(chunk["choices"]) || (chunk["error"] !== undefined && chunk["error"] !== null) ||
  chunk["object"] === "error" || isRecord(fieldsOf(chunk["choices"][0])["error"]) ||
  fieldsOf(chunk["x_groq"])["error"] !== undefined

const reported = (info: ErrorInfo, body: string): Problem => ({ _tag: "ReportedError", info, body })

const malformed = (message: string, body: string): Problem => ({ _tag: "Malformed", message, body })

const originOf = (baseUrl: string): string => URL.canParse(baseUrl) ? new URL(baseUrl).origin : baseUrl

const truncated = (message: string): Problem => ({ _tag: "Truncated", message, body: "" })

const unfinished = truncated("The answer ended with neither a finish reason nor [DONE]")

const empty = truncated("The server sent an empty answer")

const generationFailed = (reason: string, message: string | undefined): Problem =>
  reported({
    message: `The server ended the answer with "${reason}"${message === undefined ? "" : `: ${message}`}`,
    code: reason,
    // The server accepted the request: a reason such as `invalid_tool_call` does not mean that it was invalid.
    status: 500
  }, "")
