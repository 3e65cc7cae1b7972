/**
 * Waits for an effect or a callback, unless a time limit or an `AbortSignal` ends the wait. Also starts effects that outlive
 * their caller.
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
 * Receives a result, and returns whether the reader was still waiting. After an undefined result, the reader continues to
 * wait.
 */
export type Take<A, E> = (result: () => Effect.Effect<A, E> | undefined) => boolean

/** Cancels what was scheduled. */
export type Cancel = () => void

/** The wait of one reader, which can be ended early with a reason. */
export class Wait<Reason> {
  readonly #runtime: Runtime.Runtime<never>
  #reason: Reason | undefined
  #endWait: ((reason: Reason) => void) | undefined
  #reader: Fiber.RuntimeFiber<unknown, unknown> | undefined

  constructor(runtime: Runtime.Runtime<never>) {
    this.#runtime = interruptible(runtime)
  }

  /** Whether the reader waits. A reader that was interrupted does not. */
  get isWaiting(): boolean {
    return this.#endWait !== undefined && this.#reader?.unsafePoll() === null
  }

  /**
   * Waits for the effect, or fails with the reason as soon as there is one.
   *
   * The effect runs in its own fiber. A wait that ends early does not wait for the effect's interruption, so a client that
   * cannot be interrupted does not delay the reader.
   */
  for<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Reason> {
    return this.forWith(this.#runtime.context, effect)
  }

  /** Like `for`, with these services instead of those of the wait's runtime. */
  forWith<A, E, R>(services: Context.Context<R>, effect: Effect.Effect<A, E, R>): Effect.Effect<A, E | Reason> {
    return Effect.suspend(() => {
      let fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>> | undefined
      // Synchronously: the code that ends the wait may then close what the fiber uses.
      const interrupt = (): void => fiber?.unsafeInterruptAsFork(FiberId.none)
      const wait = this.until<A, E | Reason>((take) => {
        // As an `Exit`, because Effect would log a failure that the reader receives anyway.
        fiber = Runtime.runFork(Runtime.updateContext(this.#runtime, () => services), Effect.exit(effect))
        fiber.addObserver((exit) => take(() => Exit.flatten(exit)))
        // The effect may have ended the wait while it started.
        if (this.#reason !== undefined) interrupt()
      }, (reason) => {
        interrupt()
        return Effect.fail(reason)
      })
      return Effect.onInterrupt(wait, () => fiber === undefined ? Effect.void : Fiber.interrupt(fiber))
    })
  }

  /**
   * Suspends, without a fiber, until the callback or `end` fires. The callback's result is evaluated when it is taken, and
   * its effect runs in the reader's fiber.
   */
  until<A, E>(
    start: (take: Take<A, E>) => void,
    onEnd: (reason: Reason) => Effect.Effect<A, E>
  ): Effect.Effect<A, E> {
    return Effect.withFiberRuntime((reader) =>
      // `isWaiting` reads from the fiber whether it was interrupted: a finalizer would be the largest cost here.
      Effect.async((resume) => {
        const endWait = (reason: Reason): void => {
          this.#endWait = undefined
          resume(onEnd(reason))
        }
        this.#reader = reader
        this.#endWait = endWait
        if (this.#reason !== undefined) return endWait(this.#reason)
        start((result) => {
          if (this.#endWait !== endWait || !this.isWaiting) return false
          const effect = evaluate(result)
          if (effect !== undefined) {
            this.#endWait = undefined
            // The wait can be ended between its result and the reader's next step.
            resume(Effect.suspend(() => this.#reason === undefined ? effect : onEnd(this.#reason)))
          }
          return true
        })
      })
    )
  }

  /** Ends the wait, and every later one, with this reason. */
  end(reason: Reason): void {
    this.#reason = reason
    this.#endWait?.(reason)
  }

  /** Runs an effect in the background. */
  readonly fork = <A, E>(effect: Effect.Effect<A, E>): Cancel => {
    const fiber = Runtime.runFork(this.#runtime, effect)
    // Synchronously: nobody waits for the interruption.
    return () => fiber.unsafeInterruptAsFork(FiberId.none)
  }
}

/** A runtime with interruption enabled, even if it was captured in an uninterruptible region. */
export const interruptible = (runtime: Runtime.Runtime<never>): Runtime.Runtime<never> =>
  Runtime.enableRuntimeFlag(runtime, RuntimeFlags.Interruption)

/** Calls back when the signal is aborted, or at once if it already is. */
export const onAbort = (signal: AbortSignal | undefined, callback: () => void): Cancel => {
  if (signal === undefined) return constVoid
  if (signal.aborted) callback()
  else signal.addEventListener("abort", callback, { once: true })
  return () => signal.removeEventListener("abort", callback)
}

/**
 * Runs the effect, or fails with `Stopped` as soon as the signal is aborted. Does not wait for the effect's interruption.
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
 * Starts an effect at once, in a fiber that outlives its caller and the caller's interruption. An effect that waits for
 * nothing ends before this returns.
 */
export const detach = <A, E>(effect: Effect.Effect<A, E>): Effect.Effect<Fiber.RuntimeFiber<A, E>> =>
  Effect.withFiberRuntime((caller) =>
    Effect.map(Effect.runtime<never>(), (runtime) => {
      const scheduler = new EagerScheduler(caller.currentScheduler)
      // Otherwise the fiber inherits the interruption of its caller.
      const inherited = Runtime.deleteFiberRef(interruptible(runtime), FiberRef.interruptedCause)
      const fiber = Runtime.runFork(inherited, effect, { scheduler })
      scheduler.flush()
      return fiber
    })
  )

/** The maximum number of tasks of a fiber that run at once. */
const maxEagerTasks = 256

/** Runs the first tasks of a fiber at once, and passes the others to another scheduler. */
class EagerScheduler implements Scheduler.Scheduler {
  readonly #fallback: Scheduler.Scheduler
  #tasks: Array<Scheduler.Task> | undefined = []

  constructor(fallback: Scheduler.Scheduler) {
    this.#fallback = fallback
  }

  shouldYield(fiber: Fiber.RuntimeFiber<unknown, unknown>): number | false {
    return this.#fallback.shouldYield(fiber)
  }

  scheduleTask(task: Scheduler.Task, priority: number): void {
    if (this.#tasks === undefined) this.#fallback.scheduleTask(task, priority)
    else this.#tasks.push(task)
  }

  flush(): void {
    const tasks = this.#tasks ?? []
    for (let n = 0; n < maxEagerTasks; n++) tasks.shift()?.()
    this.#tasks = undefined
    for (const task of tasks) this.#fallback.scheduleTask(task, 0)
  }
}

/** Evaluates a callback's result. If it throws, that is a defect of the reader, not of the callback's caller. */
const evaluate = <A, E>(result: () => Effect.Effect<A, E> | undefined): Effect.Effect<A, E> | undefined => {
  try {
    return result()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** Creates a Deferred synchronously, for state that must not change between two effects. */
export const makeDeferred = <A, E = never>(): Deferred.Deferred<A, E> => Deferred.unsafeMake(FiberId.none)
