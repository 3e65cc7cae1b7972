/**
 * The time limits of one call, on the Effect Clock.
 *
 * One timer a call runs until the next limit, whose passing is then looked for, so that a network chunk costs no timer.
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as DefaultServices from "effect/DefaultServices"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { constVoid } from "effect/Function"
import type { Wait } from "./wait.ts"

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

/** Calls off what has not been called back. */
export type CallOff = () => void

/** The Clock of programs that set no other. */
const realTime = Context.get(DefaultServices.liveServices, Clock.Clock)

interface Deadline extends Passed {
  /** Milliseconds of the Clock; infinite where there is no limit. */
  readonly at: number
}

/** Watches one call, from now until its caller ends it. */
export class Watch {
  readonly #limits: Limits
  readonly #clock: Clock.Clock
  /** The wait that a passed limit ends. */
  readonly waiting: CallWait
  readonly #begun: number
  #attemptBegun: number | undefined
  #answered = false
  /** When the server last sent something, or the reader began to wait. */
  #silentFrom = 0
  #callOff: CallOff | undefined

  constructor(limits: Limits, clock: Clock.Clock, waiting: CallWait) {
    this.#limits = limits
    this.#clock = clock
    this.waiting = waiting
    this.#begun = this.now
  }

  /** The call is over: no limit counts any more. */
  end(): void {
    this.#callOff?.()
    this.#callOff = constVoid
  }

  /** Milliseconds of the Clock. */
  get now(): number {
    return this.#clock.unsafeCurrentTimeMillis()
  }

  /** An attempt begins: the time to its first token counts from now. */
  attempt(): void {
    this.#attemptBegun = this.now
    if (this.#callOff === undefined) this.#look()
  }

  /** The attempt failed: until the next one only the whole call's limit counts. */
  pause(): void {
    this.#attemptBegun = undefined
    this.#answered = false
  }

  /**
   * The server sent something, if only a comment, or somebody begins to wait for it. From the first piece of the answer on
   * it is the silence since then that counts.
   */
  life(isAnswer = false): void {
    this.#silentFrom = this.now
    this.#answered ||= isAnswer
  }

  /**
   * Calls back after so many milliseconds of the Clock, unless that is called off; where they are more than a timer can
   * take, after those: 24 days.
   *
   * Real time has a timer of the platform, which costs less than a fiber that sleeps and is interrupted. Every other Clock
   * has such a fiber.
   */
  later(millis: number, task: () => void): CallOff {
    const time = Math.min(millis, 2 ** 31 - 1)
    if (this.#clock === realTime) {
      // @effect-diagnostics-next-line globalTimers:off
      const timer = setTimeout(task, time)
      return () => clearTimeout(timer)
    }
    const fiber = this.waiting.beside(Effect.map(this.#clock.sleep(Duration.millis(time)), task))
    // At once, not from another fiber: nobody waits for this.
    return () => fiber.unsafeInterruptAsFork(FiberId.none)
  }

  /** Looks whether a limit was passed, and again when the next one may be. */
  readonly #look = (): void => {
    const { now } = this
    const { firstTokenTimeout, idleTimeout, totalTimeout } = this.#limits
    const total = deadline("total", totalTimeout, this.#begun)
    const other = this.#answered
      // A consumer that takes its time is no silent server: only the time spent waiting counts.
      ? deadline("idle", idleTimeout, this.waiting.isWaiting ? this.#silentFrom : now)
      : deadline("firstToken", firstTokenTimeout, this.#attemptBegun ?? now)
    const next = other.at < total.at ? other : total
    if (next.at <= now) return this.waiting.end(next)
    // Silence can begin to count at any moment from now on, and can then not be too long before `idleTimeout`.
    this.#callOff = this.later(Math.min(Duration.toMillis(idleTimeout), next.at - now), this.#look)
  }
}

const deadline = (phase: Passed["phase"], limit: Duration.Duration, from: number): Deadline => ({
  _tag: "Passed",
  at: from + Duration.toMillis(limit),
  limit,
  phase
})
