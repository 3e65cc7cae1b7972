/**
 * The two parts of a limit that use no Clock: the amounts within a minute, and the queue of waiting calls.
 */
import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { FairQueue } from "../../../src/internal/limits/fairQueue.ts"
import { SlidingWindow } from "../../../src/internal/limits/slidingWindow.ts"

const minute = 60_000

describe("a sliding window", () => {
  it("admits the complete limit at once, and the next amount a minute later", () => {
    const window = new SlidingWindow(2)
    assert.strictEqual(window.wait(1, 0), 0)
    window.take(1, 0)
    window.take(1, 10_000)
    assert.strictEqual(window.wait(1, 20_000), 40_000)
    assert.strictEqual(window.wait(2, 20_000), 50_000)
    assert.strictEqual(window.wait(1, minute), 0)
  })

  it("admits an amount above the limit if nothing else counts", () => {
    const window = new SlidingWindow(100)
    assert.strictEqual(window.wait(5_000, 0), 0)
    window.take(1, 0)
    assert.strictEqual(window.wait(5_000, 0), minute)
  })

  it("returns unused tokens of a reservation, and counts additional ones from now on", () => {
    const window = new SlidingWindow(100)
    const entry = window.take(80, 0)
    window.settle(entry, 30, 1_000)
    assert.strictEqual(window.wait(70, 1_000), 0)
    assert.strictEqual(window.wait(71, 1_000), 59_000)

    window.settle(entry, 90, 2_000)
    assert.strictEqual(window.wait(11, 2_000), 58_000)
    assert.strictEqual(window.wait(41, minute), 2_000)
  })

  it("returns nothing for tokens that no longer count", () => {
    const window = new SlidingWindow(100)
    const entry = window.take(80, 0)
    window.take(100, minute)
    window.settle(entry, 0, minute)
    assert.strictEqual(window.wait(1, minute), minute)
  })

  it("never waits if the limit is infinite", () => {
    const window = new SlidingWindow(Infinity)
    window.settle(window.take(1e12, 0), 1, 0)
    assert.strictEqual(window.wait(1e12, 0), 0)
  })

  it("counts an invalid number of tokens as 0, or as more than the limit, and stays exact", () => {
    const window = new SlidingWindow(100)
    for (const [guess, taken] of [[NaN, 10], [Infinity, 10], [-5, 10], [0.5, 9.2], [10, 1e300], [10, NaN]] as const) {
      window.settle(window.take(guess, 0), taken, 0)
    }
    assert.strictEqual(window.wait(1, 0), minute)
    assert.strictEqual(window.wait(100, minute), 0)
    window.take(40, minute)
    assert.strictEqual(window.wait(60, minute), 0)
    assert.strictEqual(window.wait(61, minute), minute)
  })

  it.prop(
    "never admits more than the limit within any minute, and waits no longer than necessary",
    [
      FastCheck.integer({ min: 1, max: 50 }),
      FastCheck.array(
        FastCheck.tuple(FastCheck.integer({ min: 0, max: 40_000 }), FastCheck.integer({ min: 1, max: 50 })),
        {
          maxLength: 300
        }
      )
    ],
    ([limit, calls]) => {
      const window = new SlidingWindow(limit)
      const begun: Array<{ readonly at: number; readonly amount: number }> = []
      const within = (now: number): number =>
        begun.reduce((sum, { amount, at }) => at + minute > now ? sum + amount : sum, 0)
      let now = 0
      for (const [pause, wanted] of calls) {
        const amount = Math.min(wanted, limit)
        now += pause
        const wait = window.wait(amount, now)
        if (wait > 0) assert.isAbove(within(now + wait - 1) + amount, limit, "a shorter wait is too short")
        now += wait
        assert.strictEqual(window.wait(amount, now), 0)
        window.take(amount, now)
        begun.push({ at: now, amount })
        assert.isAtMost(within(now), limit)
      }
    }
  )
})

describe("a fair queue", () => {
  const order = (queue: FairQueue<string>): ReadonlyArray<string> => {
    const served: Array<string> = []
    for (let head = queue.head; head !== undefined; head = queue.head) {
      served.push(head)
      queue.removeServed(head.slice(0, 1), head)
    }
    return served
  }
  const queueOf = (...members: ReadonlyArray<string>): FairQueue<string> => {
    const queue = new FairQueue<string>()
    for (const member of members) queue.join(member.slice(0, 1), member)
    return queue
  }

  it("serves each group in turn, and within a group in the order of arrival", () => {
    assert.deepStrictEqual(order(queueOf("a1", "a2", "a3", "b1", "c1", "b2")), ["a1", "b1", "c1", "a2", "b2", "a3"])
  })

  it("serves a group that returns after the others", () => {
    const queue = queueOf("a1", "b1", "c1")
    queue.removeServed("a", "a1")
    queue.join("a", "a2")
    assert.deepStrictEqual(order(queue), ["b1", "c1", "a2"])
  })

  it("removes a call that leaves, and keeps the order of the others", () => {
    const queue = queueOf("a1", "a2", "b1")
    queue.leave("a", "a1")
    queue.leave("a", "a1")
    queue.leave("z", "z1")
    assert.deepStrictEqual(order(queue), ["a2", "b1"])
    assert.deepStrictEqual(order(queueOf()), [])
  })

  it("accepts any text as a group", () => {
    const queue = new FairQueue<string>()
    for (const group of ["", "__proto__", "constructor"]) queue.join(group, group)
    assert.deepStrictEqual(queue.clear(), ["", "__proto__", "constructor"])
    assert.isUndefined(queue.head)
  })
})
