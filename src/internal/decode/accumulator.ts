/**
 * Turns the parsed chunks of one answer into ChatEvents and the final ChatResponse. A document (an answer that is not
 * streamed) is read as a single chunk.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import { ChatResponse, type FinishReason, type Opaque, type Usage } from "../../ChatResponse.ts"
import { asCount, asText, defined, itemsOf, type JsonRecord } from "../json.ts"
import {
  anyChoice,
  contentOf,
  finishReasonOf,
  firstChoice,
  functionCallOf,
  hasContent,
  maxNameLength,
  mergeUsage,
  reasoningOf,
  refusalOf,
  textOf,
  toFinishReason,
  toolCallsChoice,
  toolCallsOf,
  usageOf
} from "./chunk.ts"
import { Members, sizeOf } from "./members.ts"
import { finishEvent, isEmpty } from "./response.ts"
import { splitSurrogate } from "./sse.ts"
import { make as makeThinkTags, type Segment } from "./thinkTags.ts"
import { type PartialCall, ToolCalls } from "./toolCalls.ts"

/** The server and the model of the request, and how the answer is read. */
export interface Options {
  readonly provider: string | undefined
  readonly origin: string
  /** The requested model. */
  readonly model: string
  /** Whether a text can start with reasoning in tags such as `<think>`. */
  readonly thinkTags: boolean
}

type TextKind = "text" | "reasoning" | "refusal"

/** The state of one answer. Mutable: one answer has one reader. */
export class Accumulator {
  readonly #options: Options
  readonly #texts: Record<TextKind, string> = { text: "", reasoning: "", refusal: "" }
  /** High surrogates at the ends of texts, which wait for their low surrogates. */
  readonly #surrogates: Record<TextKind, string> = { text: "", reasoning: "", refusal: "" }
  readonly #calls = new ToolCalls()
  readonly #members = new Members()
  readonly #thinkTags: ReturnType<typeof makeThinkTags> | undefined
  #functionCall: { readonly name: string; readonly arguments: string } | undefined
  #usage: Usage | undefined
  #id = ""
  #model = ""
  #rawFinishReason: string | undefined
  #rawFailure: string | undefined
  #failureMessage: string | undefined
  #hasBegun = false
  #hasDeltas = false
  #hasChoice = false
  #choiceIndex: number | undefined
  #choiceMode: "unknown" | "first" | "counting" = "unknown"
  /** A first choice whose index is not 0. The next chunk shows whether it is the answer. */
  #pendingChoice: JsonRecord | undefined
  #reasoningSource: "field" | "tags" | undefined
  /** Reasoning from the other source (a field or tags), which usually repeats the reasoning of the first source. */
  #repeatedReasoning = ""
  #size = 0

  constructor(options: Options) {
    this.#options = options
    this.#thinkTags = options.thinkTags ? makeThinkTags() : undefined
  }

  /** Whether the server sent a finish reason. */
  get isFinished(): boolean {
    return Boolean(this.#rawFinishReason)
  }

  /** Whether a choice has arrived, even an empty one. Without one there is no answer. */
  get hasChoice(): boolean {
    return this.#hasChoice
  }

  /** The finish reason of a failed generation. A later finish reason does not replace it. */
  get failure(): string | undefined {
    return this.#rawFailure
  }

  /** The server's message about the failure. */
  get failureMessage(): string | undefined {
    return this.#failureMessage
  }

  /** The approximate size of the answer so far, in characters. */
  get size(): number {
    // A few members and calls are free, however small the limit is.
    const freeSize = 2 ** 14
    return this.#size + Math.max(0, this.#members.size + this.#calls.contentSize - freeSize)
  }

  /** Adds a chunk or a document, and appends its events to `out`. */
  add(chunk: JsonRecord, isDocument: boolean, out: Array<ChatEvent>): void {
    this.#id ||= asText(chunk["id"])?.slice(0, maxNameLength) ?? ""
    this.#model ||= asText(chunk["model"])?.slice(0, maxNameLength) ?? ""
    this.#members.addChunk(chunk)
    const choice = this.#choose(chunk, isDocument, out)
    const usage = usageOf(chunk, choice)
    if (choice !== undefined) {
      this.#hasChoice = true
      this.#addChoice(choice, isDocument, out)
      const callsChoice = isDocument && this.#calls.size === 0 ? toolCallsChoice(chunk, choice) : undefined
      if (callsChoice !== undefined) this.#addChoice(callsChoice, isDocument, out)
    }
    if (usage !== undefined) {
      this.#usage = this.#usage === undefined ? usage : mergeUsage(this.#usage, usage)
      if (this.#hasBegun) out.push({ _tag: "UsageUpdate", usage: this.#usage })
    }
  }

  /** Adds a delta that contains only text. The text must not be empty. */
  addPlain(text: string, out: Array<ChatEvent>): void {
    const before = out.length
    this.#size += text.length
    this.#addContent(text, out)
    if (out.length > before) this.#hasDeltas = true
  }

  /** Handles the end of the body: a pending choice is the answer. */
  end(out: Array<ChatEvent>): void {
    this.#addPendingChoice(out)
  }

  /** Emits buffered text, such as an incomplete tag or a high surrogate. */
  flush(out: Array<ChatEvent>): void {
    if (this.#thinkTags !== undefined) this.#addSegments(this.#thinkTags.end(), out)
    const missing = missingPart(this.#texts.reasoning.trim(), this.#repeatedReasoning.trim())
    if (missing !== "") this.#emitText("reasoning", missing, out)
    this.#repeatedReasoning = ""
    for (const kind of ["reasoning", "text", "refusal"] as const) {
      const surrogate = this.#surrogates[kind]
      this.#surrogates[kind] = ""
      if (surrogate !== "") this.#appendText(kind, surrogate, out)
    }
    for (const call of this.#calls.partial) {
      const surrogate = call.takeSurrogate()
      if (surrogate !== "") this.#emitCall(call, surrogate, out)
    }
  }

  /** Emits buffered text, then `Finish`. */
  finish(out: Array<ChatEvent>): void {
    this.flush(out)
    this.#emit(finishEvent(this.response()), out)
  }

  /** The answer so far. `reason` replaces the server's finish reason if the answer is incomplete. */
  response(reason?: FinishReason): ChatResponse {
    const toolCalls = this.#calls.complete
    const response = defined({
      functionCall: this.#functionCall,
      provider: this.#options.provider,
      ...this.#texts,
      toolCalls,
      opaque: this.#opaque(toolCalls.some(({ extra }) => extra !== undefined)),
      annotations: this.#members.annotations,
      logprobs: this.#members.logprobs,
      extra: this.#members.extra,
      finishReason: reason ?? this.#reason(toolCalls.length > 0),
      rawFinishReason: this.#rawFinishReason,
      usage: this.#usage,
      id: this.#id,
      model: this.#model
    })
    return ChatResponse.make(response, true)
  }

  /** The answer so far. Undefined if nothing has arrived. */
  partial(): ChatResponse | undefined {
    const response = this.response("error")
    return isEmpty(response) && response.usage === undefined ? undefined : response
  }

  #opaque(hasExtra: boolean): Opaque | undefined {
    const { model, origin } = this.#options
    const fields = this.#members.opaque(this.#texts.text)
    return fields === undefined && !hasExtra ? undefined : { origin, model, fields: fields ?? {} }
  }

  /** Some servers send the reason `stop` after tool calls. */
  #reason(hasCalls: boolean): FinishReason {
    const reason = this.#rawFinishReason ? toFinishReason(this.#rawFinishReason) : "stop"
    return hasCalls && reason === "stop" ? "tool-calls" : reason
  }

  /**
   * Selects the choice that belongs to this answer. Usually its index is 0, and other indexes are alternative answers.
   * If the index counts the tokens (text-generation-inference) or is always the same other number, all choices belong.
   */
  #choose(chunk: JsonRecord, isDocument: boolean, out: Array<ChatEvent>): JsonRecord | undefined {
    const first = firstChoice(chunk)
    if (isDocument) return first ?? anyChoice(chunk)
    if (first !== undefined) {
      if (this.#choiceMode === "counting") return undefined
      if (this.#choiceIndex !== undefined) this.#choiceMode = "first"
      this.#choiceIndex = 0
      this.#pendingChoice = undefined
      return first
    }
    const candidate = itemsOf(chunk["choices"]).length === 1 ? anyChoice(chunk) : undefined
    return candidate === undefined || this.#choiceMode === "first" ? undefined : this.#chooseByIndex(candidate, out)
  }

  #chooseByIndex(choice: JsonRecord, out: Array<ChatEvent>): JsonRecord | undefined {
    const index = asCount(choice["index"]) ?? 0
    const last = this.#choiceIndex
    if (last === undefined) {
      // The next chunk shows whether this is the answer or an alternative that arrived first.
      this.#choiceIndex = index
      this.#pendingChoice = choice
      return undefined
    }
    const content = contentOf(choice, false, false) ?? {}
    const isEmpty = textOf(content) === undefined && !hasContent(choice["finish_reason"])
    if ((index !== last + 1 && (index !== last || last === 0)) || (last === 0 && isEmpty)) {
      if (last === 0) this.#choiceMode = "first"
      return undefined
    }
    this.#choiceMode = "counting"
    this.#choiceIndex = index
    this.#addPendingChoice(out)
    return choice
  }

  /** Adds the pending choice, if there is one. */
  #addPendingChoice(out: Array<ChatEvent>): void {
    const choice = this.#pendingChoice
    this.#pendingChoice = undefined
    if (choice === undefined) return
    this.#hasChoice = true
    this.#addChoice(choice, false, out)
  }

  #addChoice(choice: JsonRecord, isDocument: boolean, out: Array<ChatEvent>): void {
    this.#members.addChoice(choice)
    const content = contentOf(choice, isDocument, this.#hasDeltas)
    if (content !== undefined) {
      const before = out.length
      const isDelta = content === choice["delta"]
      this.#members.addMessage(content, !isDelta)
      this.#addDelta(content, !isDelta, out)
      if (isDelta && out.length > before) this.#hasDeltas = true
    }
    const raw = finishReasonOf(choice)
    // Alibaba's own protocol sends the text "null", and gateways forward it.
    if (raw === undefined || raw === "null") return
    this.#rawFinishReason = raw || (this.#rawFinishReason ?? "")
    if (toFinishReason(raw) !== "error") return
    this.#rawFailure ??= raw
    this.#failureMessage ??= asText(choice["finish_message"]) ?? asText(choice["finishMessage"])
  }

  #addDelta(delta: JsonRecord, isDocument: boolean, out: Array<ChatEvent>): void {
    const reasoning = reasoningOf(delta)
    if (reasoning !== undefined) this.#addReasoning("field", reasoning, out)
    const text = textOf(delta)
    if (text !== undefined) this.#addContent(text, out)
    const refusal = refusalOf(delta)
    this.#size += (reasoning ?? "").length + (text ?? "").length + (refusal ?? "").length
    if (refusal !== undefined) this.#emitText("refusal", refusal, out)
    for (const callDelta of toolCallsOf(delta)) {
      const call = this.#calls.add(callDelta, isDocument)
      if (call === undefined) continue
      this.#emitCall(call, call.toEncodable(callDelta.arguments), out)
    }
    const call = functionCallOf(delta)
    if (call === undefined) return
    this.#size += sizeOf(call)
    this.#functionCall = {
      name: asText(this.#functionCall?.name) ?? call.name ?? "",
      arguments: (this.#functionCall?.arguments ?? "") + call.arguments
    }
  }

  #addContent(text: string, out: Array<ChatEvent>): void {
    if (this.#thinkTags === undefined) this.#emitText("text", text, out)
    else this.#addSegments(this.#thinkTags.push(text), out)
  }

  #addSegments(segments: ReadonlyArray<Segment>, out: Array<ChatEvent>): void {
    for (const segment of segments) {
      if (segment.isReasoning) this.#addReasoning("tags", segment.text, out)
      else this.#emitText("text", segment.text, out)
    }
  }

  /** MiniMax sends its reasoning twice: in a field, and in tags within the text. Only the first one is emitted at once. */
  #addReasoning(source: "field" | "tags", text: string, out: Array<ChatEvent>): void {
    this.#reasoningSource ??= source
    if (this.#reasoningSource === source) return this.#emitText("reasoning", text, out)
    this.#repeatedReasoning += text
  }

  /** Emits a text without the high surrogate at its end, which a consumer could not encode alone. */
  #emitText(kind: TextKind, text: string, out: Array<ChatEvent>): void {
    const { complete, surrogate } = splitSurrogate(this.#surrogates[kind] + text)
    this.#surrogates[kind] = surrogate
    this.#appendText(kind, complete, out)
  }

  #appendText(kind: TextKind, text: string, out: Array<ChatEvent>): void {
    if (text === "") return
    this.#texts[kind] += text
    this.#emit({ _tag: tags[kind], text }, out)
  }

  #emitCall({ id, name, position }: PartialCall, text: string, out: Array<ChatEvent>): void {
    this.#emit({ _tag: "ToolCallDelta", index: position, id, name, arguments: text }, out)
  }

  /** Emits `Begin` before the first event, followed by the usage that arrived earlier. */
  #emit(event: ChatEvent, out: Array<ChatEvent>): void {
    if (!this.#hasBegun) {
      this.#hasBegun = true
      out.push({ _tag: "Begin", id: this.#id, model: this.#model })
      if (this.#usage !== undefined) out.push({ _tag: "UsageUpdate", usage: this.#usage })
    }
    out.push(event)
  }
}

const tags = { text: "TextDelta", reasoning: "ReasoningDelta", refusal: "RefusalDelta" } as const

/** The part of a repetition that the text lacks. Compares starts and ends only: a search could take quadratic time. */
const missingPart = (text: string, repetition: string): string => {
  if (text.startsWith(repetition) || text.endsWith(repetition)) return ""
  return repetition.startsWith(text) ? repetition.slice(text.length) : repetition
}
