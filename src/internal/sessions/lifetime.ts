/**
 * Decodes the settings of a manager that limit how long and how many sessions stay in memory.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import { inOneLine } from "../issue.ts"
import { encodeDuration, expected, Timeout, WholeOrInfinite } from "../settingSchemas.ts"

const Lifetime = Schema.Struct({
  timeout: Timeout,
  grace: Schema.Union(Timeout, Schema.DurationFromMillis).annotations(
    expected(`a duration of 0 or more, such as 10000 (milliseconds), "10 seconds" or "Infinity"`)
  ),
  storeTimeout: Timeout,
  capacity: WholeOrInfinite
})

/** The settings with their defaults, as `ChatManager.Options` describes them. */
export type Lifetime = typeof Lifetime.Type

interface Options {
  readonly timeout?: Duration.DurationInput | undefined
  readonly grace?: Duration.DurationInput | undefined
  readonly storeTimeout?: Duration.DurationInput | undefined
  readonly capacity?: number | undefined
}

/** Adds the defaults. Fails with one line for all invalid settings. */
export const decodeLifetime = (
  { capacity = Infinity, grace = 0, storeTimeout = "10 seconds", timeout = Duration.infinity }: Options
): Effect.Effect<Lifetime, ParseResult.ParseError> =>
  Effect.mapError(
    Schema.decodeUnknown(Lifetime, { errors: "all" })({
      capacity,
      grace: encodeDuration(grace),
      storeTimeout: encodeDuration(storeTimeout),
      timeout: encodeDuration(timeout)
    }),
    inOneLine
  )
