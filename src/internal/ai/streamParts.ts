/**
 * Converts the events of a streamed answer to stream parts of `@effect/ai`.
 */
import type * as AiError from "@effect/ai/AiError"
import type * as Response from "@effect/ai/Response"
import * as Chunk from "effect/Chunk"
import * as Either from "effect/Either"
import * as Stream from "effect/Stream"
import type { ChatEvent, Finish, ToolCallDelta } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import {
  AnswerCallIds,
  callsOf,
  type Options,
  refusalMetadata,
  toAttachmentParts,
  toCallPart,
  toFinishPart,
  toMetadataPart
} from "./parts.ts"

type Part = Response.StreamPartEncoded

/** Converts a stream of events. Each chunk of events becomes one chunk of parts. */
export const fromEvents = <E>(
  events: Stream.Stream<ChatEvent, E>,
  options: Options,
  onResponse: (response: ChatResponse) => void
): Stream.Stream<Part, E | AiError.AiError> =>
  Stream.suspend(() => {
    const parts = new StreamParts(options, onResponse)
    return Stream.concat(
      Stream.mapChunksEffect(events, (chunk) => Either.map(parts.add(chunk), Chunk.unsafeFromArray)),
      // `@effect/ai` runs the calls of a chunk before it reads the next chunk, so `finish` follows the results.
      Stream.suspend(() => Stream.fromIterable(parts.finish))
    )
  })

type Kind = "text" | "reasoning" | "refusal"

/** The state of one answer. Mutable, because an answer has only one reader. */
class StreamParts {
  readonly #options: Options
  readonly #onResponse: (response: ChatResponse) => void
  #hasBegun = false
  #finish: ReadonlyArray<Part> = []
  /** The text or reasoning part to which deltas are added. */
  #openPart: { readonly kind: Kind; readonly id: string } | undefined
  #partCount = 0
  readonly #callIds: AnswerCallIds
  /** The ids of the calls with a `tool-params-start`, by index. */
  readonly #startedCalls = new Map<number, string>()
  /** The parameters of calls without a name so far, by index. */
  readonly #pendingParams = new Map<number, string>()

  constructor(options: Options, onResponse: (response: ChatResponse) => void) {
    this.#options = options
    this.#onResponse = onResponse
    this.#callIds = new AnswerCallIds(options.id)
  }

  /** The `finish` part, after all events were added. */
  get finish(): ReadonlyArray<Part> {
    return this.#finish
  }

  /** Converts events. The parts of all calls are in one chunk, so that `@effect/ai` can run the calls concurrently. */
  add(events: Iterable<ChatEvent>): Either.Either<ReadonlyArray<Part>, AiError.MalformedOutput> {
    const parts: Array<Part> = []
    for (const event of events) {
      if (event._tag === "Finish") return this.#addFinish(event, parts)
      this.#add(event, parts)
    }
    return Either.right(parts)
  }

  #add(event: Exclude<ChatEvent, Finish>, out: Array<Part>): void {
    switch (event._tag) {
      case "Begin":
        this.#hasBegun = true
        out.push(toMetadataPart(event, this.#options.timestamp))
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
    if (this.#openPart?.kind !== kind) {
      this.#closePart(out)
      this.#openPart = { kind, id: `${this.#options.id}_${this.#partCount++}` }
      out.push(startOf(this.#openPart))
    }
    out.push({ type: kind === "reasoning" ? "reasoning-delta" : "text-delta", id: this.#openPart.id, delta })
  }

  #closePart(out: Array<Part>): void {
    if (this.#openPart === undefined) return
    out.push({ type: this.#openPart.kind === "reasoning" ? "reasoning-end" : "text-end", id: this.#openPart.id })
    this.#openPart = undefined
  }

  #addCall({ arguments: params, id, index, name }: ToolCallDelta, out: Array<Part>): void {
    const delta = `${this.#pendingParams.get(index) ?? ""}${params}`
    if (name === "") {
      this.#pendingParams.set(index, delta)
      return
    }
    this.#pendingParams.delete(index)
    const callId = this.#callIds.get(index, id)
    if (!this.#startedCalls.has(index)) {
      this.#closePart(out)
      this.#startedCalls.set(index, callId)
      out.push({ type: "tool-params-start", id: callId, name })
    }
    if (delta !== "") out.push({ type: "tool-params-delta", id: callId, delta })
  }

  #addFinish(
    { response }: Finish,
    out: Array<Part>
  ): Either.Either<ReadonlyArray<Part>, AiError.MalformedOutput> {
    const { id, memory, timestamp } = this.#options
    this.#onResponse(response)
    if (!this.#hasBegun) out.push(toMetadataPart(response, timestamp))
    this.#closePart(out)
    for (const call of this.#startedCalls.values()) out.push({ type: "tool-params-end", id: call })
    out.push(...toAttachmentParts(response, id))
    return Either.map(callsOf(response, this.#options, this.#callIds), (calls) => {
      out.push(...calls.map(toCallPart))
      this.#finish = [toFinishPart(response, calls, memory)]
      return out
    })
  }
}

const startOf = ({ id, kind }: { readonly id: string; readonly kind: Kind }): Part => {
  if (kind === "reasoning") return { type: "reasoning-start", id }
  return kind === "text" ? { type: "text-start", id } : { type: "text-start", id, ...refusalMetadata }
}
