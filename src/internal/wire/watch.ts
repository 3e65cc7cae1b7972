/**
 * The time limits of one call, on the Effect Clock.
 *
 * One fiber a call sleeps until the next limit and looks whether it was passed, so that a network chunk costs no timer.
 */
import type * as Clock from "effect/Clock"
import type * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import type { Take, Wait } from "../wait.ts"

/** The limit that was passed. */
export interface Passed {
  readonly _tag: "Passed"
  readonly phase: "firstToken" | "idle" | "total"
  readonly limit: Duration.Duration
}

/** The caller ended the call. */
export interface Stopped {
  readonly _tag: "Stopped"
}

export const stopped: Stopped = { _tag: "Stopped" }

/** The wait of one call. */
export type CallWait = Wait<Passed | Stopped>

/** The limits of a call. */
export interface Limits {
  readonly firstTokenTimeout: Duration.Duration
  readonly idleTimeout: Duration.Duration
  readonly totalTimeout: Duration.Duration
}

interface Deadline extends Passed {
  /** Milliseconds of the Clock; infinite where there is no limit. */
  readonly at: number
}

/** Watches one call, from now until its caller ends it. */
export class Watch {
  readonly #limits: Limits
  readonly #clock: Clock.Clock
  readonly #waiting: CallWait
  readonly #begun: number
  #attemptBegun: number | undefined
  #answered = false
  #waitingSince = 0
  #lastLife = 0
  #sleeper: Fiber.RuntimeFiber<void> | undefined

  constructor(limits: Limits, clock: Clock.Clock, waiting: CallWait) {
    this.#limits = limits
    this.#clock = clock
    this.#waiting = waiting
    this.#begun = this.now
  }

  /** The call is over: no limit counts any more. */
  end(): void {
    // At once, not from another fiber: nobody waits for this.
    this.#sleeper?.unsafeInterruptAsFork(FiberId.none)
  }

  /** Milliseconds of the Clock. */
  get now(): number {
    return this.#clock.unsafeCurrentTimeMillis()
  }

  /** An attempt begins: the time to its first token counts from now. */
  attempt(): void {
    this.#attemptBegun = this.now
    this.#sleeper ??= this.#waiting.beside(this.#run)
  }

  /** The attempt failed: until the next one only the whole call's limit counts. */
  pause(): void {
    this.#attemptBegun = undefined
  }

  /** The server sent something, if only a comment. */
  life(): void {
    this.#lastLife = this.now
  }

  /** The first token came: from now on the silence between chunks counts. */
  answer(): void {
    this.#answered = true
  }

  /** Waits for an effect, but not past a limit. */
  wait<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Passed | Stopped> {
    return this.#since(this.#waiting.for(effect))
  }

  /** Waits for an effect that has these services, but not past a limit. */
  waitWith<A, E, R>(
    services: Context.Context<R>,
    effect: Effect.Effect<A, E, R>
  ): Effect.Effect<A, E | Passed | Stopped> {
    return this.#since(this.#waiting.forWith(services, effect))
  }

  /** Waits for a callback, but not past a limit. */
  until<A, E>(
    begin: (take: Take<A, E>) => void,
    left: (end: Passed | Stopped) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return this.#waiting.until((take) => {
      this.#waitingSince = this.now
      begin(take)
    }, left)
  }

  #since<A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.#waitingSince = this.now
      return wait
    })
  }

  /** Sleeps from limit to limit until one is passed. */
  readonly #run: Effect.Effect<void> = Effect.suspend(() => {
    const { now } = this
    const { firstTokenTimeout, idleTimeout, totalTimeout } = this.#limits
    const total = deadline("total", totalTimeout, this.#begun)
    const other = this.#answered
      ? deadline("idle", idleTimeout, this.#silentSince(now))
      : deadline("firstToken", firstTokenTimeout, this.#attemptBegun ?? now)
    const next = other.at < total.at ? other : total
    if (next.at <= now) {
      this.#waiting.end(next)
      return Effect.void
    }
    // Silence can begin to count at any moment from now on, and can then not be too long before `idleTimeout`.
    const wait = Math.min(Duration.toMillis(idleTimeout), next.at - now)
    return Number.isFinite(wait) ? Effect.zipRight(Effect.sleep(wait), this.#run) : Effect.void
  })

  /** A consumer that takes its time is no silent server: only the time spent waiting counts. */
  #silentSince(now: number): number {
    return this.#waiting.isWaiting ? Math.max(this.#waitingSince, this.#lastLife) : now
  }
}

const deadline = (phase: Passed["phase"], limit: Duration.Duration, from: number): Deadline => ({
  _tag: "Passed",
  phase,
  limit,
  at: from + Duration.toMillis(limit)
})
