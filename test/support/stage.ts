/**
 * Runs fibers step by step, to interrupt them, or to disturb them otherwise, between any two of their operations.
 */
import { assert } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, type Fiber, Runtime, Scheduler } from "effect"

/** A scheduler that counts the operations of its fibers, and calls a function before a given operation. */
class Scheduling extends Scheduler.ControlledScheduler {
  private left = Infinity
  private disturb: (() => void) | undefined
  brokeIn = false

  override shouldYield(): number | false {
    if (this.left-- > 0) return false
    this.left = Infinity
    this.brokeIn = true
    return 0
  }

  breakIn(after: number, disturb: () => void): void {
    this.left = after
    this.disturb = disturb
  }

  leaveAlone(): void {
    this.left = Infinity
  }

  override step(): void {
    if (this.brokeIn) {
      this.disturb?.()
      this.disturb = undefined
    }
    super.step()
  }
}

/** Runs fibers, and can call a function between any two of their operations. */
export interface Stage {
  /** Starts a fiber that runs at the next `settle`. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Starts a fiber that runs at once, as far as it can. */
  readonly start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Calls `disturb` after `after` further operations. */
  readonly breakIn: (after: number, disturb: () => void) => void
  /** Cancels `breakIn`. */
  readonly leaveAlone: () => void
  /** Whether the fibers had enough operations for `breakIn`. */
  readonly brokeIn: () => boolean
  /** Runs the fibers until all of them wait or have ended. */
  readonly settle: () => void
  /** Advances the clock of the fibers. */
  readonly pass: (duration: Duration.DurationInput) => void
}

/** A clock that only `wakeNext` advances. The TestClock cannot be used: interrupted fibers keep its lock. */
const makeClock = () => {
  let now = 0
  let sleepers: Array<{ readonly at: number; readonly wake: () => void }> = []
  const clock: Clock.Clock = Object.create(Clock.make(), {
    unsafeCurrentTimeMillis: { value: () => now },
    unsafeCurrentTimeNanos: { value: () => BigInt(now) * 1_000_000n },
    currentTimeMillis: { value: Effect.sync(() => now) },
    currentTimeNanos: { value: Effect.sync(() => BigInt(now) * 1_000_000n) },
    sleep: {
      value: (duration: Duration.DurationInput) =>
        Effect.async<void>((resume) => {
          const sleeper = { at: now + Duration.toMillis(duration), wake: () => resume(Effect.void) }
          sleepers.push(sleeper)
          return Effect.sync(() => {
            sleepers = sleepers.filter((other) => other !== sleeper)
          })
        })
    }
  })
  /** Advances to the end of the next sleep, at most to `until`. Returns whether a sleep ended. */
  const wakeNext = (until: number): boolean => {
    const at = Math.min(...sleepers.map((sleeper) => sleeper.at))
    now = Math.min(at, until)
    const woken = sleepers.filter((sleeper) => sleeper.at <= now)
    sleepers = sleepers.filter((sleeper) => sleeper.at > now)
    for (const { wake } of woken) wake()
    return at <= until
  }
  return { clock, now: () => now, wakeNext }
}

/** A new stage with its own clock. */
export const makeStage: Effect.Effect<Stage> = Effect.suspend(() => {
  const { clock, now, wakeNext } = makeClock()
  return Effect.map(Effect.withClock(Effect.runtime<never>(), clock), (runtime) => {
    const scheduler = new Scheduling()
    const settle = (): void => {
      for (let n = 0; scheduler.tasks.buckets.length > 0; n++) {
        if (n > 100_000) throw new Error("the fibers never come to rest")
        scheduler.step()
      }
    }
    return {
      fork: (effect) => Runtime.runFork(runtime)(effect, { scheduler, immediate: false }),
      start: (effect) => Runtime.runFork(runtime)(effect, { scheduler }),
      breakIn: (after, disturb) => scheduler.breakIn(after, disturb),
      leaveAlone: () => scheduler.leaveAlone(),
      brokeIn: () => scheduler.brokeIn,
      settle,
      pass: (duration) => {
        const until = now() + Duration.toMillis(duration)
        settle()
        while (wakeNext(until)) settle()
      }
    }
  })
})

/** Runs an effect on the stage. Fails the test if it does not succeed. */
export const run = <A, E>(stage: Stage, effect: Effect.Effect<A, E>, name: string): A => {
  const fiber = stage.fork(effect)
  stage.settle()
  return value(fiber, name)
}

/** The value of a fiber. Fails the test if it did not succeed. */
export const value = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, name: string): A => {
  const exit = ended(fiber, name)
  return Exit.isSuccess(exit) ? exit.value : assert.fail(`${name} fails: ${String(exit)}`)
}

/** The exit of a fiber. Fails the test if it has not ended. */
export const ended = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, name: string): Exit.Exit<A, E> => {
  const exit = fiber.unsafePoll()
  return exit === null ? assert.fail(`${name} hangs`) : exit
}

const isEvery = process.env["EVERY_OPERATION"] === "1"

/** Every one of the first 200 operations, which take locks, and then a sample. */
export const mostly = (after: number): number => after + (isEvery || after < 200 ? 1 : 13)

/** Every `step`th operation. */
export const someOf = (step: number) => (after: number): number => after + (isEvery ? 1 : step)

/**
 * Plays a scene repeatedly, with a disturbance after 0 operations, then after `next(0)`, and so on, until the scene ends
 * before the disturbance. Fails the test if any of them fails. Returns the number of operations of the scene.
 */
export const atOperations = <R>(
  next: (after: number) => number,
  scene: (stage: Stage, after: number) => Effect.Effect<void, unknown, R>
): Effect.Effect<number, never, R> =>
  Effect.gen(function*() {
    const wrong: Array<string> = []
    let after = 0
    for (; after < 20_000; after = next(after)) {
      const stage = yield* makeStage
      const exit = yield* Effect.exit(scene(stage, after))
      if (Exit.isFailure(exit)) wrong.push(`after ${after} operations: ${Cause.pretty(exit.cause)}`)
      if (!stage.brokeIn()) break
    }
    assert.deepStrictEqual([wrong.length, ...wrong.slice(0, 2)], [0])
    return after
  })
