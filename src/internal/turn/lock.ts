/**
 * One turn at a time, first come first served.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import { BusyError } from "../../ChatError.ts"

/** What the lock must know of a turn that holds it. */
export interface Holder {
  /** Ends the turn. The lock is free again when this is done. */
  readonly stop: Effect.Effect<void>
  /** Waits for the turn's own end. */
  readonly done: Effect.Effect<void>
}

/** The conversation is over: whoever waits for a turn of it begins anew. */
export interface Closed {
  readonly _tag: "Closed"
}

interface Waiter {
  readonly holder: Holder
  readonly turn: Deferred.Deferred<void, BusyError | Closed>
}

/** The lock of one conversation. */
export class TurnLock {
  #current: Holder | undefined
  #waiting: Array<Waiter> = []
  #isClosed = false

  /** The turn that runs, if one does. */
  get holder(): Holder | undefined {
    return this.#current
  }

  /** Takes the lock by the conversation's policy. A wait that is interrupted is given up with `release`. */
  acquire(holder: Holder, policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError | Closed> {
    return Effect.suspend(() => {
      if (this.#isClosed) return Effect.fail(closed)
      if (this.#current === undefined || policy === "queue") return this.#queue(holder)
      return policy === "reject"
        ? Effect.fail(new BusyError({ message: "The conversation is in a turn" }))
        : this.#replace(this.#current, holder)
    })
  }

  /** Sends everybody who waits away, and whoever comes. */
  close(): void {
    this.#isClosed = true
    this.#dismiss(Effect.fail(closed))
  }

  /** Gives the lock to the next in line, or gives up a place in the line. */
  release(holder: Holder): void {
    if (this.#current === holder) {
      const next = this.#waiting.shift()
      this.#current = next?.holder
      if (next !== undefined) Deferred.unsafeDone(next.turn, Effect.void)
    } else {
      this.#waiting = this.#waiting.filter((waiter) => waiter.holder !== holder)
    }
  }

  #queue(holder: Holder): Effect.Effect<void, BusyError | Closed> {
    if (this.#current === undefined) {
      this.#current = holder
      return Effect.void
    }
    const turn = Deferred.unsafeMake<void, BusyError | Closed>(FiberId.none)
    this.#waiting.push({ holder, turn })
    return Effect.onInterrupt(Deferred.await(turn), () => Effect.sync(() => this.release(holder)))
  }

  /**
   * Whoever waits has waited for a turn that is no longer wanted. The line is joined before the turn is stopped: the
   * stop takes its time, and who comes meanwhile is newer still.
   */
  #replace(current: Holder, holder: Holder): Effect.Effect<void, BusyError | Closed> {
    this.#dismiss(Effect.fail(new BusyError({ message: "A newer turn took this one's place" })))
    const turn = this.#queue(holder)
    return Effect.zipRight(current.stop, turn)
  }

  #dismiss(reason: Effect.Effect<never, BusyError | Closed>): void {
    const dismissed = this.#waiting
    this.#waiting = []
    for (const { turn } of dismissed) Deferred.unsafeDone(turn, reason)
  }
}

const closed: Closed = { _tag: "Closed" }
