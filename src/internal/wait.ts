/**
 * Waiting for an effect that somebody else may end the wait for.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"

/**
 * The one wait of a reader, and the reason to end it.
 *
 * What is waited for runs in a fiber of its own: a wait that ends early does not wait for it to be interrupted, so a
 * client that cannot be interrupted holds nobody up.
 */
export class Wait<Reason> {
  private readonly runtime: Runtime.Runtime<never>
  private readonly onSettle: () => void
  private reason: Reason | undefined
  private leave: ((reason: Reason) => void) | undefined

  constructor(runtime: Runtime.Runtime<never>, onSettle: () => void = () => {}) {
    // The runtime may have been taken where interruption is off, and what is waited for must never be.
    this.runtime = Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption)
    this.onSettle = onSettle
  }

  /** Waits for the effect, or fails with the reason as soon as there is one. */
  for<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Reason> {
    return Effect.async<A, E | Reason>((resume) => {
      if (this.reason !== undefined) {
        resume(Effect.fail(this.reason))
        return
      }
      const fiber = Runtime.runFork(this.runtime)(effect)
      const settle = (): void => {
        this.leave = undefined
        this.onSettle()
      }
      this.leave = (reason) => {
        settle()
        resume(Effect.zipRight(Fiber.interruptFork(fiber), Effect.fail(reason)))
      }
      fiber.addObserver((exit) => {
        settle()
        resume(exit)
      })
      return Effect.zipRight(Effect.sync(settle), Fiber.interrupt(fiber))
    })
  }

  /** Ends the wait, and every later one, with this reason. */
  end(reason: Reason): void {
    this.reason = reason
    this.leave?.(reason)
  }
}
