/**
 * A limit for any minute: the amounts of the last 60 seconds never exceed it.
 *
 * Used instead of Effect's `RateLimiter`, which guarantees less. Its token bucket lets nearly twice the limit begin within the first minute, its
 * fixed windows let twice the limit begin around the end of one; and counting tokens it refills at most one a
 * millisecond, never ends if one call costs more than the limit, and cannot correct an amount.
 */

const minute = 60_000

/** Beyond every limit, and small enough that sums stay exact. */
const maxAmount = 1e12

/** A valid amount, whatever number of tokens a program or a server sent. */
const toAmount = (amount: number): number => amount > 0 ? Math.min(Math.ceil(amount), maxAmount) : 0

/** An amount that counts since a moment. */
export interface Entry {
  readonly at: number
  amount: number
}

/** The amounts of the last minute. Times are milliseconds of monotonic time. */
export class SlidingWindow {
  private readonly limit: number
  private entries: Array<Entry> = []
  /** Entries before this one no longer count. */
  private oldest = 0
  private sum = 0

  /** An infinite limit does not apply. */
  constructor(limit: number) {
    this.limit = limit
  }

  /** The time until the amount fits. An amount above the limit fits if nothing else counts. */
  wait(amount: number, now: number): number {
    if (this.limit === Infinity) return 0
    this.forget(now)
    let excess = this.sum + Math.min(toAmount(amount), this.limit) - this.limit
    let last: Entry | undefined
    for (let i = this.oldest; excess > 0 && i < this.entries.length; i++) {
      last = this.entries[i]
      excess -= last?.amount ?? 0
    }
    return last === undefined ? 0 : last.at + minute - now
  }

  /** Counts the amount from now on, whether it fits or not. */
  take(amount: number, now: number): Entry {
    const entry = { at: now, amount: toAmount(amount) }
    if (this.limit !== Infinity && entry.amount > 0) {
      this.entries.push(entry)
      this.sum += entry.amount
    }
    return entry
  }

  /** Corrects an estimated amount. A surplus is returned; an excess counts from now on. */
  settle(entry: Entry, settled: number, now: number): void {
    const amount = toAmount(settled)
    if (amount > entry.amount) {
      this.take(amount - entry.amount, now)
    } else {
      this.forget(now)
      if (this.limit !== Infinity && entry.at + minute > now) this.sum -= entry.amount - amount
      entry.amount = amount
    }
  }

  private forget(now: number): void {
    for (let entry = this.entries[this.oldest]; entry !== undefined; entry = this.entries[this.oldest]) {
      if (entry.at + minute > now) break
      this.sum -= entry.amount
      this.oldest++
    }
    if (this.oldest > 64 && this.oldest * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.oldest)
      this.oldest = 0
    }
  }
}
