/**
 * Operations, such as the reads and writes of a store, that continue if their caller is interrupted.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { detach } from "../transport/wait.ts"

/** The operations in progress of one conversation or of one manager, such as writes. Mutable. */
export class Background {
  /** Undefined without operations, to save memory. */
  #running: Set<Deferred.Deferred<void>> | undefined

  /** Whether no operation is in progress. */
  get isIdle(): boolean {
    return this.#running === undefined
  }

  /** Waits until the operations in progress have succeeded or failed. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#running === undefined
        ? Effect.void
        : Effect.forEach(Array.from(this.#running), Deferred.await, { discard: true })
    )
  }

  /**
   * Starts an operation. Returns an effect that waits for its result. An interruption of this wait does not interrupt the
   * operation.
   */
  start<A, E>(operation: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> {
    return Effect.uninterruptible(Effect.flatMap(Deferred.make<void>(), (ended) => {
      const running = this.#running ??= new Set()
      running.add(ended)
      const end = Effect.suspend(() => {
        running.delete(ended)
        if (running.size === 0) this.#running = undefined
        return Deferred.succeed(ended, undefined)
      })
      return Effect.map(detach(Effect.exit(Effect.ensuring(operation, end))), waitFor)
    }))
  }

  /** Starts an operation and waits for its result. */
  run<A, E>(operation: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.flatten(this.start(operation))
  }
}

/** Runs a read in its own fiber, which continues if the caller is interrupted. */
export const read = <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.uninterruptible(detach(Effect.exit(read))), waitFor)

const waitFor = <A, E>(fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>): Effect.Effect<A, E> =>
  Effect.flatten(Effect.flatten(Fiber.await(fiber)))
