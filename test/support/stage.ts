/**
 * Fibers beside those of a test, which it disturbs between any two of their operations.
 */
import { assert } from "@effect/vitest"
import { Cause, Clock, Duration, Effect, Exit, type Fiber, Runtime, Scheduler } from "effect"

/** Counts the operations of the fibers that it runs, and lets another go first before one of them. */
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

/** Fibers beside those of the test, which it can break in on between any two of their operations. */
export interface Stage {
  /** A fiber that runs when the stage settles. */
  readonly fork: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** A fiber that runs now, as far as it can. */
  readonly start: <A, E>(effect: Effect.Effect<A, E>) => Fiber.RuntimeFiber<A, E>
  /** Disturbs the fibers once they have run so many operations more. */
  readonly breakIn: (after: number, disturb: () => void) => void
  /** Disturbs nobody any more. */
  readonly leaveAlone: () => void
  /** Whether they had so many. */
  readonly brokeIn: () => boolean
  /** Runs the fibers until they wait for what is not there yet, or have ended. */
  readonly settle: () => void
  /** Lets time pass for the fibers. */
  readonly pass: (duration: Duration.DurationInput) => void
}

/** A clock that stands still until it is told to go on. The TestClock loses its lock to fibers that are interrupted. */
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
  /** Goes on to the next time at which somebody wakes; whether there is one up to then. */
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

/** A stage of its own, whose time is its own. */
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

/** What the effect gives when it runs on the stage; it must come to an end there. */
export const run = <A, E>(stage: Stage, effect: Effect.Effect<A, E>, name: string): A => {
  const fiber = stage.fork(effect)
  stage.settle()
  return value(fiber, name)
}

/** What the fiber gave; it must have ended. */
export const value = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, name: string): A => {
  const exit = ended(fiber, name)
  return Exit.isSuccess(exit) ? exit.value : assert.fail(`${name} fails: ${String(exit)}`)
}

/** How the fiber ended, which it must have. */
export const ended = <A, E>(fiber: Fiber.RuntimeFiber<A, E>, name: string): Exit.Exit<A, E> => {
  const exit = fiber.unsafePoll()
  return exit === null ? assert.fail(`${name} hangs`) : exit
}

const isEvery = process.env["EVERY_OPERATION"] === "1"

/** Where locks are taken every operation counts; on the wire, which has far more of them, a sample does. */
export const mostly = (after: number): number => after + (isEvery || after < 200 ? 1 : 13)

/** A sample of operations. */
export const someOf = (step: number) => (after: number): number => after + (isEvery ? 1 : step)

/**
 * Plays a scene with a disturbance after 0 operations, and the next number of them, until it ends before it is disturbed.
 * All must be sound. Gives how many operations there were.
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
