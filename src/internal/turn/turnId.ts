/**
 * Generates ids of turns.
 */
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"

const hexDigits = Effect.map(
  Random.nextIntBetween(0, 2 ** 32),
  (number) => number.toString(16).padStart(8, "0")
)

/** A new random id. */
export const makeTurnId: Effect.Effect<string> = Effect.zipWith(
  hexDigits,
  hexDigits,
  (high, low) => `turn_${high}${low}`
)
