/**
 * The part of an answer that was told so far, as a turn remembers it in case it is interrupted.
 */
import type * as Chunk from "effect/Chunk"
import type { ChatEvent } from "../../ChatEvent.ts"
import { ChatResponse, type Usage } from "../../ChatResponse.ts"

interface Told {
  text: string
  reasoning: string
  refusal: string
  usage: Usage | undefined
}

/** Collects events. Mutable: one turn is told by one reader. */
export class Partial {
  readonly #told: Told = { text: "", reasoning: "", refusal: "", usage: undefined }

  /** Takes in what was told. */
  add(events: Chunk.Chunk<ChatEvent>): void {
    const told = this.#told
    for (const event of events) {
      switch (event._tag) {
        case "TextDelta":
          told.text += event.text
          break
        case "ReasoningDelta":
          told.reasoning += event.text
          break
        case "RefusalDelta":
          told.refusal += event.text
          break
        case "UsageUpdate":
          told.usage = event.usage
      }
    }
  }

  /**
   * What was told, as the answer of an interrupted turn. Tool calls are left out: one that was cut cannot be run, and one
   * without a result makes servers refuse every later turn.
   */
  get response(): ChatResponse {
    return ChatResponse.make(
      { ...this.#told, toolCalls: [], finishReason: "interrupted", rawFinishReason: undefined, id: "", model: "" },
      true
    )
  }
}
