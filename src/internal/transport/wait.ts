/**
 * Waiting for an effect or a callback, where somebody else may end the wait.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"

/**
 * Takes a result, and says whether somebody still waited for it. One that is undefined leaves the reader waiting: it was
 * taken, and is nothing to wake for.
 */
export type Take<A, E> = (result: () => Effect.Effect<A, E> | undefined) => boolean

/** The one wait of a reader, and the reason to end it. */
export class Wait<Reason> {
  readonly #runtime: Runtime.Runtime<never>
  #reason: Reason | undefined
  #leave: ((reason: Reason) => void) | undefined
  #reader: Fiber.RuntimeFiber<unknown, unknown> | undefined

  constructor(runtime: Runtime.Runtime<never>) {
    // It may have been taken where interruption is off, and what is waited for must never be.
    this.#runtime = Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption)
  }

  /** Whether the reader waits. One that was interrupted does not. */
  get isWaiting(): boolean {
    return this.#leave !== undefined && this.#reader?.unsafePoll() === null
  }

  /**
   * Waits for the effect, or fails with the reason as soon as there is one.
   *
   * The effect runs in a fiber of its own: a wait that ends early does not wait for it to be interrupted, so a client
   * that cannot be interrupted holds nobody up.
   */
  for<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Reason> {
    return this.forWith(this.#runtime.context, effect)
  }

  /** Like `for`, with these services in place of those that the wait was made with. */
  forWith<A, E, R>(services: Context.Context<R>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Reason> {
    return Effect.suspend(() => {
      let fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>> | undefined
      // At once, not from another fiber: what ends the wait may go on to close what the fiber uses.
      const interrupt = (): void => fiber?.unsafeInterruptAsFork(FiberId.none)
      const wait = this.until<A, E | Reason>((take) => {
        // Whoever waits hears of a failure: it is not for the log.
        fiber = Runtime.runFork(Runtime.updateContext(this.#runtime, () => services), Effect.exit(effect))
        fiber.addObserver((exit) => take(() => Exit.flatten(exit)))
        // It may have ended the wait itself as it began.
        if (this.#reason !== undefined) interrupt()
      }, (reason) => {
        interrupt()
        return Effect.fail(reason)
      })
      return Effect.onInterrupt(wait, () => fiber === undefined ? Effect.void : Fiber.interrupt(fiber))
    })
  }

  /**
   * Waits for a callback, or for the reason to leave as soon as there is one. This costs no fiber. What the callback comes
   * to is made when it is taken, and run in the reader's fiber.
   */
  until<A, E>(
    begin: (take: Take<A, E>) => void,
    left: (reason: Reason) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.withFiberRuntime((reader) =>
      // An interruption is seen by the reader's end: to be told of it would cost more than all the rest.
      Effect.async((resume) => {
        const leave = (reason: Reason): void => {
          this.#leave = undefined
          resume(left(reason))
        }
        this.#reader = reader
        this.#leave = leave
        if (this.#reason !== undefined) return leave(this.#reason)
        begin((result) => {
          if (this.#leave !== leave || !this.isWaiting) return false
          const effect = made(result)
          if (effect !== undefined) {
            this.#leave = undefined
            // The wait can be ended after its result has come, and before the reader goes on.
            resume(Effect.suspend(() => this.#reason === undefined ? effect : left(this.#reason)))
          }
          return true
        })
      })
    )
  }

  /** Ends the wait, and every later one, with this reason. */
  end(reason: Reason): void {
    this.#reason = reason
    this.#leave?.(reason)
  }

  /** Runs an effect beside the reader. */
  readonly beside = <A, E>(effect: Effect.Effect<A, E>): Fiber.RuntimeFiber<A, E> =>
    Runtime.runFork(this.#runtime, effect)
}

/** What the callback's result is. One that throws is the reader's defect, and not whoever calls back's. */
const made = <A, E>(result: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> | undefined => {
  try {
    return result()
  } catch (defect) {
    return Effect.die(defect)
  }
}
