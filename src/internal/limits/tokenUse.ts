/**
 * Replaces the tokens that are reserved for a call by those that it used.
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

/** The tokens of one call. Mutable, because a call has only one reader. */
export class TokenUse {
  readonly #permit: Permit
  readonly #request: ChatRequest
  readonly #partial: PartialResponse | undefined
  #hasEvents = false
  #isSettled = false

  /** `isCounted` is false if tokens are not limited. */
  constructor(permit: Permit, request: ChatRequest, isCounted: boolean) {
    this.#permit = permit
    this.#request = request
    this.#partial = isCounted ? new PartialResponse() : undefined
  }

  /** Called with the complete answer, or the part of it that arrived. */
  onResponse(response: ChatResponse): Effect.Effect<void> {
    const { messages, options } = this.#request
    return this.#settle(() => estimateUsage(messages, response, options).totalTokens)
  }

  /** Called when the call failed. A call that the server refused or that did not reach it used no tokens. */
  onFailure(error: ChatError): Effect.Effect<void> {
    if (error.partial !== undefined) return this.onResponse(error.partial)
    const { messages, options } = this.#request
    const { _tag, status = 400 } = error
    return this.#settle(() => _tag === "TimeoutError" || status < 400 ? estimateInput(messages, options) : 0)
  }

  /** Settles a call that ended early. Without any event, the reserved tokens stay counted, because the usage is unknown. */
  readonly end: Effect.Effect<void> = Effect.suspend(() =>
    this.#partial !== undefined && this.#hasEvents
      ? this.onResponse(this.#partial.response("interrupted"))
      : Effect.void
  )

  /** Counts the tokens of a stream, and releases the permit with its last event. */
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
