/**
 * A rate limit with a sliding window: it applies to the amounts of the last 60 seconds at any time.
 *
 * Effect's `RateLimiter` does not guarantee this. Its token bucket allows almost twice the limit within the first minute,
 * and its fixed windows allow twice the limit around the end of a window. It also refills at most one token in a
 * millisecond, waits forever if one call costs more than the limit, and cannot correct an amount.
 */
import { minute } from "../time.ts"

/** Larger than every limit, and small enough for exact sums. */
const maxAmount = 1e12

/** Converts any number of tokens from a program or a server to a valid amount. */
const toAmount = (amount: number): number => amount > 0 ? Math.min(Math.ceil(amount), maxAmount) : 0

/** An amount and the time at which it was added. */
export interface Entry {
  readonly at: number
  amount: number
}

/** The amounts of the last minute. Times are milliseconds of monotonic time. */
export class SlidingWindow {
  readonly #limit: number
  #entries: Array<Entry> = []
  /** The index of the oldest entry that counts. */
  #oldest = 0
  #sum = 0

  /** An infinite limit is no limit. */
  constructor(limit: number) {
    this.#limit = limit
  }

  /** The time until the amount fits. An amount above the limit fits if there are no other amounts. */
  wait(amount: number, now: number): number {
    if (this.#limit === Infinity) return 0
    this.#removeExpired(now)
    let excess = this.#sum + Math.min(toAmount(amount), this.#limit) - this.#limit
    let last: Entry | undefined
    for (let i = this.#oldest; excess > 0 && i < this.#entries.length; i++) {
      last = this.#entries[i]
      excess -= last?.amount ?? 0
    }
    return last === undefined ? 0 : last.at + minute - now
  }

  /** Adds the amount, even if it does not fit. */
  take(amount: number, now: number): Entry {
    const entry = { at: now, amount: toAmount(amount) }
    if (this.#limit !== Infinity && entry.amount > 0) {
      this.#entries.push(entry)
      this.#sum += entry.amount
    }
    return entry
  }

  /** Corrects an estimated amount. If the actual amount is larger, the difference is a new entry. */
  settle(entry: Entry, settled: number, now: number): void {
    const amount = toAmount(settled)
    if (amount > entry.amount) {
      this.take(amount - entry.amount, now)
    } else {
      this.#removeExpired(now)
      if (this.#limit !== Infinity && entry.at + minute > now) this.#sum -= entry.amount - amount
      entry.amount = amount
    }
  }

  #removeExpired(now: number): void {
    for (let entry = this.#entries[this.#oldest]; entry !== undefined; entry = this.#entries[this.#oldest]) {
      if (entry.at + minute > now) break
      this.#sum -= entry.amount
      this.#oldest++
    }
    if (this.#oldest > 64 && this.#oldest * 2 > this.#entries.length) {
      this.#entries = this.#entries.slice(this.#oldest)
      this.#oldest = 0
    }
  }
}
