/**
 * The tokens that the calls of a turn use: what their servers report, else an estimate.
 */
import * as Effect from "effect/Effect"
import type { ChatError } from "../../ChatError.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { addUsage, type ChatResponse, type Usage } from "../../ChatResponse.ts"
import { isEmpty } from "../decode/response.ts"
import { estimateUsage } from "../request/estimate.ts"

type Complete = (request: ChatRequest) => Effect.Effect<ChatResponse, ChatError>

/** The meter of one turn. Mutable: the calls of a turn come one after another. */
export class Meter {
  #request: ChatRequest | undefined
  #answer: ChatResponse | undefined
  #earlier: Usage | undefined

  /** A call of the turn that requests a complete answer. */
  metered(complete: Complete): Complete {
    return (request) =>
      Effect.suspend(() => {
        this.begin(request)
        return Effect.tap(complete(request), (response) => {
          this.#answer = response
        })
      })
  }

  /** The usage of the turn with this answer, which is complete. */
  total(answer: ChatResponse): Usage | undefined {
    return plus(this.#earlier, this.usageOf(answer))
  }

  /**
   * The usage of the turn with this part of its last answer, or with the complete answer if that had come. A part that
   * says nothing counts as nothing.
   */
  partial(part: ChatResponse | undefined): Usage | undefined {
    const answer = this.#answer ?? part
    if (answer === undefined || (answer.usage === undefined && isEmpty(answer))) return this.#earlier
    return plus(this.#earlier, this.usageOf(answer))
  }

  /** A step has its answer: what comes later is of another call. */
  answered(answer: ChatResponse): void {
    this.#answer = answer
  }

  /** A call begins, after the previous one, which had an answer or nothing. */
  begin(request: ChatRequest): void {
    if (this.#answer !== undefined) this.#earlier = this.total(this.#answer)
    this.#answer = undefined
    this.#request = request
  }

  /** The usage of one answer. */
  usageOf(answer: ChatResponse): Usage | undefined {
    return this.#request === undefined
      ? answer.usage
      : estimateUsage(this.#request.messages, answer, this.#request.options)
  }
}

/** The sum of those that are known. */
export const plus = (earlier: Usage | undefined, usage: Usage | undefined): Usage | undefined =>
  earlier === undefined || usage === undefined ? earlier ?? usage : addUsage(earlier, usage)
