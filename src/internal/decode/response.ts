/**
 * Makes the response of an answer that has arrived in part, copies of responses with other fields, and the `Finish` event.
 */
import type { ChatEvent, Finish } from "../../ChatEvent.ts"
import { ChatResponse, type FinishReason, type Usage } from "../../ChatResponse.ts"

/** The part of an answer that has arrived so far. Mutable: one answer has one reader. */
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
   * The part as a response. Tool calls are left out: an incomplete call cannot be run, and a call without a result makes
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

/** Whether a response is empty. */
export const isEmpty = ({ functionCall, reasoning, refusal, text, toolCalls }: ChatResponse): boolean =>
  text === "" && reasoning === "" && refusal === "" && toolCalls.length === 0 && functionCall === undefined

/** A copy of the response with these fields replaced. */
export const withFields = (
  response: ChatResponse,
  fields: Partial<ConstructorParameters<typeof ChatResponse>[0]>
): ChatResponse => ChatResponse.make(Object.assign({}, response, fields), true)

/** The event that ends an answer, with the complete response. */
export const finishEvent = (response: ChatResponse): Finish => ({
  _tag: "Finish",
  reason: response.finishReason,
  rawReason: response.rawFinishReason,
  response
})
