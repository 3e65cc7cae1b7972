/**
 * One turn at a time, in the order of arrival.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { BusyError } from "../../ChatError.ts"
import { LinkedSet } from "../linkedSet.ts"
import type { Background } from "./background.ts"

/** What the lock must know of a turn that holds it. */
export interface Holder {
  /** The id of the turn, if it is one. */
  readonly id?: string
  /** Ends the turn. The lock is free again once what is kept of it is stored. */
  readonly stop: Effect.Effect<void>
  /** Waits for the turn's own end. */
  readonly done: Effect.Effect<void>
  /** Whether it is no turn but a short write, which is not stopped while it waits. */
  readonly isWrite?: boolean
  /** Whether it can end with calls that wait for an approval. */
  readonly canLeaveCalls?: boolean
  /** Whether it comes before the turns that wait. It is not rejected. */
  readonly isNext?: boolean
}

/** The conversation is over: a turn that waits for it begins anew. */
export interface Closed {
  readonly _tag: "Closed"
}

type Granted = Deferred.Deferred<void, BusyError | Closed>

/** The lock of one conversation. */
export class TurnLock {
  #current: Holder | undefined
  /** Undefined until a turn waits: most conversations have none. */
  #waiting: { readonly line: LinkedSet<Holder>; readonly granted: Map<Holder, Granted> } | undefined
  #isClosed = false

  /** The turn that runs, if one does. */
  get holder(): Holder | undefined {
    return this.#current
  }

  /** Whether a turn runs. A write that holds the lock is none. */
  get isInTurn(): boolean {
    return this.#current !== undefined && this.#current.isWrite !== true
  }

  /** Takes the lock by the conversation's policy. A wait that is interrupted ends with `release`. */
  acquire(holder: Holder, policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError | Closed> {
    return Effect.flatMap(Deferred.make<void, BusyError | Closed>(), (granted) => {
      if (this.#isClosed) return Effect.fail<Closed>({ _tag: "Closed" })
      if (this.#current === undefined || policy === "queue") return this.#queue(holder, granted)
      const current = this.#current
      return Effect.zipRight(
        this.accepts(policy),
        Effect.suspend(() => this.#replace(current, holder, granted))
      )
    })
  }

  /** Fails if the policy refuses a turn that would begin now. */
  accepts(policy: "queue" | "reject" | "replace"): Effect.Effect<void, BusyError> {
    return policy === "reject" && this.#current !== undefined
      ? Effect.fail(new BusyError({ message: "The conversation is in a turn" }))
      : Effect.void
  }

  /**
   * Stops the turn that runs and those that wait, which are stored in their order. A turn that waited goes on to find that
   * it was stopped.
   */
  get stopAll(): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const waiting = Array.from(this.#waiting?.line.values ?? []).filter(({ isWrite }) => isWrite !== true)
      const stopWaiting = waiting.map((holder) => {
        const granted = this.#take(holder)
        return granted === undefined ? Effect.void : Effect.ensuring(holder.stop, Deferred.succeed(granted, undefined))
      })
      return Effect.all([this.#current?.stop ?? Effect.void, ...stopWaiting], { discard: true })
    }))
  }

  /** Waits until no turn runs and none waits. */
  get idle(): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.#current === undefined ? Effect.void : Effect.zipRight(this.#current.done, this.idle)
    )
  }

  /** Runs a write in the background while no turn runs. Nothing stops it once it has begun. */
  with<A, E>(write: Effect.Effect<A, E>, background: Background): Effect.Effect<A, E | BusyError | Closed> {
    return Effect.flatMap(Deferred.make<void>(), (ended) => {
      const holder: Holder = { stop: Effect.void, done: Deferred.await(ended), isWrite: true }
      const end = Effect.zipRight(this.release(holder), Deferred.succeed(ended, undefined))
      return Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(
          // A wait can be interrupted at the very moment at which the lock is handed over.
          Effect.onInterrupt(restore(this.acquire(holder, "queue")), () => this.release(holder)),
          () => Effect.flatMap(background.start(Effect.ensuring(write, end)), restore)
        )
      )
    })
  }

  /**
   * Starts a write in the background, which waits for the turn that runs and comes before the turns that wait. The turn that
   * runs must be about to end: it must not wait for the background.
   */
  next(write: Effect.Effect<void>, background: Background): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.gen(this, function*() {
      const ended = yield* Deferred.make<void>()
      const granted = yield* Deferred.make<void, BusyError | Closed>()
      const holder: Holder = { stop: Effect.void, done: Deferred.await(ended), isWrite: true, isNext: true }
      const end = Effect.zipRight(this.release(holder), Deferred.succeed(ended, undefined))
      const turn = Effect.ignore(this.#queue(holder, granted))
      yield* Effect.asVoid(background.start(Effect.ensuring(Effect.zipRight(turn, write), end)))
    }))
  }

  /** Rejects the turns that wait, but for those that are kept, and all that come later. */
  close(isKept: (holder: Holder) => boolean = () => false): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isClosed = true
      return this.#reject({ _tag: "Closed" }, isKept)
    })
  }

  /** Gives the lock to the next turn in the queue, or removes this one from the queue. */
  release(holder: Holder): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (this.#current !== holder) {
        this.#take(holder)
        return Effect.void
      }
      const next = this.#waiting?.line.head
      this.#current = next
      const granted = next === undefined ? undefined : this.#take(next)
      return granted === undefined ? Effect.void : Deferred.succeed(granted, undefined)
    })
  }

  /** Takes a turn out of the queue. */
  #take(holder: Holder): Granted | undefined {
    const granted = this.#waiting?.granted.get(holder)
    this.#waiting?.granted.delete(holder)
    this.#waiting?.line.delete(holder)
    return granted
  }

  #queue(holder: Holder, granted: Granted): Effect.Effect<void, BusyError | Closed> {
    if (this.#current === undefined) {
      this.#current = holder
      return Effect.void
    }
    this.#waiting ??= { line: new LinkedSet(), granted: new Map() }
    if (holder.isNext === true) this.#waiting.line.addFirst(holder)
    else this.#waiting.line.add(holder)
    this.#waiting.granted.set(holder, granted)
    return Effect.onInterrupt(Deferred.await(granted), () => this.release(holder))
  }

  /**
   * The turns that wait were waiting for a turn that is no longer wanted. The new one joins the queue before the current
   * one is stopped: the stop takes time, and a turn that comes meanwhile is newer still.
   */
  #replace(current: Holder, holder: Holder, granted: Granted): Effect.Effect<void, BusyError | Closed> {
    const rejected = this.#rejectable
    const reject = this.#reject(new BusyError({ message: "A newer turn took this one's place" }))
    const wait = this.#queue(holder, granted)
    // What they were to ask stays in the history, in its order.
    const stop = Effect.forEach([current, ...rejected], ({ stop }) => stop, { discard: true })
    return stop.pipe(Effect.ensuring(reject), Effect.zipRight(wait))
  }

  get #rejectable(): ReadonlyArray<Holder> {
    return Array.from(this.#waiting?.line.values ?? []).filter(({ isNext }) => isNext !== true)
  }

  #reject(reason: BusyError | Closed, isKept: (holder: Holder) => boolean = () => false): Effect.Effect<void> {
    const rejected = this.#rejectable.filter((holder) => !isKept(holder)).map((holder) => this.#take(holder))
    return Effect.forEach(rejected, (granted) => granted === undefined ? Effect.void : Deferred.fail(granted, reason), {
      discard: true
    })
  }
}
