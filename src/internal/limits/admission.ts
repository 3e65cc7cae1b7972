/**
 * Admits calls to a server one by one, within its limits.
 *
 * The {@link FairQueue} decides which call is next. An Effect `Semaphore` limits the concurrency. Only the fiber of the
 * admission acquires its permits, because a semaphore serves callers in order of arrival, so that a conversation with a
 * hundred calls would delay all others.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { monotonicNow, timerMillis } from "../time.ts"
import { FairQueue } from "./fairQueue.ts"
import { type Entry, SlidingWindow } from "./slidingWindow.ts"

/** The limits of a server. An infinite value is no limit. */
export interface Rates {
  readonly concurrency: number
  readonly requestsPerMinute: number
  readonly tokensPerMinute: number
}

/** The permit of one call. The call waits in the queue first, and is then admitted. */
export interface Permit {
  /** Waits until the call is admitted. */
  readonly admitted: Effect.Effect<void>
  /** Replaces the reserved tokens by the tokens that the call used. */
  readonly settle: (tokens: number) => Effect.Effect<void>
  /** Releases the permit, or leaves the queue. A second release has no effect. */
  readonly release: Effect.Effect<void>
}

/** Admits calls as long as its scope is open. */
export interface Admission {
  /** Adds a call to the queue of its group. `tokens` is an estimate of the tokens that the call uses. */
  readonly join: (group: unknown, tokens: number) => Effect.Effect<Permit, never, Scope.Scope>
}

interface Waiter {
  readonly group: unknown
  readonly tokens: number
  readonly admitted: Deferred.Deferred<void>
  reserved: Entry | undefined
  isReleased: boolean
}

/** Makes an admission. When its scope closes, waiting calls and later calls are interrupted. */
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
  /** Opened when the head of the queue or its waiting time may have changed. Closed before each read of the queue. */
  readonly #change: Effect.Latch
  #isOpen = true

  constructor(rates: Rates, slots: Effect.Semaphore, change: Effect.Latch) {
    this.#requests = new SlidingWindow(rates.requestsPerMinute)
    this.#tokens = new SlidingWindow(rates.tokensPerMinute)
    this.#slots = slots
    this.#change = change
  }

  /** Admits calls in the order of the queue, until it is interrupted. */
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
    return Effect.flatMap(monotonicNow, (now) => {
      if (reserved === undefined) return Effect.void
      this.#tokens.settle(reserved, amount, now)
      return this.#change.open
    })
  }

  /** Waits until the head of the queue can be admitted, and admits it. Returns false if the queue became empty. */
  get #admitHead(): Effect.Effect<boolean> {
    return this.#change.close.pipe(
      Effect.zipRight(monotonicNow),
      Effect.flatMap((now): Effect.Effect<boolean> => {
        const head = this.#queue.head
        if (head === undefined) return Effect.succeed(false)
        const wait = Math.max(this.#requests.wait(1, now), this.#tokens.wait(head.tokens, now))
        if (wait > 0) {
          const time = Effect.raceFirst(Effect.sleep(timerMillis(wait)), this.#change.await)
          return Effect.zipRight(time, this.#admitHead)
        }
        this.#queue.removeServed(head.group, head)
        this.#requests.take(1, now)
        head.reserved = this.#tokens.take(head.tokens, now)
        return Effect.as(Deferred.succeed(head.admitted, undefined), true)
      })
    )
  }
}
