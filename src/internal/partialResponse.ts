/**
 * The part of an answer that has arrived so far.
 */
import type { ChatEvent } from "../ChatEvent.ts"
import { ChatResponse, type FinishReason, type Usage } from "../ChatResponse.ts"

/** Accumulates events. Mutable: one answer has one reader. */
export class PartialResponse {
  #text = ""
  #reasoning = ""
  #refusal = ""
  #usage: Usage | undefined

  add(events: ReadonlyArray<ChatEvent>): void {
    for (const event of events) {
      switch (event._tag) {
        case "TextDelta":
          this.#text += event.text
          break
        case "ReasoningDelta":
          this.#reasoning += event.text
          break
        case "RefusalDelta":
          this.#refusal += event.text
          break
        case "UsageUpdate":
          this.#usage = event.usage
      }
    }
  }

  /**
   * The part as a response. Tool calls are left out: one that was cut cannot be run, and one without a result makes
   * servers refuse every later turn.
   */
  response(finishReason: FinishReason): ChatResponse {
    return ChatResponse.make(
      {
        text: this.#text,
        reasoning: this.#reasoning,
        refusal: this.#refusal,
        toolCalls: [],
        finishReason,
        rawFinishReason: undefined,
        usage: this.#usage,
        id: "",
        model: ""
      },
      true
    )
  }
}
