/**
 * The removals that are in progress. A conversation that begins meanwhile waits for them.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { makeDeferred } from "../transport/wait.ts"

/** Removals by id, one after another of each. Mutable. */
export class Removals {
  readonly #running = new Map<string, Deferred.Deferred<void>>()

  /** Waits for the removals of this id that were added so far. Undefined if there are none in progress. */
  last(id: string): Effect.Effect<void> | undefined {
    const gone = this.#running.get(id)
    return gone === undefined ? undefined : Deferred.await(gone)
  }

  /** Adds a removal at once. It is in progress until the effect that this returns has run. */
  add<A, E>(id: string, removal: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const before = this.last(id) ?? Effect.void
    const gone = makeDeferred<void>()
    this.#running.set(id, gone)
    return Effect.ensuring(
      Effect.zipRight(before, removal),
      Effect.suspend(() => {
        if (this.#running.get(id) === gone) this.#running.delete(id)
        return Deferred.succeed(gone, undefined)
      })
    )
  }
}
