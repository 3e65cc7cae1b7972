/**
 * The part of an answer that was told so far, as a turn remembers it in case it is interrupted.
 */
import type * as Chunk from "effect/Chunk"
import type { ChatEvent } from "../../ChatEvent.ts"
import { ChatResponse, type Usage } from "../../ChatResponse.ts"

/** Collects events. Mutable: one turn is told by one reader. */
export class Partial {
  #text = ""
  #reasoning = ""
  #refusal = ""
  #usage: Usage | undefined

  /** Takes in what was told. */
  add(events: Chunk.Chunk<ChatEvent>): void {
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
   * What was told, as the answer of an interrupted turn. Tool calls are left out: one that was cut cannot be run, and one
   * without a result makes servers refuse every later turn.
   */
  get response(): ChatResponse {
    return ChatResponse.make(
      {
        text: this.#text,
        reasoning: this.#reasoning,
        refusal: this.#refusal,
        toolCalls: [],
        finishReason: "interrupted",
        rawFinishReason: undefined,
        usage: this.#usage,
        id: "",
        model: ""
      },
      true
    )
  }
}
