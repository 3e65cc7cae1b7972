/**
 * The tokens that a call uses, out of those that were reserved for it.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { PartialResponse } from "../decode/response.ts"
import { estimateInput, estimateUsage } from "../request/estimate.ts"
import type { Pull } from "../transport/stream.ts"
import type { Permit } from "./admission.ts"

/** The tokens of one call. Mutable: one call has one reader. */
export class TokenUse {
  readonly #permit: Permit
  readonly #request: ChatRequest
  readonly #partial: PartialResponse | undefined
  #hasEvents = false
  #isSettled = false

  /** Nothing is counted if tokens are not limited. */
  constructor(permit: Permit, request: ChatRequest, counts: boolean) {
    this.#permit = permit
    this.#request = request
    this.#partial = counts ? new PartialResponse() : undefined
  }

  /** Called when the answer is complete, or ended early. */
  onResponse(response: ChatResponse): Effect.Effect<void> {
    const { messages, options } = this.#request
    return this.#settle(() => estimateUsage(messages, response, options).totalTokens)
  }

  /** Called when the call failed. It used no tokens if the server refused it or was unreachable. */
  onFailure(error: ChatError): Effect.Effect<void> {
    if (error.partial !== undefined) return this.onResponse(error.partial)
    const { messages, options } = this.#request
    const { _tag, status = 400 } = error
    return this.#settle(() => _tag === "TimeoutError" || status < 400 ? estimateInput(messages, options) : 0)
  }

  /** Called when the call is over. If it ended without an event, its reservation stays, because its real usage is unknown. */
  readonly end: Effect.Effect<void> = Effect.suspend(() =>
    this.#partial !== undefined && this.#hasEvents
      ? this.onResponse(this.#partial.response("interrupted"))
      : Effect.void
  )

  /** The stream of the answer, which releases the permit with its last event. */
  track(pull: Pull<ChatEvent, ChatError>): Pull<ChatEvent, ChatError> {
    return Effect.matchEffect(pull, {
      onSuccess: (events) => {
        this.#partial?.add(events)
        this.#hasEvents = true
        const last = events[events.length - 1]
        return last !== undefined && isFinish(last)
          ? Effect.as(Effect.zipRight(this.onResponse(last.response), this.#permit.release), events)
          : Effect.succeed(events)
      },
      onFailure: (error) => {
        const settled = Option.isSome(error) ? this.onFailure(error.value) : this.end
        return settled.pipe(Effect.zipRight(this.#permit.release), Effect.zipRight(Effect.fail(error)))
      }
    })
  }

  #settle(tokens: () => number): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#partial === undefined || this.#isSettled) return Effect.void
      this.#isSettled = true
      return this.#permit.settle(tokens())
    })
  }
}
