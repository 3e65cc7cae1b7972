/**
 * One turn at a time, in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { BusyError } from "../../ChatError.ts"
import { LinkedSet } from "../linkedSet.ts"

/** What the lock must know of a turn that holds it. */
export interface Holder {
  /** Ends the turn. The lock is free again when this is done. */
  readonly stop: Effect.Effect<void>
  /** Waits for the turn's own end. */
  readonly done: Effect.Effect<void>
}

/** The conversation is over: a turn that waits for it begins anew. */
export interface Closed {
  readonly _tag: "Closed"
}

type Granted = Deferred.Deferred<void, BusyError | Closed>

interface Waiter {
  readonly holder: Holder
  readonly granted: Granted
}

/** The lock of one conversation. */
export class TurnLock {
  #current: Holder | undefined
  #waiting = new LinkedSet<Waiter>()
  #isClosed = false

  /** The turn that runs, if one does. */
  get holder(): Holder | undefined {
    return this.#current
  }

  /** Takes the lock by the conversation's policy. A wait that is interrupted ends with `release`. */
  acquire(holder: Holder, policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError | Closed> {
    return Effect.flatMap(Deferred.make<void, BusyError | Closed>(), (granted) => {
      if (this.#isClosed) return Effect.fail<Closed>({ _tag: "Closed" })
      if (this.#current === undefined || policy === "queue") return this.#queue({ holder, granted })
      return policy === "reject"
        ? Effect.fail(new BusyError({ message: "The conversation is in a turn" }))
        : this.#replace(this.#current, { holder, granted })
    })
  }

  /** Rejects all turns that wait, and those that come later. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#isClosed = true
    return this.#reject({ _tag: "Closed" })
  })

  /** Gives the lock to the next turn in the queue, if this turn holds it. */
  release(holder: Holder): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#current !== holder) return Effect.void
      const next = this.#waiting.head
      this.#current = next?.holder
      if (next === undefined) return Effect.void
      this.#waiting.delete(next)
      return Deferred.succeed(next.granted, undefined)
    })
  }

  #queue(waiter: Waiter): Effect.Effect<void, BusyError | Closed> {
    const { granted, holder } = waiter
    if (this.#current === undefined) {
      this.#current = holder
      return Effect.void
    }
    this.#waiting.add(waiter)
    return Effect.onInterrupt(
      Deferred.await(granted),
      () => Effect.suspend(() => this.#waiting.delete(waiter) ? Effect.void : this.release(holder))
    )
  }

  /**
   * The turns that wait were waiting for a turn that is no longer wanted. The new one joins the queue before the current
   * one is stopped: the stop takes time, and a turn that comes meanwhile is newer still.
   */
  #replace(current: Holder, waiter: Waiter): Effect.Effect<void, BusyError | Closed> {
    const rejected = this.#reject(new BusyError({ message: "A newer turn took this one's place" }))
    const granted = this.#queue(waiter)
    return rejected.pipe(Effect.zipRight(current.stop), Effect.zipRight(granted))
  }

  #reject(reason: BusyError | Closed): Effect.Effect<void> {
    const rejected = this.#waiting
    this.#waiting = new LinkedSet()
    return Effect.forEach(rejected.values, ({ granted }) => Deferred.fail(granted, reason), { discard: true })
  }
}
