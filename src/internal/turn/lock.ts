/**
 * The lock of a conversation, which runs one turn at a time in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { BusyError } from "../../ChatError.ts"
import { LinkedSet } from "../linkedSet.ts"
import type { Background } from "./background.ts"

/** A turn or a write that holds the lock or waits for it. */
export interface Holder {
  /** The id of the turn. Undefined for a write. */
  readonly id?: string
  /** Stops the turn. Its commit then releases the lock. */
  readonly stop: Effect.Effect<void>
  /** Waits until the turn or write has ended. */
  readonly done: Effect.Effect<void>
  /** Whether this is a short write and not a turn. `stopAll` does not stop a waiting write. */
  readonly isWrite?: boolean
  /** Whether it can end with calls that wait for an approval. */
  readonly canHaveOpenCalls?: boolean
  /** Whether it comes before all waiting turns. It is never rejected. */
  readonly isNext?: boolean
}

/** The conversation was closed. The turn must begin again in the next conversation with the same id. */
export interface Closed {
  readonly _tag: "Closed"
}

type Granted = Deferred.Deferred<void, BusyError | Closed>

/** The lock of one conversation. */
export class TurnLock {
  #current: Holder | undefined
  /** Created when a turn waits, to save memory: most conversations never have waiting turns. */
  #waiting: { readonly queue: LinkedSet<Holder>; readonly granted: Map<Holder, Granted> } | undefined
  #isClosed = false

  /** The turn or write that holds the lock. */
  get holder(): Holder | undefined {
    return this.#current
  }

  /** Whether a turn holds the lock. */
  get isHeldByTurn(): boolean {
    return this.#current !== undefined && this.#current.isWrite !== true
  }

  /** Acquires the lock by the conversation's policy. An interrupted wait leaves the queue. */
  acquire(holder: Holder, policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError | Closed> {
    return Effect.flatMap(Deferred.make<void, BusyError | Closed>(), (granted) => {
      if (this.#isClosed) return Effect.fail<Closed>({ _tag: "Closed" })
      if (this.#current === undefined || policy === "queue") return this.#enqueue(holder, granted)
      const current = this.#current
      return Effect.zipRight(
        this.checkPolicy(policy),
        Effect.suspend(() => this.#replace(current, holder, granted))
      )
    })
  }

  /** Fails if the policy would reject a new turn now. */
  checkPolicy(policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError> {
    return policy === "reject" && this.#current !== undefined
      ? Effect.fail(new BusyError({ message: "The conversation is running another turn" }))
      : Effect.void
  }

  /**
   * Stops the running turn and the waiting turns, and commits them in order. `acquire` succeeds for a turn that waited, and
   * the turn then sees that it was stopped.
   */
  get stopAll(): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const waiting = Array.from(this.#waiting?.queue.values ?? []).filter(({ isWrite }) => isWrite !== true)
      const stopWaiting = waiting.map((holder) => {
        const granted = this.#dequeue(holder)
        return granted === undefined ? Effect.void : Effect.ensuring(holder.stop, Deferred.succeed(granted, undefined))
      })
      return Effect.all([this.#current?.stop ?? Effect.void, ...stopWaiting], { discard: true })
    }))
  }

  /** Waits until no turn is running or waiting. */
  get idle(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#current === undefined ? Effect.void : Effect.zipRight(this.#current.done, this.idle)
    )
  }

  /** Runs a write in the background while no turn is running. A write that has begun cannot be interrupted. */
  write<A, E>(write: Effect.Effect<A, E>, background: Background): Effect.Effect<A, E | BusyError | Closed> {
    return Effect.flatMap(Deferred.make<void>(), (ended) => {
      const holder: Holder = { stop: Effect.void, done: Deferred.await(ended), isWrite: true }
      const end = Effect.zipRight(this.release(holder), Deferred.succeed(ended, undefined))
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          // An interruption can coincide with the handover of the lock.
          Effect.onInterrupt(restore(this.acquire(holder, "queue")), () => this.release(holder)),
          () => Effect.flatMap(background.start(Effect.ensuring(write, end)), restore)
        )
      )
    })
  }

  /**
   * Starts a write in the background. It runs after the current turn and before the waiting turns. The current turn must be
   * about to end, because a turn that waits for the background would wait for this write, which waits for the turn.
   */
  writeNext(write: Effect.Effect<void>, background: Background): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.gen(this, function*() {
      const ended = yield* Deferred.make<void>()
      const granted = yield* Deferred.make<void, BusyError | Closed>()
      const holder: Holder = { stop: Effect.void, done: Deferred.await(ended), isWrite: true, isNext: true }
      const end = Effect.zipRight(this.release(holder), Deferred.succeed(ended, undefined))
      const turn = Effect.ignore(this.#enqueue(holder, granted))
      yield* Effect.asVoid(background.start(Effect.ensuring(Effect.zipRight(turn, write), end)))
    }))
  }

  /** Rejects all later turns, and the waiting turns for which `isKept` is false. */
  close(isKept: (holder: Holder) => boolean = () => false): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      return this.#reject({ _tag: "Closed" }, isKept)
    })
  }

  /** Passes the lock to the next turn in the queue. A turn without the lock is removed from the queue. */
  release(holder: Holder): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#current !== holder) {
        this.#dequeue(holder)
        return Effect.void
      }
      const next = this.#waiting?.queue.head
      this.#current = next
      const granted = next === undefined ? undefined : this.#dequeue(next)
      return granted === undefined ? Effect.void : Deferred.succeed(granted, undefined)
    })
  }

  /** Removes a turn from the queue. */
  #dequeue(holder: Holder): Granted | undefined {
    const granted = this.#waiting?.granted.get(holder)
    this.#waiting?.granted.delete(holder)
    this.#waiting?.queue.delete(holder)
    return granted
  }

  #enqueue(holder: Holder, granted: Granted): Effect.Effect<void, BusyError | Closed> {
    if (this.#current === undefined) {
      this.#current = holder
      return Effect.void
    }
    this.#waiting ??= { queue: new LinkedSet(), granted: new Map() }
    if (holder.isNext === true) this.#waiting.queue.addFirst(holder)
    else this.#waiting.queue.add(holder)
    this.#waiting.granted.set(holder, granted)
    return Effect.onInterrupt(Deferred.await(granted), () => this.release(holder))
  }

  /**
   * Stops and rejects all turns before the new one. The new turn joins the queue before the current turn is stopped,
   * because the stop takes time and a turn that arrives meanwhile must come after it.
   */
  #replace(current: Holder, holder: Holder, granted: Granted): Effect.Effect<void, BusyError | Closed> {
    const rejected = this.#rejectable
    const reject = this.#reject(new BusyError({ message: "A newer turn replaced this turn" }))
    const wait = this.#enqueue(holder, granted)
    // The questions of the stopped turns are committed in their order.
    const stop = Effect.forEach([current, ...rejected], ({ stop }) => stop, { discard: true })
    return stop.pipe(Effect.ensuring(reject), Effect.zipRight(wait))
  }

  get #rejectable(): ReadonlyArray<Holder> {
    return Array.from(this.#waiting?.queue.values ?? []).filter(({ isNext }) => isNext !== true)
  }

  #reject(reason: BusyError | Closed, isKept: (holder: Holder) => boolean = () => false): Effect.Effect<void> {
    const rejected = this.#rejectable.filter((holder) => !isKept(holder)).map((holder) => this.#dequeue(holder))
    return Effect.forEach(rejected, (granted) => granted === undefined ? Effect.void : Deferred.fail(granted, reason), {
      discard: true
    })
  }
}
