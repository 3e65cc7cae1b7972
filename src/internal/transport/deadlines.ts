/**
 * The time limits of one call, on the Effect Clock.
 *
 * Each call has one timer, which runs until the next limit could be exceeded. A network chunk sets no timer.
 */
import type * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import { dateMillis, monotonicMillis, timerMillis } from "../time.ts"
import type { Cancel, Stopped, Wait } from "./wait.ts"

/** The limit that was exceeded. */
export interface TimedOut {
  readonly _tag: "TimedOut"
  readonly phase: "firstToken" | "idle" | "total"
  readonly limit: Duration.Duration
}

/** The wait of a call, which a time limit or the caller's signal can end. */
export type CallWait = Wait<TimedOut | Stopped>

/** The limits of a call. */
export interface TimeLimits {
  readonly firstTokenTimeout: Duration.Duration
  readonly idleTimeout: Duration.Duration
  readonly totalTimeout: Duration.Duration
}

interface Deadline extends TimedOut {
  /** Milliseconds of monotonic time; infinite if there is no limit. */
  readonly at: number
}

/** The deadlines of one call, from its creation until `end`. */
export class Deadlines {
  readonly #limits: TimeLimits
  readonly #clock: Clock.Clock
  /** The wait that an exceeded limit ends. */
  readonly wait: CallWait
  readonly #start: number
  #attemptStart: number | undefined
  #answered = false
  /** When the server last sent data or the reader started to wait. */
  #silentSince = 0
  #cancel: Cancel | undefined

  constructor(limits: TimeLimits, clock: Clock.Clock, wait: CallWait) {
    this.#limits = limits
    this.#clock = clock
    this.wait = wait
    this.#start = this.#now
  }

  /** Ends the call: no limit applies any more. */
  end(): void {
    this.#cancel?.()
    this.#cancel = constVoid
  }

  /** The date, in milliseconds since 1970. */
  get date(): number {
    return dateMillis(this.#clock)
  }

  get #now(): number {
    return monotonicMillis(this.#clock)
  }

  /** Starts an attempt: the time to its first token counts from now. */
  attempt(): void {
    this.#attemptStart = this.#now
    if (this.#cancel === undefined) this.#cancel = this.wait.fork(this.#check)
  }

  /** Ends a failed attempt: until the next one, only the total limit applies. */
  pause(): void {
    this.#attemptStart = undefined
    this.#answered = false
  }

  /**
   * Restarts the idle time: the server sent data (also a comment), or the reader starts to wait. `isAnswer` means that the
   * answer has started. From then on, the idle limit applies instead of the limit to the first token.
   */
  touch(isAnswer = false): void {
    this.#silentSince = this.#now
    this.#answered ||= isAnswer
  }

  /** Runs the task after `millis` milliseconds of the Clock, or after 24 days if that is sooner, unless it is cancelled. */
  schedule(millis: number, task: () => void): Cancel {
    return this.wait.fork(Effect.map(this.#clock.sleep(Duration.millis(timerMillis(millis))), task))
  }

  /** Ends the wait if a limit is exceeded. Otherwise sleeps until one can be exceeded. */
  readonly #check: Effect.Effect<void> = Effect.suspend(() => {
    const now = this.#now
    const { firstTokenTimeout, idleTimeout, totalTimeout } = this.#limits
    const total = deadline("total", totalTimeout, this.#start)
    const attemptDeadline = this.#answered
      // Only the time spent waiting counts, so a busy consumer does not look like a silent server.
      ? deadline("idle", idleTimeout, this.wait.isWaiting ? this.#silentSince : now)
      : deadline("firstToken", firstTokenTimeout, this.#attemptStart ?? now)
    const next = attemptDeadline.at < total.at ? attemptDeadline : total
    if (next.at <= now) return Effect.sync(() => this.wait.end(next))
    // The idle time can start at any moment from now, and can exceed its limit after `idleTimeout` at the earliest.
    const sleepMillis = timerMillis(Math.min(Duration.toMillis(idleTimeout), next.at - now))
    return Effect.zipRight(this.#clock.sleep(Duration.millis(sleepMillis)), this.#check)
  })
}

const deadline = (phase: TimedOut["phase"], limit: Duration.Duration, from: number): Deadline => ({
  _tag: "TimedOut",
  at: from + Duration.toMillis(limit),
  limit,
  phase
})
