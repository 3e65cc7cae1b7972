/**
 * Durations, which count by the Clock's nanoseconds: the date of a machine can jump.
 */
import type * as Clock from "effect/Clock"

/** Milliseconds from an unknown start. Their difference is a duration, whatever happens to the date. */
export const monotonicMillis = (clock: Clock.Clock): number => Number(clock.unsafeCurrentTimeNanos()) / 1e6
