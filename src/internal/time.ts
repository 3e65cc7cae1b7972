/**
 * Time that durations are measured in. It never jumps, unlike the wall clock, which is for dates.
 */
import type * as Clock from "effect/Clock"

const nanosPerMilli = 1e6

/** Milliseconds since an origin that the Clock chooses. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / nanosPerMilli

/** Milliseconds since 1970, for dates alone. */
export const dateMillis = (clock: Clock.Clock): number => clock.unsafeCurrentTimeMillis()

/**
 * How long a timer must run until a moment that lies so far ahead, in milliseconds: 1 at least, because timers fire up to
 * a millisecond early, and no more than a timer can take, which is 24 days.
 */
export const timerMillis = (ahead: number): number => Math.min(Math.max(Math.ceil(ahead), 1), 2 ** 31 - 1)
