import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"

/** A duration as milliseconds. JSON has no number for the infinite one, which becomes the longest that it has. */
export const FiniteMillis: Schema.Schema<Duration.Duration, number> = Schema.transform(
  Schema.Number,
  Schema.DurationFromSelf,
  {
    strict: true,
    decode: (millis) => Duration.millis(millis),
    encode: (duration) => Math.min(Duration.toMillis(duration), Number.MAX_SAFE_INTEGER)
  }
)
