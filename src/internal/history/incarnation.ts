/**
 * Makes incarnations. An incarnation distinguishes a conversation from an earlier, removed one with the same id.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

/** A new random incarnation. */
export const make: Effect.Effect<string> = Effect.map(
  Effect.replicateEffect(Random.nextIntBetween(0, 2 ** 31), 4),
  (parts) => parts.map((part) => part.toString(36).padStart(6, "0")).join("")
)
