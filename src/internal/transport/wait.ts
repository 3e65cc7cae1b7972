/**
 * Waiting for an effect or a callback that something else can end: a time limit, or an `AbortSignal`.
 */
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as FiberId from "effect/FiberId"
import * as FiberRef from "effect/FiberRef"
import { constVoid } from "effect/Function"
import * as Runtime from "effect/Runtime"
import * as RuntimeFlags from "effect/RuntimeFlags"
import type * as Scheduler from "effect/Scheduler"

/** The caller ended the call. */
export interface Stopped {
  readonly _tag: "Stopped"
}

export const stopped: Stopped = { _tag: "Stopped" }

/**
 * Takes a result and returns whether the reader was still waiting. A result that is undefined is taken, and leaves the
 * reader waiting.
 */
export type Take<A, E> = (result: () => Effect.Effect<A, E> | undefined) => boolean

/** Cancels what was scheduled. */
export type Cancel = () => void

/** The one wait of a reader, which ends early with a reason. */
export class Wait<Reason> {
  readonly #runtime: Runtime.Runtime<never>
  #reason: Reason | undefined
  #leave: ((reason: Reason) => void) | undefined
  #reader: Fiber.RuntimeFiber<unknown, unknown> | undefined

  constructor(runtime: Runtime.Runtime<never>) {
    this.#runtime = interruptible(runtime)
  }

  /** Whether the reader waits. A reader that was interrupted does not. */
  get isWaiting(): boolean {
    return this.#leave !== undefined && this.#reader?.unsafePoll() === null
  }

  /**
   * Waits for the effect, or fails with the reason as soon as there is one.
   *
   * The effect runs in a fiber of its own: a wait that ends early does not wait until the effect is interrupted, so a
   * client that cannot be interrupted delays nobody.
   */
  for<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Reason> {
    return this.forWith(this.#runtime.context, effect)
  }

  /** Like `for`, with these services instead of those that the wait was made with. */
  forWith<A, E, R>(services: Context.Context<R>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Reason> {
    return Effect.suspend(() => {
      let fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>> | undefined
      // At once, not from another fiber: what ends the wait may go on to close what the fiber uses.
      const interrupt = (): void => fiber?.unsafeInterruptAsFork(FiberId.none)
      const wait = this.until<A, E | Reason>((take) => {
        // The reader receives a failure: it is not logged.
        fiber = Runtime.runFork(Runtime.updateContext(this.#runtime, () => services), Effect.exit(effect))
        fiber.addObserver((exit) => take(() => Exit.flatten(exit)))
        // The effect may have ended the wait itself as it began.
        if (this.#reason !== undefined) interrupt()
      }, (reason) => {
        interrupt()
        return Effect.fail(reason)
      })
      return Effect.onInterrupt(wait, () => fiber === undefined ? Effect.void : Fiber.interrupt(fiber))
    })
  }

  /**
   * Suspends, without a fiber, until the callback or `end` fires. The callback's effect is made when its result is taken,
   * and runs in the reader's fiber.
   */
  until<A, E>(
    begin: (take: Take<A, E>) => void,
    left: (reason: Reason) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.withFiberRuntime((reader) =>
      // Whether the reader was interrupted is read from its fiber: a finalizer would cost more than all the rest.
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

  /** Runs an effect in the background. */
  readonly fork = <A, E>(effect: Effect.Effect<A, E>): Cancel => {
    const fiber = Runtime.runFork(this.#runtime, effect)
    // At once, not from another fiber: nobody waits for this.
    return () => fiber.unsafeInterruptAsFork(FiberId.none)
  }
}

/** What it runs can be interrupted, also if the runtime was captured where interruption is off. */
export const interruptible = (runtime: Runtime.Runtime<never>): Runtime.Runtime<never> =>
  Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption)

/** Calls back when the signal is aborted, also if it already is. */
export const onAbort = (signal: AbortSignal | undefined, callback: () => void): Cancel => {
  if (signal === undefined) return constVoid
  if (signal.aborted) callback()
  else signal.addEventListener("abort", callback, { once: true })
  return () => signal.removeEventListener("abort", callback)
}

/**
 * Runs the effect, or fails with `Stopped` as soon as the signal is aborted. The effect is interrupted then, and left
 * behind if it cannot be.
 */
export const untilAborted = <A, E>(
  effect: Effect.Effect<A, E>,
  signal: AbortSignal | undefined
): Effect.Effect<A, E | Stopped> =>
  signal === undefined ? effect : Effect.flatMap(Effect.runtime<never>(), (runtime) => {
    const wait = new Wait<Stopped>(runtime)
    const cancel = onAbort(signal, () => wait.end(stopped))
    return Effect.ensuring(wait.for(effect), Effect.sync(cancel))
  })

/**
 * Starts an effect at once, in a fiber that neither the end nor an interruption of the caller ends. An effect that waits
 * for nothing has ended when this is done.
 */
export const detach = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Fiber.RuntimeFiber<A, E>> =>
  Effect.withFiberRuntime((caller) =>
    Effect.map(Effect.runtime<never>(), (runtime) => {
      const scheduler = new EagerScheduler(caller.currentScheduler)
      // A caller that is being interrupted hands down its interruption otherwise.
      const inherited = Runtime.deleteFiberRef(interruptible(runtime), FiberRef.interruptedCause)
      const fiber = Runtime.runFork(inherited, effect, { scheduler })
      scheduler.flush()
      return fiber
    })
  )

/** How many steps of a fiber run at once. */
const eagerSteps = 256

/** Runs the first steps of a fiber at once, and leaves the others to another scheduler. */
class EagerScheduler implements Scheduler.Scheduler {
  readonly #other: Scheduler.Scheduler
  #tasks: Array<Scheduler.Task> | undefined = []

  constructor(other: Scheduler.Scheduler) {
    this.#other = other
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return this.#other.shouldYield(fiber)
  }

  scheduleTask(task: Scheduler.Task, priority: number): void {
    if (this.#tasks === undefined) this.#other.scheduleTask(task, priority)
    else this.#tasks.push(task)
  }

  flush(): void {
    const tasks = this.#tasks ?? []
    for (let n = 0; n < eagerSteps; n++) tasks.shift()?.()
    this.#tasks = undefined
    for (const task of tasks) this.#other.scheduleTask(task, 0)
  }
}

/** The effect of a callback's result. A result that throws is the reader's defect, not the caller's. */
const made = <A, E>(result: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> | undefined => {
  try {
    return result()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** A Deferred that is made at once, for state that must not change between two effects. */
export const makeDeferred = <A, E = never>(): Deferred.Deferred<A, E> => Deferred.unsafeMake(FiberId.none)
