/**
 * What the calls of a turn take in tokens: what their servers say, else an estimate.
 */
import * as Effect from "effect/Effect"
import type { ChatRequest, Service } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import { addUsage, type ChatResponse, type Usage } from "../../ChatResponse.ts"
import { estimateUsage } from "../estimate.ts"
import { saysNothing } from "../response.ts"

/** The meter of one turn. Mutable: the calls of a turn come one after another. */
export class Meter {
  #request: ChatRequest | undefined
  #answer: ChatResponse | undefined
  #earlier: Usage | undefined

  /** Asks for an answer whole: a call of the turn. */
  complete(completions: Service, request: ChatRequest): Effect.Effect<ChatResponse, ChatError> {
    return Effect.suspend(() => {
      this.begin(request)
      return Effect.tap(completions.complete(request), (response) => {
        this.#answer = response
      })
    })
  }

  /** What the turn took with this answer, which is whole. */
  whole(answer: ChatResponse): Usage | undefined {
    return plus(this.#earlier, this.#usageOf(answer))
  }

  /**
   * What the turn took with this part of its last answer, or with the whole where that had come. One of which nothing
   * came counts as nothing.
   */
  part(told: ChatResponse | undefined): Usage | undefined {
    const answer = this.#answer ?? told
    if (answer === undefined || (answer.usage === undefined && saysNothing(answer))) return this.#earlier
    return plus(this.#earlier, this.#usageOf(answer))
  }

  /** A call begins, after the one before it, which gave an answer or nothing. */
  begin(request: ChatRequest): void {
    if (this.#answer !== undefined) this.#earlier = this.whole(this.#answer)
    this.#answer = undefined
    this.#request = request
  }

  #usageOf(answer: ChatResponse): Usage | undefined {
    return this.#request === undefined
      ? answer.usage
      : estimateUsage(this.#request.messages, answer, this.#request.options)
  }
}

const plus = (earlier: Usage | undefined, usage: Usage | undefined): Usage | undefined =>
  earlier === undefined || usage === undefined ? earlier ?? usage : addUsage(earlier, usage)
