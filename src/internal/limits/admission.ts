/**
 * Admission to a server: admits calls one by one, as the limits allow.
 *
 * The slots are those of an Effect `Semaphore`, which the admission alone takes: a semaphore serves its callers in order,
 * so that a conversation with a hundred calls would delay all others. The {@link FairQueue} decides who is next.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonicMillis, timerMillis } from "../time.ts"
import { FairQueue } from "./fairQueue.ts"
import { type Entry, SlidingWindow } from "./slidingWindow.ts"

/** How many calls run at the same time, and begin within a minute. Infinite if there is no limit. */
export interface Rates {
  readonly concurrency: number
  readonly requestsPerMinute: number
  readonly tokensPerMinute: number
}

/** The permit of one call: queued at first, then admitted. */
export interface Permit {
  /** Waits until the call is admitted. */
  readonly admitted: Effect.Effect<void>
  /** Corrects the reserved tokens. */
  readonly settle: (tokens: number) => Effect.Effect<void>
  /** Returns the permit, queued or admitted. It may be returned twice. */
  readonly release: Effect.Effect<void>
}

/** Admits calls as long as its scope is open. */
export interface Admission {
  /** Joins the queue of the group, for a call that is likely to use so many tokens. */
  readonly join: (group: unknown, tokens: number) => Effect.Effect<Permit, never, Scope.Scope>
}

interface Waiter {
  readonly group: unknown
  readonly tokens: number
  readonly admitted: Deferred.Deferred<void>
  reserved: Entry | undefined
  isReleased: boolean
}

const now = Effect.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))

/** When its scope closes, calls that wait are interrupted, and so are those that come later. */
export const make = (rates: Rates): Effect.Effect<Admission, never, Scope.Scope> =>
  Effect.gen(function*() {
    const admission = new QueuedAdmission(
      rates,
      yield* Effect.makeSemaphore(rates.concurrency),
      yield* Effect.makeLatch(false)
    )
    yield* Effect.forkScoped(Effect.interruptible(admission.run))
    yield* Effect.addFinalizer(() => admission.close)
    return {
      join: (group, tokens) =>
        Effect.map(
          Effect.acquireRelease(admission.join(group, tokens), (waiter) => admission.release(waiter)),
          (waiter) => ({
            admitted: Deferred.await(waiter.admitted),
            settle: (amount) => admission.settle(waiter, amount),
            release: admission.release(waiter)
          })
        )
    }
  })

class QueuedAdmission {
  readonly #slots: Effect.Semaphore
  readonly #requests: SlidingWindow
  readonly #tokens: SlidingWindow
  readonly #queue = new FairQueue<Waiter>()
  /** Opens when the next call or its wait changes. Closed before each look at the queue. */
  readonly #change: Effect.Latch
  #isOpen = true

  constructor(rates: Rates, slots: Effect.Semaphore, change: Effect.Latch) {
    this.#requests = new SlidingWindow(rates.requestsPerMinute)
    this.#tokens = new SlidingWindow(rates.tokensPerMinute)
    this.#slots = slots
    this.#change = change
  }

  /** Admits calls until it is interrupted. Nothing else takes slots, so calls get them in the order of the queue. */
  get run(): Effect.Effect<never> {
    const untilCallWaits = Effect.zipRight(
      this.#change.close,
      Effect.suspend(() => this.#queue.head === undefined ? this.#change.await : Effect.void)
    )
    return untilCallWaits.pipe(
      Effect.zipRight(this.#slots.take(1)),
      Effect.zipRight(this.#admitHead),
      Effect.flatMap((isAdmitted) => isAdmitted ? Effect.void : this.#slots.release(1)),
      Effect.forever
    )
  }

  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isOpen = false
      return Effect.forEach(this.#queue.clear(), ({ admitted }) => Deferred.interrupt(admitted), { discard: true })
    })
  }

  join(group: unknown, tokens: number): Effect.Effect<Waiter> {
    return Effect.flatMap(Deferred.make<void>(), (admitted) => {
      const waiter = { group, tokens, admitted, reserved: undefined, isReleased: false }
      if (!this.#isOpen) return Effect.as(Deferred.interrupt(admitted), waiter)
      this.#queue.join(group, waiter)
      return Effect.as(this.#change.open, waiter)
    })
  }

  release(waiter: Waiter): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (waiter.isReleased) return Effect.void
      waiter.isReleased = true
      if (waiter.reserved !== undefined) return this.#slots.release(1)
      this.#queue.leave(waiter.group, waiter)
      return this.#change.open
    })
  }

  settle({ reserved }: Waiter, amount: number): Effect.Effect<void> {
    return Effect.flatMap(now, (now) => {
      if (reserved === undefined) return Effect.void
      this.#tokens.settle(reserved, amount, now)
      return this.#change.open
    })
  }

  /** Waits until the head of the queue can be admitted; returns whether it was. The queue may become empty meanwhile. */
  get #admitHead(): Effect.Effect<boolean> {
    return this.#change.close.pipe(
      Effect.zipRight(now),
      Effect.flatMap((now): Effect.Effect<boolean> => {
        const head = this.#queue.head
        if (head === undefined) return Effect.succeed(false)
        const wait = Math.max(this.#requests.wait(1, now), this.#tokens.wait(head.tokens, now))
        if (wait > 0) {
          const time = Effect.raceFirst(Effect.sleep(timerMillis(wait)), this.#change.await)
          return Effect.zipRight(time, this.#admitHead)
        }
        this.#queue.served(head.group, head)
        this.#requests.take(1, now)
        head.reserved = this.#tokens.take(head.tokens, now)
        return Effect.as(Deferred.succeed(head.admitted, undefined), true)
      })
    )
  }
}
