/**
 * Reads the Clock: monotonic time for durations, and wall-clock time for dates. Monotonic time never jumps.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"

const nanosPerMilli = 1e6

/** Milliseconds since an origin that the Clock chooses. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / nanosPerMilli

/** The current monotonic time, in milliseconds. */
export const monotonicNow: Effect.Effect<number> = Effect.clockWith((clock) =>
  Effect.sync(() => monotonicMillis(clock))
)

/** A minute, in milliseconds. */
export const minute = 60_000

/** Milliseconds since 1970, for dates only. */
export const dateMillis = (clock: Clock.Clock): number => clock.unsafeCurrentTimeMillis()

/**
 * The milliseconds of a timer that waits at least this long. At least 1, because timers fire up to a millisecond early. At
 * most 24 days, because timers support no more.
 */
export const timerMillis = (millis: number): number => Math.min(Math.max(Math.ceil(millis), 1), 2 ** 31 - 1)

/** After this time without a byte, the `fetch` of Node and Bun fails by itself. */
export const fetchTimeout = Duration.seconds(300)
