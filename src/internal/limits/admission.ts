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
  hasLeft: boolean
}

const now = Effect.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))

/** When its scope closes, calls that wait are interrupted, and so are those that come later. */
export const make = (rates: Rates): Effect.Effect<Admission, never, Scope.Scope> =>
  Effect.gen(function*() {
    const slots = yield* Effect.makeSemaphore(rates.concurrency)
    const requests = new SlidingWindow(rates.requestsPerMinute)
    const tokens = new SlidingWindow(rates.tokensPerMinute)
    const queue = new FairQueue<Waiter>()
    /** Opens with every change of who is next or how long the wait is. Closed before each look at the queue. */
    const change = yield* Effect.makeLatch(false)
    let isOpen = true

    /** Waits until the head of the queue can be admitted; returns whether it was. The queue may become empty meanwhile. */
    const admitHead: Effect.Effect<boolean> = change.close.pipe(
      Effect.zipRight(now),
      Effect.flatMap((now) => {
        const head = queue.head
        if (head === undefined) return Effect.succeed(false)
        const wait = Math.max(requests.wait(1, now), tokens.wait(head.tokens, now))
        if (wait > 0) return Effect.zipRight(Effect.raceFirst(Effect.sleep(timerMillis(wait)), change.await), admitHead)
        queue.served(head.group, head)
        requests.take(1, now)
        head.reserved = tokens.take(head.tokens, now)
        return Effect.as(Deferred.succeed(head.admitted, undefined), true)
      })
    )

    const untilSomeoneWaits = Effect.zipRight(
      change.close,
      Effect.suspend(() => queue.head === undefined ? change.await : Effect.void)
    )

    // The only taker of slots, so that their order is the queue's.
    yield* untilSomeoneWaits.pipe(
      Effect.zipRight(slots.take(1)),
      Effect.zipRight(admitHead),
      Effect.flatMap((isAdmitted) => isAdmitted ? Effect.void : slots.release(1)),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isOpen = false
        return Effect.forEach(queue.clear(), ({ admitted }) => Deferred.interrupt(admitted), { discard: true })
      })
    )

    const join = (group: unknown, tokens: number): Effect.Effect<Waiter> =>
      Effect.flatMap(Deferred.make<void>(), (admitted) => {
        const waiter = { group, tokens, admitted, reserved: undefined, hasLeft: false }
        if (!isOpen) return Effect.as(Deferred.interrupt(admitted), waiter)
        queue.join(group, waiter)
        return Effect.as(change.open, waiter)
      })

    const release = (waiter: Waiter): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (waiter.hasLeft) return Effect.void
        waiter.hasLeft = true
        if (waiter.reserved !== undefined) return slots.release(1)
        queue.leave(waiter.group, waiter)
        return change.open
      })

    const settle = ({ reserved }: Waiter, amount: number): Effect.Effect<void> =>
      Effect.flatMap(now, (now) => {
        if (reserved === undefined) return Effect.void
        tokens.settle(reserved, amount, now)
        return change.open
      })

    return {
      join: (group, tokens) =>
        Effect.map(Effect.acquireRelease(join(group, tokens), release), (waiter) => ({
          admitted: Deferred.await(waiter.admitted),
          settle: (amount) => settle(waiter, amount),
          release: release(waiter)
        }))
    }
  })
