/**
 * The removals that are under way: a conversation that begins meanwhile is the one that comes after.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"

/** Removals by id, one after another of each. Mutable. */
export class Removals {
  private readonly running = new Map<string, Deferred.Deferred<void>>()

  /** Waits for the removals of this id that were added so far. Undefined where none is under way. */
  last(id: string): Effect.Effect<void> | undefined {
    const gone = this.running.get(id)
    return gone === undefined ? undefined : Deferred.await(gone)
  }

  /** Adds a removal at once. It is under way until what this gives has run. */
  add<A, E>(id: string, removal: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const before = this.last(id) ?? Effect.void
    const gone = Deferred.unsafeMake<void>(FiberId.none)
    this.running.set(id, gone)
    return Effect.ensuring(
      Effect.zipRight(before, removal),
      Effect.sync(() => {
        if (this.running.get(id) === gone) this.running.delete(id)
        Deferred.unsafeDone(gone, Effect.void)
      })
    )
  }
}
