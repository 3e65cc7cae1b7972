/**
 * Reads and writes of a store, which go on when their caller leaves.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { detach } from "../transport/wait.ts"

/** The writes of one conversation, or of one manager, that are in progress. Mutable. */
export class Background {
  /** Undefined while there are none: most conversations of a manager have none. */
  #running: Set<Deferred.Deferred<void>> | undefined

  /** Whether no write is in progress. */
  get isIdle(): boolean {
    return this.#running === undefined
  }

  /** Waits for the writes that are in progress, whatever comes of them. */
  get settled(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#running === undefined
        ? Effect.void
        : Effect.forEach(Array.from(this.#running), Deferred.await, { discard: true })
    )
  }

  /**
   * Starts a write at once. The effect that this returns waits for it, and can be interrupted, which does not end the
   * write.
   */
  start<A, E>(write: Effect.Effect<A, E>): Effect.Effect<Effect.Effect<A, E>> {
    return Effect.uninterruptible(Effect.flatMap(Deferred.make<void>(), (ended) => {
      const running = this.#running ??= new Set()
      running.add(ended)
      const end = Effect.suspend(() => {
        running.delete(ended)
        if (running.size === 0) this.#running = undefined
        return Deferred.succeed(ended, undefined)
      })
      return Effect.map(detach(Effect.exit(Effect.ensuring(write, end))), waitFor)
    }))
  }

  /** Starts a write at once and waits for it. */
  run<A, E>(write: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.flatten(this.start(write))
  }
}

/** Runs a read in a fiber of its own. An interruption leaves it behind. */
export const read = <A, E>(read: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.flatMap(Effect.uninterruptible(detach(Effect.exit(read))), waitFor)

const waitFor = <A, E>(fiber: Fiber.RuntimeFiber<Exit.Exit<A, E>>): Effect.Effect<A, E> =>
  Effect.flatten(Effect.flatten(Fiber.await(fiber)))
