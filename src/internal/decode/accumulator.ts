/**
 * Chunks → ChatEvents, and all of them → the ChatResponse.
 *
 * One fold serves a stream's chunks and a whole completion alike: a completion is a single chunk.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import { ChatResponse, type FinishReason, type Usage } from "../../ChatResponse.ts"
import { asString, asText, defined, type JsonRecord } from "../json.ts"
import { saysNothing } from "../response.ts"
import {
  callsChoice,
  contentOf,
  firstChoice,
  functionCallOf,
  reasoningOf,
  refusalOf,
  textOf,
  toFinishReason,
  toolCallsOf,
  usageOf
} from "./chunk.ts"
import { make as makeThinkTags, type Piece } from "./thinkTags.ts"
import { addPiece, type OpenCall, toToolCalls } from "./toolCalls.ts"

/** The state of one answer. Mutable: one answer is folded by one reader. */
export class Fold {
  #text = ""
  #reasoning = ""
  #refusal = ""
  readonly #calls: Array<OpenCall> = []
  #functionCall: { readonly name: string; readonly arguments: string } | undefined
  #usage: Usage | undefined
  #id = ""
  #model = ""
  #rawFinishReason: string | undefined
  #rawFailure: string | undefined
  #hasDeltas = false
  #chose = false
  readonly #thinkTags: ReturnType<typeof makeThinkTags> | undefined
  readonly #provider: string | undefined

  /** Who answers, and whether a text at the answer's start can be reasoning. */
  constructor(provider: string | undefined, thinkTags: boolean) {
    this.#provider = provider
    this.#thinkTags = thinkTags ? makeThinkTags() : undefined
  }

  /** Whether the server said why the answer ended. */
  get isFinished(): boolean {
    return Boolean(this.#rawFinishReason)
  }

  /** Whether there was a choice, if only one that says nothing: else there is no answer. */
  get hasChoice(): boolean {
    return this.#chose
  }

  /** The server's word for a generation that failed, where it gave one. No later reason takes it back. */
  get failure(): string | undefined {
    return this.#rawFailure
  }

  /** Takes a chunk in, or the whole answer as one, and appends what it says to `out`. */
  add(chunk: JsonRecord, isWhole: boolean, out: Array<ChatEvent>): void {
    this.#id ||= asText(chunk["id"]) ?? ""
    this.#model ||= asText(chunk["model"]) ?? ""
    const choice = firstChoice(chunk, isWhole)
    if (choice !== undefined) {
      this.#chose = true
      this.#addChoice(choice, isWhole, out)
      const more = isWhole && this.#calls.length === 0 ? callsChoice(chunk, choice) : undefined
      if (more !== undefined) this.#addChoice(more, isWhole, out)
    }
    const usage = usageOf(chunk, choice)
    if (usage !== undefined) {
      this.#usage = usage
      out.push({ _tag: "UsageUpdate", usage })
    }
  }

  /** Takes in a delta that is known to hold a text, which is not empty, and nothing else. */
  addPlain(text: string, out: Array<ChatEvent>): void {
    const told = out.length
    this.#addContent(text, out)
    if (out.length > told) this.#hasDeltas = true
  }

  /** What is held back until more is known, such as the half of a tag, is said now. */
  flush(out: Array<ChatEvent>): void {
    if (this.#thinkTags !== undefined) this.#addPieces(this.#thinkTags.end(), out)
  }

  /** The answer as it is now. `reason` stands in for the server's where the answer is not whole. */
  response(reason: FinishReason = this.#reason()): ChatResponse {
    const response = defined({
      functionCall: this.#functionCall,
      provider: this.#provider,
      text: this.#text,
      reasoning: this.#reasoning,
      refusal: this.#refusal,
      toolCalls: toToolCalls(this.#calls),
      finishReason: reason,
      rawFinishReason: this.#rawFinishReason,
      usage: this.#usage,
      id: this.#id,
      model: this.#model
    })
    return ChatResponse.make(response, true)
  }

  /** What has arrived so far, undefined where that is nothing. */
  partial(): ChatResponse | undefined {
    const response = this.response("error")
    return saysNothing(response) && response.usage === undefined ? undefined : response
  }

  #reason(): FinishReason {
    if (this.#rawFinishReason) return toFinishReason(this.#rawFinishReason)
    return this.#calls.length > 0 ? "tool-calls" : "stop"
  }

  #addChoice(choice: JsonRecord, isWhole: boolean, out: Array<ChatEvent>): void {
    const content = contentOf(choice, isWhole, this.#hasDeltas)
    if (content !== undefined) {
      const told = out.length
      const isDelta = content === choice["delta"]
      this.#addDelta(content, !isDelta, out)
      if (isDelta && out.length > told) this.#hasDeltas = true
    }
    const raw = asString(choice["finish_reason"])
    // Alibaba's own protocol has the text "null", which gateways hand on.
    if (raw === undefined || raw === "null") return
    this.#rawFinishReason = raw || (this.#rawFinishReason ?? "")
    if (toFinishReason(raw) === "error") this.#rawFailure ??= raw
  }

  #addDelta(delta: JsonRecord, isWhole: boolean, out: Array<ChatEvent>): void {
    const reasoning = reasoningOf(delta)
    if (reasoning !== undefined) this.#addReasoning(reasoning, out)
    const text = textOf(delta)
    if (text !== undefined) this.#addContent(text, out)
    const refusal = refusalOf(delta)
    if (refusal !== undefined) {
      this.#refusal += refusal
      out.push({ _tag: "RefusalDelta", text: refusal })
    }
    for (const piece of toolCallsOf(delta)) {
      const call = addPiece(this.#calls, piece, isWhole)
      if (call === undefined) continue
      out.push({ _tag: "ToolCallDelta", index: call.place, id: call.id, name: call.name, arguments: piece.arguments })
    }
    const call = functionCallOf(delta)
    if (call !== undefined) {
      this.#functionCall = {
        name: asText(this.#functionCall?.name) ?? call.name ?? "",
        arguments: (this.#functionCall?.arguments ?? "") + call.arguments
      }
    }
  }

  #addContent(text: string, out: Array<ChatEvent>): void {
    if (this.#thinkTags === undefined) this.#addText(text, out)
    else this.#addPieces(this.#thinkTags.push(text), out)
  }

  #addText(text: string, out: Array<ChatEvent>): void {
    this.#text += text
    out.push({ _tag: "TextDelta", text })
  }

  #addReasoning(text: string, out: Array<ChatEvent>): void {
    this.#reasoning += text
    out.push({ _tag: "ReasoningDelta", text })
  }

  #addPieces(pieces: ReadonlyArray<Piece>, out: Array<ChatEvent>): void {
    for (const piece of pieces) {
      if (piece.isReasoning) this.#addReasoning(piece.text, out)
      else this.#addText(piece.text, out)
    }
  }
}
