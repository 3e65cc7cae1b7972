/**
 * The gate in front of a server: lets calls in one by one, as its limits allow.
 *
 * The permits are those of an Effect `Semaphore`, which the gate alone takes: a semaphore serves whoever asks first, so
 * that a conversation with a hundred calls would hold up all others. Who is next is the {@link Line}'s to say.
 */
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as FiberId from "effect/FiberId"
import type * as Scope from "effect/Scope"
import { Line } from "./line.ts"
import { type Entry, SlidingWindow } from "./slidingWindow.ts"

/** What may run at the same time, and begin within a minute. Infinite where there is no limit. */
export interface Limits {
  readonly concurrency: number
  readonly requestsPerMinute: number
  readonly tokensPerMinute: number
}

/** A call's place: in the line first, then inside. */
export interface Place {
  /** Waits to be let in. */
  readonly admitted: Effect.Effect<void>
  /** Corrects the tokens that were reserved. */
  readonly settle: (tokens: number) => Effect.Effect<void>
  /** Gives the place up, wherever it is. */
  readonly leave: Effect.Effect<void>
}

/** A gate that lets in as long as its scope is open. */
export interface Gate {
  /** Takes a place in the line of its group, for a call that is likely to take so many tokens. */
  readonly join: (group: unknown, tokens: number) => Effect.Effect<Place, never, Scope.Scope>
}

interface Waiter {
  readonly group: unknown
  readonly tokens: number
  readonly admitted: Deferred.Deferred<void>
  reserved: Entry | undefined
  hasLeft: boolean
}

/** A gate. Whoever waits when the scope closes is interrupted, and so is whoever comes after. */
export const make = ({ concurrency, requestsPerMinute, tokensPerMinute }: Limits) =>
  Effect.gen(function*(): Effect.fn.Return<Gate, never, Scope.Scope> {
    const permits = yield* Effect.makeSemaphore(concurrency)
    const requests = new SlidingWindow(requestsPerMinute)
    const tokens = new SlidingWindow(tokensPerMinute)
    const line = new Line<Waiter>()
    /** Opens with whatever can change who is next or how long the wait is. Closed before each look at the line. */
    const change = yield* Effect.makeLatch(false)
    let isOpen = true

    /** Waits until the head of the line can go in; whether somebody did. The line can become empty meanwhile. */
    const letIn: Effect.Effect<boolean> = Effect.flatMap(Clock.currentTimeMillis, (now) => {
      change.unsafeClose()
      const head = line.head
      if (head === undefined) return Effect.succeed(false)
      const wait = Math.max(requests.wait(1, now), tokens.wait(head.tokens, now))
      if (wait > 0) return Effect.zipRight(Effect.raceFirst(Effect.sleep(wait), change.await), letIn)
      line.served(head.group, head)
      requests.take(1, now)
      head.reserved = tokens.take(head.tokens, now)
      Deferred.unsafeDone(head.admitted, Effect.void)
      return Effect.succeed(true)
    })

    const someone: Effect.Effect<void> = Effect.suspend(() => {
      change.unsafeClose()
      return line.head === undefined ? change.await : Effect.void
    })

    // The only taker of permits, so that their order is the line's.
    yield* someone.pipe(
      Effect.zipRight(permits.take(1)),
      Effect.zipRight(letIn),
      Effect.flatMap((hasEntered) => hasEntered ? Effect.void : permits.release(1)),
      Effect.forever,
      Effect.interruptible,
      Effect.forkScoped
    )
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        isOpen = false
        for (const { admitted } of line.clear()) Deferred.unsafeDone(admitted, Effect.interrupt)
      })
    )

    const join = (group: unknown, tokens: number): Waiter => {
      const admitted = Deferred.unsafeMake<void>(FiberId.none)
      const waiter = { group, tokens, admitted, reserved: undefined, hasLeft: false }
      if (isOpen) line.join(group, waiter)
      else Deferred.unsafeDone(admitted, Effect.interrupt)
      change.unsafeOpen()
      return waiter
    }

    const leave = (waiter: Waiter): Effect.Effect<void> =>
      Effect.suspend(() => {
        if (waiter.hasLeft) return Effect.void
        waiter.hasLeft = true
        if (waiter.reserved !== undefined) return permits.release(1)
        line.leave(waiter.group, waiter)
        return change.open
      })

    const settle = ({ reserved }: Waiter, amount: number): Effect.Effect<void> =>
      Effect.flatMap(Clock.currentTimeMillis, (now) => {
        if (reserved === undefined) return Effect.void
        tokens.settle(reserved, amount, now)
        return change.open
      })

    return {
      join: (group, tokens) =>
        Effect.map(Effect.acquireRelease(Effect.sync(() => join(group, tokens)), leave), (waiter) => ({
          admitted: Deferred.await(waiter.admitted),
          settle: (amount) => settle(waiter, amount),
          leave: leave(waiter)
        }))
    }
  })
