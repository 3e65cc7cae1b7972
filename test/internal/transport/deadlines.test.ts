import { afterEach, assert, beforeEach, describe, it, vi } from "@effect/vitest"
import { type Clock, Duration, Effect, Fiber, TestClock } from "effect"
import { Watch } from "../../../src/internal/transport/deadlines.ts"
import { Wait } from "../../../src/internal/transport/wait.ts"

const limits = {
  firstTokenTimeout: Duration.seconds(5),
  idleTimeout: Duration.seconds(2),
  totalTimeout: Duration.seconds(20)
}

const make = Effect.flatMap(
  Effect.runtime<never>(),
  (runtime) => Effect.clockWith((clock) => Effect.sync(() => new Watch(limits, clock, new Wait(runtime))))
)

const waitFor = <A, E>(watch: Watch, effect: Effect.Effect<A, E>) =>
  Effect.suspend(() => {
    watch.life()
    return watch.waiting.for(effect)
  })

const passes = (effect: Effect.Effect<unknown, unknown>, millis: number) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(Effect.flip(effect))
    yield* TestClock.adjust(millis - 1)
    assert.isNull(fiber.unsafePoll())
    yield* TestClock.adjust(1)
    return yield* Fiber.join(fiber)
  })

describe("watch", () => {
  it.effect("before the first token only the time to it and the total count", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      const passed = yield* passes(waitFor(watch, Effect.never), 5000)
      assert.deepInclude(passed, { _tag: "Passed", phase: "firstToken", limit: limits.firstTokenTimeout })
    }))

  it.effect("a sign of life does not move the time to the first token", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      yield* Effect.fork(Effect.repeatN(Effect.delay(Effect.sync(() => watch.life()), "1 seconds"), 9))
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 5000), { phase: "firstToken" })
    }))

  it.effect("after it a sign of life moves the time of silence", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      watch.life(true)
      yield* Effect.fork(Effect.delay(Effect.sync(() => watch.life()), "1500 millis"))
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 3500), { phase: "idle" })
    }))

  it.effect("time that is not spent waiting is no silence", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      watch.life(true)
      yield* TestClock.adjust("15 seconds")
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 2000), { phase: "idle" })
    }))

  it.effect("between two tries only the total counts", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      watch.pause()
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 20_000), { phase: "total" })
    }))

  it.effect("between two tries silence does not count, also where an answer had begun", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      watch.life(true)
      watch.pause()
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 20_000), { phase: "total" })
    }))

  it.effect("the next try has the time to its first token anew, also where an answer had begun", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      watch.life(true)
      watch.pause()
      yield* TestClock.adjust("4 seconds")
      watch.attempt()
      assert.deepInclude(yield* passes(waitFor(watch, Effect.never), 5000), { phase: "firstToken" })
    }))

  it.effect("a limit that was passed while nobody waited ends the next wait at once", () =>
    Effect.gen(function*() {
      const watch = yield* make
      watch.attempt()
      yield* TestClock.adjust("30 seconds")
      assert.deepInclude(yield* Effect.flip(waitFor(watch, Effect.void)), { _tag: "Passed" })
    }))

  it.effect("what is waited for is interrupted when the limit passes, and nobody waits for that", () =>
    Effect.gen(function*() {
      let interrupted = false
      const watch = yield* make
      watch.attempt()
      const stubborn = Effect.never.pipe(Effect.onInterrupt(() => {
        interrupted = true
        return Effect.never
      }))
      assert.deepInclude(yield* passes(waitFor(watch, stubborn), 5000), { phase: "firstToken" })
      yield* Effect.yieldNow()
      assert.isTrue(interrupted)
    }))
})

describe("a call back", () => {
  const ofClock = (clock: Clock.Clock) =>
    Effect.map(Effect.runtime<never>(), (runtime) => new Watch(limits, clock, new Wait(runtime)))

  it.effect("comes when its time has passed on the Clock, and once", () =>
    Effect.gen(function*() {
      const watch = yield* make
      let calls = 0
      watch.later(5000, () => calls++)
      yield* TestClock.adjust(4999)
      assert.strictEqual(calls, 0)
      yield* TestClock.adjust(1)
      assert.strictEqual(calls, 1)
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(calls, 1)
    }))

  it.effect("does not come once it is called off", () =>
    Effect.gen(function*() {
      const watch = yield* make
      let calls = 0
      const callOff = watch.later(5000, () => calls++)
      yield* TestClock.adjust(4999)
      callOff()
      yield* TestClock.adjust("1 hours")
      assert.strictEqual(calls, 0)
    }))

  describe("of real time", () => {
    beforeEach(() => void vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout"] }))
    afterEach(() => void vi.useRealTimers())

    const realTime = Effect.runSync(Effect.clock)

    it("costs a timer of the platform, which is gone with the call back", async () => {
      const watch = await Effect.runPromise(ofClock(realTime))
      let calls = 0
      watch.later(5000, () => calls++)
      assert.strictEqual(vi.getTimerCount(), 1)
      vi.advanceTimersByTime(4999)
      assert.strictEqual(calls, 0)
      vi.advanceTimersByTime(1)
      assert.strictEqual(calls, 1)
      assert.strictEqual(vi.getTimerCount(), 0)
    })

    it("leaves no timer once it is called off", async () => {
      const watch = await Effect.runPromise(ofClock(realTime))
      let calls = 0
      watch.later(5000, () => calls++)()
      assert.strictEqual(vi.getTimerCount(), 0)
      vi.advanceTimersByTime(5000)
      assert.strictEqual(calls, 0)
    })

    it("comes after what a timer can take where that is less, and never at once", async () => {
      const watch = await Effect.runPromise(ofClock(realTime))
      let calls = 0
      watch.later(Infinity, () => calls++)
      vi.advanceTimersByTime(2 ** 31 - 2)
      assert.strictEqual(calls, 0)
      vi.advanceTimersByTime(1)
      assert.strictEqual(calls, 1)
    })

    it("ends with the call", async () => {
      const watch = await Effect.runPromise(ofClock(realTime))
      watch.attempt()
      assert.strictEqual(vi.getTimerCount(), 1)
      watch.end()
      assert.strictEqual(vi.getTimerCount(), 0)
    })

    it("does not begin where the call ended before its first try", async () => {
      const watch = await Effect.runPromise(ofClock(realTime))
      watch.end()
      watch.attempt()
      assert.strictEqual(vi.getTimerCount(), 0)
    })
  })
})
