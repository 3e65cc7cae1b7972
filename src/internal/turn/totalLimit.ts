/**
 * The time that a turn of several requests may take, with its handlers and without the waits for approvals.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { TimeoutError } from "../../ChatError.ts"
import { type LLMConfig, override } from "../../LLMConfig.ts"
import { monotonicMillis } from "../time.ts"

/** The limit of one turn. Mutable. */
export class TotalLimit {
  readonly #limit: Duration.Duration
  #start: number | undefined
  /** How long the turn has waited for approvals. */
  #waited = 0
  #waiting = 0
  #since = 0

  constructor(limit: Duration.Duration) {
    this.#limit = limit
  }

  /** The config of the next request, with what is left of the limit. */
  config(config: LLMConfig): Effect.Effect<LLMConfig, TimeoutError> {
    if (!Duration.isFinite(this.#limit)) return Effect.succeed(config)
    return Effect.flatMap(this.#left, (left) => {
      if (left <= 0) return Effect.fail(this.#error)
      return Effect.succeed(Either.getOrElse(override(config, { totalTimeout: left }), () => config))
    })
  }

  /** Runs handlers. Those that an approval can hold up are not limited: the next request is. */
  run<A, E>(handlers: Effect.Effect<A, E>, canWait: boolean): Effect.Effect<A, E | TimeoutError> {
    if (!Duration.isFinite(this.#limit)) return handlers
    return Effect.flatMap(this.#left, (left) =>
      canWait
        ? handlers
        : Effect.timeoutFail(handlers, { duration: Math.max(left, 0), onTimeout: () => this.#error }))
  }

  /** Runs a wait for an approval, which does not count. */
  readonly wait = <A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.map(now, (now) => {
        if (this.#waiting++ === 0) this.#since = now
      }),
      () => wait,
      () =>
        Effect.map(now, (now) => {
          if (--this.#waiting === 0) this.#waited += now - this.#since
        })
    )

  /** The milliseconds that are left, which begin to count with the first look. */
  get #left(): Effect.Effect<number> {
    return Effect.map(now, (now) => {
      this.#start ??= now
      return Duration.toMillis(this.#limit) - (now - this.#start - this.#waited)
    })
  }

  get #error(): TimeoutError {
    return new TimeoutError({
      message: `The turn took longer than ${Duration.format(this.#limit)}`,
      phase: "total",
      limit: this.#limit
    })
  }
}

const now = Effect.map(Effect.clock, monotonicMillis)
