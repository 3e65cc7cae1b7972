/**
 * What a call took of the tokens that were reserved for it.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatRequest } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { estimateInput, estimateUsage } from "../estimate.ts"
import type { Pull } from "../transport/stream.ts"
import { Partial } from "../turn/partial.ts"
import type { Place } from "./gate.ts"

/** The spending of one call. Mutable: one call has one reader. */
export class Spending {
  private readonly place: Place
  private readonly request: ChatRequest
  private readonly told: Partial | undefined
  private hasTold = false
  private isSettled = false

  /** Where tokens are not limited nothing is counted. */
  constructor(place: Place, request: ChatRequest, counts: boolean) {
    this.place = place
    this.request = request
    this.told = counts ? new Partial() : undefined
  }

  /** The answer is whole, or as much of it as there will be. */
  answered(response: ChatResponse): Effect.Effect<void> {
    const { messages, options } = this.request
    return this.settle(() => estimateUsage(messages, response, options).totalTokens)
  }

  /** The call failed. A server that refused it or was not reached took nothing. */
  failed(error: ChatError): Effect.Effect<void> {
    if (error.partial !== undefined) return this.answered(error.partial)
    const { messages, options } = this.request
    const { _tag, status = 400 } = error
    return this.settle(() => _tag === "TimeoutError" || status < 400 ? estimateInput(messages, options) : 0)
  }

  /** The call is over. One that was left with no word of its answer keeps its reservation: nobody knows what it took. */
  readonly end: Effect.Effect<void> = Effect.suspend(() =>
    this.told !== undefined && this.hasTold ? this.answered(this.told.response) : Effect.void
  )

  /** The stream of the answer, whose place is free with its last event. */
  watch(pull: Pull<ChatEvent, ChatError>): Pull<ChatEvent, ChatError> {
    return pull.pipe(
      Effect.tap((events) => {
        this.told?.add(events)
        this.hasTold = true
        const last = Chunk.last(events)
        return Option.isSome(last) && isFinish(last.value)
          ? Effect.zipRight(this.answered(last.value.response), this.place.leave)
          : Effect.void
      }),
      Effect.tapError((error) =>
        Effect.zipRight(Option.isSome(error) ? this.failed(error.value) : Effect.void, this.place.leave)
      )
    )
  }

  private settle(tokens: () => number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.told === undefined || this.isSettled) return Effect.void
      this.isSettled = true
      return this.place.settle(tokens())
    })
  }
}
