/**
 * Bytes of a 200's body → ChatEvents, a whole network chunk at a time.
 *
 * What the body is, is read off the body: servers answer a request for a stream with plain JSON, label a stream as JSON,
 * and send an error or a page of HTML with status 200. A stream and a completion end in the same fold.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { type ErrorInfo, fromBody, fromStreamData, isReport } from "../errors/errorBody.ts"
import { asString, fieldsOf, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { serverName } from "../settings.ts"
import { Accumulator } from "./accumulator.ts"
import { documentOf, plainTextOf } from "./chunk.ts"
import { JsonScanner, scan } from "./jsonScanner.ts"
import * as Sse from "./sse.ts"
import { Utf8 } from "./sse.ts"
import * as Template from "./template.ts"

/** Why a body is no whole answer. */
export type Problem =
  | { readonly _tag: "ServerSaid"; readonly info: ErrorInfo; readonly body: string }
  | { readonly _tag: "Malformed" | "Truncated"; readonly message: string; readonly body: string }

/** For how many values a member of a chunk or of its message counts: those that are not known are collected. */
const memberCount = 8

type Mode = "undecided" | "events" | "whole"

/** The reader of one body. Mutable: one answer is read by one reader. */
export class Decoder {
  readonly #utf8 = new Utf8()
  readonly #answer: Accumulator
  readonly #sse: Sse.SseParser
  readonly #template: Template.Template
  readonly #config: LLMConfig
  readonly #contentType: () => string | undefined
  #mode: Mode = "undecided"
  /** Whether the last event has ended and no other has begun. */
  #isBetween = false
  #whole = ""
  /** The brackets of what is whole, read as it arrives. */
  readonly #brackets: JsonScanner
  /** Whether what is whole ends with a line break, and whether it is known to be one document. */
  #endsLine = false
  #isDocument = false
  #size = 0
  #finished = false

  /** The content type is asked for where the body does not say what it is. */
  constructor(config: LLMConfig, contentType: () => string | undefined) {
    this.#config = config
    this.#contentType = contentType
    this.#answer = new Accumulator({
      provider: serverName(config),
      origin: originOf(config.baseUrl),
      model: config.model,
      thinkTags: config.wire.thinkTags
    })
    this.#brackets = new JsonScanner(config.maxBodySize, memberCount)
    this.#sse = Sse.make(config.maxEventSize)
    this.#template = Template.make(config.maxEventSize, (chunk) => mayBeError(chunk) ? undefined : plainTextOf(chunk))
  }

  /** Whether `Finish` was said: what follows of the body means nothing. */
  get isDone(): boolean {
    return this.#finished
  }

  /** Whether the answer is whole even if the body should break off now. */
  get isComplete(): boolean {
    return this.#finished || (this.#answer.isFinished && this.#mode === "events")
  }

  /** Whether the answer is one document, which says nothing before its end. */
  get isWhole(): boolean {
    return this.#mode === "whole"
  }

  /** What has arrived of the answer, undefined where that is nothing. */
  get partial(): ChatResponse | undefined {
    return this.#answer.partial()
  }

  /** Reads a chunk of the body, and appends what it says to `out`. */
  push(bytes: Uint8Array, out: Array<ChatEvent>): Problem | undefined {
    this.#size += bytes.length
    if (this.#finished) return undefined
    const problem = this.#text(this.#utf8.decode(bytes), out, false)
    if (problem !== undefined || this.isDone || this.#answer.size <= this.#config.maxBodySize) return problem
    return malformed(`The answer is longer than ${this.#config.maxBodySize} characters`, "")
  }

  /** Takes note of the body's end: the answer is whole, or there is a problem. */
  end(out: Array<ChatEvent>): Problem | undefined {
    if (this.#finished) return undefined
    const problem = this.#text(this.#utf8.end(), out, true)
    if (problem !== undefined || this.isDone) return problem
    if (this.#mode === "whole") return this.#readWhole(out) ?? this.finish(out)
    this.#mode = "events"
    const last = this.#read(this.#sse.end(), out, true)
    if (last !== undefined || this.isDone) return last
    this.#answer.end(out)
    if (this.#answer.isFinished || (this.#config.wire.endOfStreamIsComplete && this.partial !== undefined)) {
      return this.finish(out)
    }
    const beside = this.#stray(out, false)
    if (beside !== undefined || this.#finished) return beside
    this.#answer.flush(out)
    return this.partial === undefined ? empty : endless
  }

  /** Says that the answer ended, which is for the caller to know where {@link isComplete} holds. */
  finish(out: Array<ChatEvent>): Problem | undefined {
    this.#answer.end(out)
    const failure = this.#answer.failure
    if (failure !== undefined) return generationFailed(failure, this.#answer.failureMessage)
    const beside = this.#mode === "events" && !this.#answer.isFinished ? this.#stray(out, true) : undefined
    if (beside !== undefined || this.#finished) return beside
    if (!this.#answer.hasChoice) return empty
    this.#finished = true
    this.#answer.finish(out)
    return undefined
  }

  #text(text: string, out: Array<ChatEvent>, atEnd: boolean): Problem | undefined {
    let rest = text
    if (this.#mode === "undecided") {
      // A byte order mark is white space as well.
      rest = (this.#whole + text).trimStart()
      this.#whole = ""
      this.#mode = this.#decide(rest, atEnd)
    }
    if (this.#mode === "events") return this.#events(rest, out)
    this.#whole += rest
    if (this.#mode === "whole" && this.#isOfLines(rest)) {
      this.#mode = "events"
      const lines = this.#whole
      this.#whole = ""
      return this.#events(lines, out)
    }
    return this.#mode === "whole" && this.#size > this.#config.maxBodySize
      ? malformed(`The answer is longer than ${this.#config.maxBodySize} bytes`, this.#whole)
      : undefined
  }

  /** Whether the body turns out to have a chunk a line: its first line is an object, and another line begins as one. */
  #isOfLines(more: string): boolean {
    this.#brackets.read(more)
    const isNext = more.includes("\n{") || (this.#endsLine && more.startsWith("{"))
    if (more !== "") this.#endsLine = more.endsWith("\n")
    if (!isNext || this.#isDocument) return false
    this.#isDocument = true
    const line = this.#whole.slice(0, this.#whole.indexOf("\n"))
    return this.#brackets.excess === undefined && isRecord(parseJson(line)?.value)
  }

  #decide(begun: string, atEnd: boolean): Mode {
    // Enough characters to tell a field's name from other text.
    const longestField = 6
    const start = begun.slice(0, longestField)
    if (start === "") return "undecided"
    if (/^[{["<]/.test(start)) return "whole"
    if (this.#contentType()?.includes("event-stream") === true || Sse.fieldAtStart.test(start)) return "events"
    return atEnd || start.length === longestField ? "whole" : "undecided"
  }

  /** Reads events one by one: those that the template fits, and all others in full. */
  #events(text: string, out: Array<ChatEvent>): Problem | undefined {
    const tell = (piece: string): void => this.#answer.addPlain(piece, out)
    let at = 0
    while (at < text.length) {
      if (this.#isBetween) at = this.#template.read(text, at, tell)
      if (at === text.length) break
      const end = text.indexOf("\n\n", at)
      const next = end === -1 ? text.length : end + 2
      const event = text.slice(at, next)
      const told = out.length
      const problem = this.#read(this.#sse.push(event), out, false)
      if (problem !== undefined || this.#finished) return problem
      if (this.#isBetween && end !== -1 && out.length === told + 1) this.#template.learn(event)
      this.#isBetween = end !== -1
      at = next
    }
    return undefined
  }

  #read(
    events: ReadonlyArray<Sse.ServerSentEvent>,
    out: Array<ChatEvent>,
    atEnd: boolean
  ): Problem | undefined {
    for (const event of events) {
      const problem = this.#event(event, out, atEnd)
      if (problem !== undefined || this.#finished) return problem
    }
    return this.#sse.overflow()
      ? malformed(`A server-sent event is longer than ${this.#config.maxEventSize} characters`, "")
      : undefined
  }

  #event({ data, event }: Sse.ServerSentEvent, out: Array<ChatEvent>, atEnd: boolean): Problem | undefined {
    if (event !== undefined && errorName.test(event)) return said(fromBody(data), data)
    if (isKeepAlive(data) || (event !== undefined && keepAliveName.test(event))) return undefined
    if (Sse.isDone(data)) return this.finish(out)
    // Gateways that wrap the events of another server can write `data: data: …`.
    if (/^data: ?/.test(data)) return this.#event({ event, data: data.replace(/^(?:data: ?)+/, "") }, out, atEnd)
    // Shorter events cannot have too much of anything.
    const shortest = 512
    const excess = data.length > shortest ? scan(data, this.#config.maxEventSize, memberCount).excess : undefined
    if (excess !== undefined) return malformed(`An event of the answer ${excess}`, data)
    const parsed = parseJson(data)
    if (isReport(event, parsed?.value)) return undefined
    if (parsed !== undefined) return this.#chunk(parsed.value, data, out)
    const lines = data.split("\n")
    return lines.length === 1 ? noJson(data, atEnd) : this.#eachLine(lines, event, out, atEnd)
  }

  /** Some servers end an event with one line break where two belong: each line is an event then. */
  #eachLine(
    lines: ReadonlyArray<string>,
    event: string | undefined,
    out: Array<ChatEvent>,
    atEnd: boolean
  ): Problem | undefined {
    const problem = this.#read(lines.map((data) => ({ event, data })), out, atEnd)
    if (problem?._tag !== "Malformed") return problem
    // A gateway may write an error into the midst of an event that it could not finish.
    for (const line of lines) {
      const info = fromStreamData(parseJson(line)?.value)
      if (info !== undefined) return said(info, line)
    }
    return problem
  }

  #chunk(value: unknown, data: string, out: Array<ChatEvent>): Problem | undefined {
    const text = value === null ? "" : asString(value)
    if (text !== undefined) {
      if (isKeepAlive(text)) return undefined
      if (Sse.isDone(text)) return this.finish(out)
    }
    const info = isRecord(value) && !mayBeError(value) ? undefined : fromStreamData(value)
    if (info !== undefined) return said(info, data)
    if (!isRecord(value)) return malformed("An event of the answer is no object", data)
    this.#answer.add(value, this.isWhole, out)
    return undefined
  }

  /**
   * What a body of events says beside its events, where these say too little. A document there may be a chunk that was
   * to be an event, so it is no answer unless it says why it ended, or the events have ended.
   */
  #stray(out: Array<ChatEvent>, hasEnded: boolean): Problem | undefined {
    const text = this.#sse.stray().trim()
    if (text === "" || Sse.isCutField(text)) return undefined
    if (this.partial === undefined) {
      this.#mode = "whole"
      this.#whole = text
      this.#brackets.read(text)
      const isEnded = () => hasEnded || this.#answer.isFinished || this.#config.wire.endOfStreamIsComplete
      return this.#readWhole(out) ?? (isEnded() ? this.finish(out) : endless)
    }
    const info = fromStreamData(parseJson(text)?.value)
    return info && said(info, text)
  }

  #readWhole(out: Array<ChatEvent>): Problem | undefined {
    const body = withoutDone(this.#whole.trim())
    const isJson = /^[{[]/.test(body)
    const excess = isJson ? this.#brackets.excess : undefined
    if (excess !== undefined) return malformed(`The answer ${excess}`, body)
    const parsed = parseJson(body)
    if (parsed === undefined) {
      return isJson
        ? truncated("The answer is JSON that breaks off")
        : said(fromBody(body, this.#contentType()), body)
    }
    const value = documentOf(parsed.value)
    if (itemsOf(fieldsOf(value)["choices"]).length === 0) {
      const info = fromStreamData(value) ?? fromBody(body, this.#contentType())
      return info.message === "" || !isRecord(value)
        ? malformed("The answer is no completion", body)
        : said(info, body)
    }
    return this.#chunk(value, body, out)
  }
}

/** A document without the end of a stream behind it. */
const withoutDone = (body: string): string => {
  const longestEnd = 64
  const end = /\s*(?:data:\s*)?\[DONE\]\s*$/.exec(body.slice(-longestEnd))?.[0]
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

/** What is no JSON: words about an error, the rest of an event that the end of the body cut off, or nonsense. */
const noJson = (data: string, atEnd: boolean): Problem | undefined => {
  if (/^\s*error\b/i.test(data)) return said(fromBody(data), data)
  return atEnd && /^\s*[{["]/.test(data) ? undefined : malformed("An event of the answer is no JSON", data)
}

/** Regular chunks are told apart from errors by a look, not by a search. */
const mayBeError = (chunk: JsonRecord): boolean =>
  !Array.isArray(chunk["choices"]) || (chunk["error"] !== undefined && chunk["error"] !== null) ||
  chunk["object"] === "error" || isRecord(fieldsOf(chunk["choices"][0])["error"]) ||
  fieldsOf(chunk["x_groq"])["error"] !== undefined

const said = (info: ErrorInfo, body: string): Problem => ({ _tag: "ServerSaid", info, body })

const malformed = (message: string, body: string): Problem => ({ _tag: "Malformed", message, body })

const originOf = (baseUrl: string): string => URL.canParse(baseUrl) ? new URL(baseUrl).origin : baseUrl

const truncated = (message: string): Problem => ({ _tag: "Truncated", message, body: "" })

const endless = truncated("The answer ended with neither a finish reason nor [DONE]")

const empty = truncated("The server sent an empty answer")

const generationFailed = (reason: string, message: string | undefined): Problem =>
  said({
    message: `The server ended the answer with "${reason}"${message === undefined ? "" : `: ${message}`}`,
    code: reason,
    // The request was accepted: a reason such as `invalid_tool_call` finds no fault with it.
    status: 500
  }, "")
