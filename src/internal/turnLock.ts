/**
 * One turn at a time, first come first served.
 */
import * as Effect from "effect/Effect"
import { BusyError } from "../ChatError.ts"

/** What the lock must know of a turn that holds it. */
export interface Holder {
  /** Ends the turn. The lock is free again when this is done. */
  readonly stop: Effect.Effect<void>
}

/** The conversation is over: whoever waits for a turn of it begins anew. */
export interface Closed {
  readonly _tag: "Closed"
}

interface Waiter {
  readonly holder: Holder
  readonly resume: (effect: Effect.Effect<void, BusyError | Closed>) => void
}

/** The lock of one conversation. */
export class TurnLock {
  private current: Holder | undefined
  private waiting: Array<Waiter> = []
  private isClosed = false

  /** The turn that runs, if one does. */
  get holder(): Holder | undefined {
    return this.current
  }

  /** Takes the lock by the conversation's policy. An interrupted wait leaves the line. */
  acquire(holder: Holder, policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError | Closed> {
    return Effect.suspend(() => {
      if (this.isClosed) return Effect.fail(closed)
      if (this.current === undefined || policy === "queue") return this.queue(holder)
      return policy === "reject"
        ? Effect.fail(new BusyError({ message: "The conversation is in a turn" }))
        : this.replace(this.current, holder)
    })
  }

  /** Sends everybody who waits away, and whoever comes. */
  close(): void {
    this.isClosed = true
    this.dismiss(Effect.fail(closed))
  }

  /** Gives the lock to the next in line, or gives up a place in the line. */
  release(holder: Holder): void {
    if (this.current === holder) {
      const next = this.waiting.shift()
      this.current = next?.holder
      next?.resume(Effect.void)
    } else {
      this.waiting = this.waiting.filter((waiter) => waiter.holder !== holder)
    }
  }

  private queue(holder: Holder): Effect.Effect<void, BusyError | Closed> {
    return Effect.async((resume) => {
      if (this.current === undefined) {
        this.current = holder
        resume(Effect.void)
      } else {
        this.waiting.push({ holder, resume })
      }
      // Interrupted between being handed the lock and going on, a turn holds it already.
      return Effect.sync(() => this.release(holder))
    })
  }

  /** Whoever waits has waited for a turn that is no longer wanted. */
  private replace(current: Holder, holder: Holder): Effect.Effect<void, BusyError | Closed> {
    this.dismiss(Effect.fail(new BusyError({ message: "A newer turn took this one's place" })))
    return Effect.zipRight(current.stop, this.acquire(holder, "replace"))
  }

  private dismiss(reason: Effect.Effect<never, BusyError | Closed>): void {
    const dismissed = this.waiting
    this.waiting = []
    for (const waiter of dismissed) waiter.resume(reason)
  }
}

const closed: Closed = { _tag: "Closed" }
