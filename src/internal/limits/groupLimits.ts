/**
 * Limits of each group of calls. A call that exceeds the limits of its group waits behind the other calls of the group,
 * before it joins the queue of all groups.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { LinkedSet } from "../linkedSet.ts"
import { monotonicMillis, timerMillis } from "../time.ts"
import { type Entry, SlidingWindow } from "./slidingWindow.ts"

/** How many calls of a group begin within a minute, and how many tokens they take. Infinite if there is no limit. */
export interface GroupRates {
  readonly requestsPerMinute: number
  readonly tokensPerMinute: number
}

/** The part of the group's limits that a call uses. */
export interface GroupReservation {
  /** Corrects the reserved tokens. */
  readonly settle: (tokens: number) => Effect.Effect<void>
}

interface GroupState {
  readonly requests: SlidingWindow
  readonly tokens: SlidingWindow
  /** The calls that wait, each with the latch that wakes it. */
  readonly queue: LinkedSet<Effect.Latch>
  /** How many calls wait or run. */
  users: number
  lastUse: number
}

const minute = 60_000

const now = Effect.clockWith((clock) => Effect.sync(() => monotonicMillis(clock)))

/** The gates of all groups. A group that is unused for a minute has none. Mutable. */
export class GroupLimits {
  readonly #rates: GroupRates
  readonly #groups = new Map<unknown, GroupState>()
  /** The gates without calls, the most recently used one last. */
  readonly #unused = new Map<unknown, GroupState>()
  #isOpen = true

  constructor(rates: GroupRates) {
    this.#rates = rates
  }

  /** How many groups have a gate. */
  get size(): number {
    return this.#groups.size
  }

  /** Waits until the group has room for a call of so many tokens. The call uses the group until the scope closes. */
  acquire(group: unknown, tokens: number): Effect.Effect<GroupReservation, never, Scope.Scope> {
    return Effect.acquireRelease(this.#acquireGroup(group), (gate) => this.#releaseGroup(group, gate)).pipe(
      Effect.flatMap((gate) =>
        Effect.map(this.#wait(gate, tokens), (entry): GroupReservation => ({
          settle: (tokens) =>
            Effect.map(now, (now) => {
              gate.tokens.settle(entry, tokens, now)
              gate.queue.head?.unsafeOpen()
            })
        }))
      )
    )
  }

  /** Interrupts the calls that wait, and those that come later. */
  get close(): Effect.Effect<void> {
    return Effect.sync(() => {
      this.#isOpen = false
      for (const { queue: line } of this.#groups.values()) line.head?.unsafeOpen()
    })
  }

  #acquireGroup(group: unknown): Effect.Effect<GroupState> {
    return Effect.map(now, (now) => {
      this.#evictUnused(now)
      const gate = this.#groups.get(group) ?? {
        requests: new SlidingWindow(this.#rates.requestsPerMinute),
        tokens: new SlidingWindow(this.#rates.tokensPerMinute),
        queue: new LinkedSet<Effect.Latch>(),
        users: 0,
        lastUse: now
      }
      gate.users++
      this.#groups.set(group, gate)
      this.#unused.delete(group)
      return gate
    })
  }

  #releaseGroup(group: unknown, gate: GroupState): Effect.Effect<void> {
    return Effect.map(now, (now) => {
      gate.users--
      gate.lastUse = now
      if (gate.users === 0) this.#unused.set(group, gate)
    })
  }

  #evictUnused(now: number): void {
    for (const [group, { lastUse }] of this.#unused) {
      if (lastUse + minute > now) return
      this.#unused.delete(group)
      this.#groups.delete(group)
    }
  }

  /** Waits in the queue of the group. A call that leaves the queue wakes the next one. */
  #wait({ queue: line, requests, tokens }: GroupState, amount: number): Effect.Effect<Entry> {
    const admit = (latch: Effect.Latch): Effect.Effect<Entry> =>
      Effect.zipRight(latch.close, now).pipe(
        Effect.flatMap((now) => {
          if (!this.#isOpen) return Effect.interrupt
          if (line.head !== latch) return Effect.zipRight(latch.await, admit(latch))
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
        line.add(latch)
        return latch
      }),
      admit,
      (latch) =>
        Effect.sync(() => {
          line.delete(latch)
          line.head?.unsafeOpen()
        })
    )
  }
}
