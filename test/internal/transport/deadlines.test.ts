import { assert, describe, it } from "@effect/vitest"
import { Clock, Duration, Effect, Fiber, TestClock } from "effect"
import { Deadlines } from "../../../src/internal/transport/deadlines.ts"
import { Wait } from "../../../src/internal/transport/wait.ts"

const limits = {
  firstTokenTimeout: Duration.seconds(5),
  idleTimeout: Duration.seconds(2),
  totalTimeout: Duration.seconds(20)
}

const make = Effect.flatMap(
  Effect.runtime<never>(),
  (runtime) => Effect.clockWith((clock) => Effect.sync(() => new Deadlines(limits, clock, new Wait(runtime))))
)

const waitFor = <A, E>(deadlines: Deadlines, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    deadlines.touch()
    return deadlines.wait.for(effect)
  })

const failsAfter = (effect: Effect.Effect<unknown, unknown>, millis: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flip(effect))
    yield* TestClock.adjust(millis - 1)
    assert.isNull(fiber.unsafePoll())
    yield* TestClock.adjust(1)
    return yield* Fiber.join(fiber)
  })

describe("deadlines", () => {
  it.effect("before the first token, only the limits firstToken and total apply", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      const timedOut = yield* failsAfter(waitFor(deadlines, Effect.never), 5000)
      assert.deepInclude(timedOut, { _tag: "TimedOut", phase: "firstToken", limit: limits.firstTokenTimeout })
    }))

  it.effect("data without a token does not extend the time to the first token", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      yield* Effect.fork(Effect.repeatN(Effect.delay(Effect.sync(() => deadlines.touch()), "1 seconds"), 9))
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 5000), { phase: "firstToken" })
    }))

  it.effect("after the first token, any data restarts the idle time", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      deadlines.touch(true)
      yield* Effect.fork(Effect.delay(Effect.sync(() => deadlines.touch()), "1500 millis"))
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 3500), { phase: "idle" })
    }))

  it.effect("time between waits does not count as idle time", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      deadlines.touch(true)
      yield* TestClock.adjust("15 seconds")
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 2000), { phase: "idle" })
    }))

  it.effect("between two attempts, only the total limit applies", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      deadlines.pause()
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 20_000), { phase: "total" })
    }))

  it.effect("between two attempts, no idle time counts, even if an answer had started", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      deadlines.touch(true)
      deadlines.pause()
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 20_000), { phase: "total" })
    }))

  it.effect("the next attempt has the full time to its first token, even if an answer had started", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      deadlines.touch(true)
      deadlines.pause()
      yield* TestClock.adjust("4 seconds")
      deadlines.attempt()
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, Effect.never), 5000), { phase: "firstToken" })
    }))

  it.effect("a limit that expired between two waits ends the next one at once", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      deadlines.attempt()
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(yield* Effect.flip(waitFor(deadlines, Effect.void)), { _tag: "TimedOut" })
    }))

  it.effect("an exceeded limit interrupts the awaited effect, and does not wait for its interruption", () =>
    Effect.gen(function*() {
      let interrupted = false
      const deadlines = yield* make
      deadlines.attempt()
      const hangsOnInterrupt = Effect.never.pipe(Effect.onInterrupt(() => {
        interrupted = true
        return Effect.never
      }))
      assert.deepInclude(yield* failsAfter(waitFor(deadlines, hangsOnInterrupt), 5000), { phase: "firstToken" })
      yield* Effect.yieldNow()
      assert.isTrue(interrupted)
    }))
})

describe("the timer of deadlines", () => {
  /** A Clock whose monotonic time and date the test sets. Sleeps end only by `wake`. */
  const makeClock = () => {
    const sleeps: Array<number> = []
    const timers = new Set<() => void>()
    const state = { monotonic: 0, date: 0 }
    const clock: Clock.Clock = Object.assign(Object.create(Clock.make()), {
      unsafeCurrentTimeMillis: () => state.date,
      unsafeCurrentTimeNanos: () => BigInt(Math.round(state.monotonic * 1e6)),
      sleep: (duration: Duration.Duration) =>
        Effect.async<void>((resume) => {
          sleeps.push(Duration.toMillis(duration))
          const timer = () => resume(Effect.void)
          timers.add(timer)
          return Effect.sync(() => void timers.delete(timer))
        })
    })
    const wake = Effect.zipRight(Effect.sync(() => timers.forEach((timer) => timer())), Effect.yieldNow())
    return { clock, sleeps, state, timers, wake }
  }

  const withClock = (clock: Clock.Clock) =>
    Effect.map(Effect.runtime<never>(), (runtime) => new Deadlines(limits, clock, new Wait(runtime)))

  it.effect("ignores a jump of the date", () =>
    Effect.gen(function*() {
      const { clock, state, wake } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.attempt()
      const reader = yield* Effect.fork(Effect.flip(waitFor(deadlines, Effect.never)))
      state.date += 3_600_000
      yield* wake
      assert.isNull(reader.unsafePoll())
      state.date -= 7_200_000
      state.monotonic = 5000
      yield* wake
      assert.deepInclude(yield* Fiber.join(reader), { phase: "firstToken" })
    }))

  it.effect("is set again for at least a millisecond if it fires early", () =>
    Effect.gen(function*() {
      const { clock, sleeps, state, wake } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.attempt()
      const reader = yield* Effect.fork(Effect.flip(waitFor(deadlines, Effect.never)))
      yield* wake
      state.monotonic = 4999.8
      yield* wake
      assert.strictEqual(sleeps.at(-1), 1)
      state.monotonic = 5000.8
      yield* wake
      assert.deepInclude(yield* Fiber.join(reader), { phase: "firstToken" })
    }))

  it.effect("is set once, however often the server sends data", () =>
    Effect.gen(function*() {
      const { clock, sleeps } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.attempt()
      for (let n = 0; n < 100; n++) deadlines.touch(true)
      yield* Effect.yieldNow()
      assert.lengthOf(sleeps, 1)
    }))

  it.effect("is never longer than the maximum of the platform", () =>
    Effect.gen(function*() {
      const { clock, sleeps } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.schedule(Infinity, () => {})
      yield* Effect.yieldNow()
      assert.deepStrictEqual(sleeps, [2 ** 31 - 1])
    }))

  it.effect("is cancelled when the call ends", () =>
    Effect.gen(function*() {
      const { clock, timers } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.attempt()
      yield* Effect.yieldNow()
      assert.strictEqual(timers.size, 1)
      deadlines.end()
      yield* Effect.yieldNow()
      assert.strictEqual(timers.size, 0)
    }))

  it.effect("is not set if the call ended before its first attempt", () =>
    Effect.gen(function*() {
      const { clock, sleeps } = makeClock()
      const deadlines = yield* withClock(clock)
      deadlines.end()
      deadlines.attempt()
      yield* Effect.yieldNow()
      assert.deepStrictEqual(sleeps, [])
    }))
})

describe("a scheduled task", () => {
  it.effect("runs once, when its time has passed on the Clock", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      let calls = 0
      deadlines.schedule(5000, () => calls++)
      yield* TestClock.adjust(4999)
      assert.strictEqual(calls, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(calls, 1)
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(calls, 1)
    }))

  it.effect("does not run once it is cancelled", () =>
    Effect.gen(function*() {
      const deadlines = yield* make
      let calls = 0
      const cancel = deadlines.schedule(5000, () => calls++)
      yield* TestClock.adjust(4999)
      cancel()
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(calls, 0)
    }))
})
