/**
 * Waiting for an effect that somebody else may end the wait for.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
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
    this.runtime = runtime.pipe(
      // The runtime may have been taken where interruption is off, and what is waited for must never be.
      Runtime.enableRuntimeFlag(RuntimeFlags.Interruption),
      // Whoever waits hears of a failure: it is not for the log.
      Runtime.setFiberRef(FiberRef.unhandledErrorLogLevel, Option.none())
    )
    this.onSettle = onSettle
  }

  /** Waits for the effect, or fails with the reason as soon as there is one. */
  for<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Reason> {
    return Effect.uninterruptibleMask((restore) => {
      if (this.reason !== undefined) return Effect.fail(this.reason)
      const fiber = Runtime.runFork(this.runtime)(effect)
      return Effect.onInterrupt(restore(this.join(fiber)), () => {
        this.settle()
        return Fiber.interrupt(fiber)
      })
    })
  }

  /** Ends the wait, and every later one, with this reason. */
  end(reason: Reason): void {
    this.reason = reason
    this.leave?.(reason)
  }

  private join<A, E>(fiber: Fiber.RuntimeFiber<A, E>): Effect.Effect<A, E | Reason> {
    return Effect.async((resume) => {
      this.leave = (reason) => {
        this.settle()
        // At once, not from another fiber: what ends the wait may go on to close what the fiber uses.
        fiber.unsafeInterruptAsFork(FiberId.none)
        resume(Effect.fail(reason))
      }
      if (this.reason !== undefined) this.leave(this.reason)
      fiber.addObserver((exit) => {
        this.settle()
        // The wait can be ended after this, and before the reader goes on.
        resume(
          Effect.suspend((): Effect.Effect<A, E | Reason> =>
            this.reason === undefined ? exit : Effect.fail(this.reason)
          )
        )
      })
    })
  }

  private settle(): void {
    this.leave = undefined
    this.onSettle()
  }
}
