/**
 * The events of an answer's stream → parts of `@effect/ai`.
 */
import type * as AiError from "@effect/ai/AiError"
import type * as Response from "@effect/ai/Response"
import * as Chunk from "effect/Chunk"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { ChatEvent, Finish, ToolCallDelta } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { attachments, begin, CallIds, callsOf, finish, type Options, refusal, toCallPart } from "./parts.ts"

type Part = Response.StreamPartEncoded

/** The parts of a stream. A network chunk of events is a chunk of parts. */
export const fromEvents = <E>(
  events: Stream.Stream<ChatEvent, E>,
  options: Options,
  onResponse: (response: ChatResponse) => void
): Stream.Stream<Part, E | AiError.AiError> =>
  Stream.suspend(() => {
    const parts = new StreamParts(options, onResponse)
    return Stream.concat(
      Stream.mapChunksEffect(events, (chunk) => Either.map(parts.add(chunk), Chunk.unsafeFromArray)),
      // `@effect/ai` runs the calls of a chunk before it reads the next one: the end comes after their results.
      Stream.suspend(() => Stream.fromIterable(parts.end))
    )
  })

type Kind = "text" | "reasoning" | "refusal"

/** The parts of one answer. Mutable: one answer has one reader. */
class StreamParts {
  readonly #options: Options
  readonly #onResponse: (response: ChatResponse) => void
  #hasBegun = false
  #end: ReadonlyArray<Part> = []
  /** The text or reasoning that deltas go on with. */
  #open: { readonly kind: Kind; readonly id: string } | undefined
  #count = 0
  readonly #ids: CallIds
  /** The ids of the calls whose parameters have begun, by index. */
  readonly #begun = new Map<number, string>()
  /** The parameters of calls whose tool is not known yet, by index. */
  readonly #early = new Map<number, string>()

  constructor(options: Options, onResponse: (response: ChatResponse) => void) {
    this.#options = options
    this.#onResponse = onResponse
    this.#ids = new CallIds(options.id)
  }

  /** What comes after the content. */
  get end(): ReadonlyArray<Part> {
    return this.#end
  }

  /** The parts of some events. Those of the calls are together, so that they run as concurrently as they may. */
  add(events: Iterable<ChatEvent>): Either.Either<ReadonlyArray<Part>, AiError.MalformedOutput> {
    const parts: Array<Part> = []
    for (const event of events) {
      if (event._tag === "Finish") return this.#finish(event, parts)
      this.#add(event, parts)
    }
    return Either.right(parts)
  }

  #add(event: Exclude<ChatEvent, Finish>, out: Array<Part>): void {
    switch (event._tag) {
      case "Begin":
        this.#hasBegun = true
        out.push(begin(event, this.#options.timestamp))
        break
      case "TextDelta":
        this.#addDelta("text", event.text, out)
        break
      case "ReasoningDelta":
        this.#addDelta("reasoning", event.text, out)
        break
      case "RefusalDelta":
        this.#addDelta("refusal", event.text, out)
        break
      case "ToolCallDelta":
        this.#addCall(event, out)
        break
      case "UsageUpdate":
    }
  }

  #addDelta(kind: Kind, delta: string, out: Array<Part>): void {
    if (this.#open?.kind !== kind) {
      this.#close(out)
      this.#open = { kind, id: `${this.#options.id}_${this.#count++}` }
      out.push(startOf(this.#open))
    }
    out.push({ type: kind === "reasoning" ? "reasoning-delta" : "text-delta", id: this.#open.id, delta })
  }

  #close(out: Array<Part>): void {
    if (this.#open === undefined) return
    out.push({ type: this.#open.kind === "reasoning" ? "reasoning-end" : "text-end", id: this.#open.id })
    this.#open = undefined
  }

  #addCall({ arguments: piece, id, index, name }: ToolCallDelta, out: Array<Part>): void {
    const delta = `${this.#early.get(index) ?? ""}${piece}`
    if (name === "") {
      this.#early.set(index, delta)
      return
    }
    this.#early.delete(index)
    const callId = this.#ids.get(index, id)
    if (!this.#begun.has(index)) {
      this.#close(out)
      this.#begun.set(index, callId)
      out.push({ type: "tool-params-start", id: callId, name })
    }
    if (delta !== "") out.push({ type: "tool-params-delta", id: callId, delta })
  }

  #finish(
    { response }: Finish,
    out: Array<Part>
  ): Either.Either<ReadonlyArray<Part>, AiError.MalformedOutput> {
    const { id, memory, timestamp } = this.#options
    this.#onResponse(response)
    if (!this.#hasBegun) out.push(begin(response, timestamp))
    this.#close(out)
    for (const call of this.#begun.values()) out.push({ type: "tool-params-end", id: call })
    out.push(...attachments(response, id))
    return Either.map(callsOf(response, this.#options, this.#ids), (calls) => {
      out.push(...calls.map(toCallPart))
      this.#end = [finish(response, calls, memory)]
      return out
    })
  }
}

const startOf = ({ id, kind }: { readonly id: string; readonly kind: Kind }): Part => {
  if (kind === "reasoning") return { type: "reasoning-start", id }
  return kind === "text" ? { type: "text-start", id } : { type: "text-start", id, ...refusal }
}
