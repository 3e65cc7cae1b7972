/**
 * The name of one life of a conversation: from its first write to its removal.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** A text that no other conversation has. */
export const make: Effect.Effect<string> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 2 ** 31), 4),
  (parts) => parts.map((part) => part.toString(36).padStart(6, "0")).join("")
)
