/**
 * Counts the tokens of a turn. Uses the counts of the server, or an estimate if it sends none.
 */
import * as Effect from "effect/Effect"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { addUsage, type ChatResponse, type Usage } from "../../ChatResponse.ts"
import { isEmpty } from "../decode/response.ts"
import { estimateUsage } from "../request/estimate.ts"

/** Sends a request to a model. */
export type Complete = ChatCompletions.Service["complete"]

/** The meter of one turn. Mutable, because the requests of a turn run one after another. */
export class Meter {
  #request: ChatRequest | undefined
  #answer: ChatResponse | undefined
  #earlierUsage: Usage | undefined

  /** Wraps `complete`, and records each request and its answer. */
  metered(complete: Complete): Complete {
    return (request) =>
      Effect.suspend(() => {
        this.begin(request)
        return Effect.tap(complete(request), (response) => {
          this.#answer = response
        })
      })
  }

  /** The usage of the turn, including this complete answer. */
  total(answer: ChatResponse): Usage | undefined {
    return sumKnownUsage(this.#earlierUsage, this.usageOf(answer))
  }

  /**
   * The usage of the turn, including this part of the last answer, or the complete answer if it has arrived. An empty part
   * does not count.
   */
  partial(part: ChatResponse | undefined): Usage | undefined {
    const answer = this.#answer ?? part
    if (answer === undefined || (answer.usage === undefined && isEmpty(answer))) return this.#earlierUsage
    return sumKnownUsage(this.#earlierUsage, this.usageOf(answer))
  }

  /** Records the complete answer of the current request. */
  setAnswer(answer: ChatResponse): void {
    this.#answer = answer
  }

  /** Begins a request, and adds the usage of the previous answer. A request without an answer does not count. */
  begin(request: ChatRequest): void {
    if (this.#answer !== undefined) this.#earlierUsage = this.total(this.#answer)
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

/** Adds two usages. An unknown usage counts as nothing. */
export const sumKnownUsage = (earlier: Usage | undefined, usage: Usage | undefined): Usage | undefined =>
  earlier === undefined || usage === undefined ? earlier ?? usage : addUsage(earlier, usage)
