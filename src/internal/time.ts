/**
 * Monotonic time, to measure durations. It never jumps, unlike the wall clock, which is for dates.
 */
import type * as Clock from "effect/Clock"

const nanosPerMilli = 1e6

/** Milliseconds since an origin that the Clock chooses. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / nanosPerMilli

/** Milliseconds since 1970, for dates only. */
export const dateMillis = (clock: Clock.Clock): number => clock.unsafeCurrentTimeMillis()

/**
 * The milliseconds of a timer for a moment that is this far in the future: at least 1, because timers fire up to a
 * millisecond early, and at most 24 days, the maximum of a timer.
 */
export const timerMillis = (ahead: number): number => Math.min(Math.max(Math.ceil(ahead), 1), 2 ** 31 - 1)
