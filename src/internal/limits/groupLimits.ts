/**
 * Rate limits for each group of calls, which is a conversation in `Limits`. A call beyond the limits of its group waits in
 * the queue of the group, before it joins the queue of all groups.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { LinkedSet } from "../linkedSet.ts"
import { minute, monotonicNow, timerMillis } from "../time.ts"
import { type Entry, SlidingWindow } from "./slidingWindow.ts"

/** The limits of each group. An infinite value is no limit. */
export interface GroupRates {
  readonly requestsPerMinute: number
  readonly tokensPerMinute: number
}

/** The tokens that are reserved for one call of a group. */
export interface GroupReservation {
  /** Replaces the reserved tokens by the tokens that the call used. */
  readonly settle: (tokens: number) => Effect.Effect<void>
}

interface GroupState {
  readonly requests: SlidingWindow
  readonly tokens: SlidingWindow
  /** The latches of waiting calls. An open latch wakes its call. */
  readonly queue: LinkedSet<Effect.Latch>
  /** How many calls are waiting or running. */
  users: number
  lastUse: number
}

/** The limits of all groups. Removes the state of groups that are unused for a minute. Mutable. */
export class GroupLimits {
  readonly #rates: GroupRates
  readonly #groups = new Map<unknown, GroupState>()
  /** The groups without calls, in the order of their last use. */
  readonly #unused = new Map<unknown, GroupState>()
  #isOpen = true

  constructor(rates: GroupRates) {
    this.#rates = rates
  }

  /** How many groups have a state in memory. */
  get size(): number {
    return this.#groups.size
  }

  /** Waits until the group's limits allow a call with this many tokens. The call uses the group until the scope closes. */
  acquire(group: unknown, tokens: number): Effect.Effect<GroupReservation, never, Scope.Scope> {
    return Effect.acquireRelease(this.#acquireGroup(group), (state) => this.#releaseGroup(group, state)).pipe(
      Effect.flatMap((state) =>
        Effect.map(this.#wait(state, tokens), (entry): GroupReservation => ({
          settle: (tokens) =>
            Effect.map(monotonicNow, (now) => {
              state.tokens.settle(entry, tokens, now)
              state.queue.head?.unsafeOpen()
            })
        }))
      )
    )
  }

  /** Interrupts waiting calls and later calls. */
  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.#isOpen = false
      for (const { queue } of this.#groups.values()) queue.head?.unsafeOpen()
    })
  }

  #acquireGroup(group: unknown): Effect.Effect<GroupState> {
    return Effect.map(monotonicNow, (now) => {
      this.#removeUnused(now)
      const state = this.#groups.get(group) ?? {
        requests: new SlidingWindow(this.#rates.requestsPerMinute),
        tokens: new SlidingWindow(this.#rates.tokensPerMinute),
        queue: new LinkedSet<Effect.Latch>(),
        users: 0,
        lastUse: now
      }
      state.users++
      this.#groups.set(group, state)
      this.#unused.delete(group)
      return state
    })
  }

  #releaseGroup(group: unknown, state: GroupState): Effect.Effect<void> {
    return Effect.map(monotonicNow, (now) => {
      state.users--
      state.lastUse = now
      if (state.users === 0) this.#unused.set(group, state)
    })
  }

  #removeUnused(now: number): void {
    for (const [group, { lastUse }] of this.#unused) {
      if (lastUse + minute > now) return
      this.#unused.delete(group)
      this.#groups.delete(group)
    }
  }

  /** Waits in the queue of the group. A call that leaves the queue wakes the next one. */
  #wait({ queue, requests, tokens }: GroupState, amount: number): Effect.Effect<Entry> {
    const admit = (latch: Effect.Latch): Effect.Effect<Entry> =>
      Effect.zipRight(latch.close, monotonicNow).pipe(
        Effect.flatMap((now) => {
          if (!this.#isOpen) return Effect.interrupt
          if (queue.head !== latch) return Effect.zipRight(latch.await, admit(latch))
          const wait = Math.max(requests.wait(1, now), tokens.wait(amount, now))
          if (wait > 0) {
            const time = Effect.raceFirst(Effect.sleep(timerMillis(wait)), latch.await)
            return Effect.zipRight(time, admit(latch))
          }
          requests.take(1, now)
          return Effect.succeed(tokens.take(amount, now))
        })
      )
    return Effect.acquireUseRelease(
      Effect.sync(() => {
        const latch = Effect.unsafeMakeLatch(false)
        queue.add(latch)
        return latch
      }),
      admit,
      (latch) =>
        Effect.sync(() => {
          queue.delete(latch)
          queue.head?.unsafeOpen()
        })
    )
  }
}
