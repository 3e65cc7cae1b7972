/**
 * The event that ends an answer.
 */
import type { Finish } from "../ChatEvent.ts"
import type { ChatResponse } from "../ChatResponse.ts"

/** Tells the whole answer. */
export const finishOf = (response: ChatResponse): Finish => ({
  _tag: "Finish",
  reason: response.finishReason,
  rawReason: response.rawFinishReason,
  response
})
