import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { type Take, Wait } from "../../../src/internal/transport/wait.ts"

const make = Effect.map(Effect.runtime<never>(), (runtime) => new Wait<"over">(runtime))

describe("wait", () => {
  it.effect("a callback's result is taken once", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const takes: Array<Take<number, "over">> = []
      const fiber = yield* Effect.fork(wait.until<number, "over">((take) => void takes.push(take), Effect.fail))
      yield* Effect.yieldNow()
      assert.isTrue(wait.isWaiting)
      assert.deepStrictEqual(takes.map((take) => [take(() => Effect.succeed(1)), take(() => Effect.succeed(2))]), [[
        true,
        false
      ]])
      assert.isFalse(wait.isWaiting)
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    }))

  it.effect("a reader that was interrupted does not wait, and reads nothing", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const takes: Array<Take<number, "over">> = []
      const fiber = yield* Effect.fork(wait.until<number, "over">((take) => void takes.push(take), Effect.fail))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      assert.isFalse(wait.isWaiting)
      assert.deepStrictEqual(takes.map((take) => take(() => Effect.succeed(1))), [false])
    }))

  it.effect("an end replaces a result that the reader has not received, and ends every later wait", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const fiber = yield* Effect.fork(wait.until<number, "over">((take) => {
        take(() => Effect.succeed(1))
        wait.end("over")
      }, Effect.fail))
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("over" as const))
      assert.deepStrictEqual(
        yield* Effect.exit(wait.until<number, "over">(() => {}, Effect.fail)),
        Exit.fail("over" as const)
      )
      assert.deepStrictEqual(yield* Effect.exit(wait.for(Effect.never)), Exit.fail("over" as const))
    }))

  it.effect("an end does not wait for an effect that cannot be interrupted", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const fiber = yield* Effect.fork(wait.for(Effect.uninterruptible(Effect.never)))
      yield* Effect.yieldNow()
      wait.end("over")
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.fail("over" as const))
    }))

  it.effect("an undefined result is taken, and leaves the reader waiting", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const takes: Array<Take<number, "over">> = []
      const fiber = yield* Effect.fork(wait.until<number, "over">((take) => void takes.push(take), Effect.fail))
      yield* Effect.yieldNow()
      assert.deepStrictEqual(takes.map((take) => take(() => undefined)), [true])
      assert.isTrue(wait.isWaiting)
      assert.deepStrictEqual(takes.map((take) => take(() => Effect.succeed(1))), [true])
      assert.strictEqual(yield* Fiber.join(fiber), 1)
    }))

  it.effect("a result that throws is a defect of the reader, not of the callback's caller", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const takes: Array<Take<number, "over">> = []
      const fiber = yield* Effect.fork(wait.until<number, "over">((take) => void takes.push(take), Effect.fail))
      yield* Effect.yieldNow()
      const defect = new Error("a bug")
      const fail = () => {
        throw defect
      }
      assert.deepStrictEqual(takes.map((take) => take(fail)), [true])
      assert.deepStrictEqual(yield* Fiber.await(fiber), Exit.die(defect))
    }))

  it.effect("an interrupted reader interrupts the awaited effect, and waits for its interruption", () =>
    Effect.gen(function*() {
      const wait = yield* make
      let cleaned = false
      const cleanUp = Effect.zipRight(Effect.yieldNow(), Effect.sync(() => cleaned = true))
      const fiber = yield* Effect.fork(wait.for(Effect.ensuring(Effect.never, cleanUp)))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(fiber)
      assert.isTrue(cleaned)
    }))

  it.effect("the awaited effect can be interrupted in an uninterruptible region", () =>
    Effect.gen(function*() {
      const wait = yield* Effect.uninterruptible(make)
      let interrupted = false
      const effect = Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
      yield* Effect.fork(Effect.uninterruptible(Effect.ignore(wait.for(effect))))
      yield* Effect.yieldNow()
      wait.end("over")
      yield* Effect.yieldNow()
      assert.isTrue(interrupted)
    }))

  it.effect("a reader that is interrupted after any operation leaves no fiber running", () =>
    Effect.gen(function*() {
      const wait = yield* make
      const leaks: Array<number> = []
      // Effect yields to other fibers after 2048 operations.
      for (let operationCount = 2020; operationCount < 2060; operationCount++) {
        let started = false
        let interrupted = false
        const effect = Effect.suspend(() => {
          started = true
          return Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
        })
        const operations = Effect.forEach(Array.from({ length: operationCount }), () => Effect.void, { discard: true })
        const reader = yield* Effect.fork(Effect.zipRight(operations, wait.for(effect)))
        while (!started) yield* Effect.yieldNow()
        yield* Fiber.interrupt(reader)
        yield* Effect.yieldNow()
        if (!interrupted) leaks.push(operationCount)
      }
      assert.deepStrictEqual(leaks, [])
    }))

  it.effect("an end while the effect starts interrupts it", () =>
    Effect.gen(function*() {
      const wait = yield* make
      let interrupted = false
      const effect = Effect.zipRight(
        Effect.sync(() => wait.end("over")),
        Effect.onInterrupt(Effect.never, () => Effect.sync(() => interrupted = true))
      )
      assert.deepStrictEqual(yield* Effect.exit(wait.for(effect)), Exit.fail("over" as const))
      yield* Effect.yieldNow()
      assert.isTrue(interrupted)
    }))
})
