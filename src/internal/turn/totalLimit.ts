/**
 * The total time limit of a turn with several requests. Handlers count, and waits for approvals do not.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { TimeoutError } from "../../ChatError.ts"
import { type LLMConfig, override } from "../../LLMConfig.ts"
import { monotonicNow } from "../time.ts"

/** The limit of one turn. Mutable. */
export class TotalLimit {
  readonly #limit: Duration.Duration
  #start: number | undefined
  /** How long the turn has waited for approvals, in milliseconds. */
  #waited = 0
  /** How many waits for approvals are in progress. */
  #waiting = 0
  /** When the first of them began. */
  #since = 0

  constructor(limit: Duration.Duration) {
    this.#limit = limit
  }

  /** The config of the next request, with the remaining time as its `totalTimeout`. */
  withRemaining(config: LLMConfig): Effect.Effect<LLMConfig, TimeoutError> {
    if (!Duration.isFinite(this.#limit)) return Effect.succeed(config)
    return Effect.flatMap(this.#remaining, (left) => {
      if (left <= 0) return Effect.fail(this.#error)
      return Effect.succeed(Either.getOrElse(override(config, { totalTimeout: left }), () => config))
    })
  }

  /** Runs handlers within the limit. If they can wait for an approval, only the next request checks the limit. */
  run<A, E>(handlers: Effect.Effect<A, E>, canWait: boolean): Effect.Effect<A, E | TimeoutError> {
    if (!Duration.isFinite(this.#limit)) return handlers
    return Effect.flatMap(this.#remaining, (left) =>
      canWait
        ? handlers
        : Effect.timeoutFail(handlers, { duration: Math.max(left, 0), onTimeout: () => this.#error }))
  }

  /** Pauses the limit during a wait for an approval. */
  readonly pauseDuring = <A, E>(wait: Effect.Effect<A, E>): Effect.Effect<A, E> =>
    Effect.acquireUseRelease(
      Effect.map(monotonicNow, (now) => {
        if (this.#waiting++ === 0) this.#since = now
      }),
      () => wait,
      () =>
        Effect.map(monotonicNow, (now) => {
          if (--this.#waiting === 0) this.#waited += now - this.#since
        })
    )

  /** The remaining milliseconds. The limit starts at the first read. */
  get #remaining(): Effect.Effect<number> {
    return Effect.map(monotonicNow, (now) => {
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
