/**
 * What sessions cost: calls of a manager with 100, 10 000 and 1 000 000 conversations, the memory of an idle one, and an
 * eviction pass that finds 1 000 expired among a million.
 *
 * Prints microseconds per call as medians, and their ratio to those with 100 conversations in the same run. Run with
 * `npm run bench:sessions`.
 */
import { Clock, Duration, Effect, Stream } from "effect"
import { type ChatCompletions, ChatManager, LLMConfig } from "effect-chat"

const config = LLMConfig.make({ baseUrl: "http://127.0.0.1:9/v1" })

const completions: ChatCompletions.Service = {
  complete: () => Effect.never,
  stream: () => Stream.never
}

/** A clock that stands still until it is told to go on. */
const handClock = (): { readonly clock: Clock.Clock; readonly go: (millis: number) => void } => {
  const real = Clock.make()
  let now = 0
  const clock: Clock.Clock = {
    ...real,
    [Clock.ClockTypeId]: Clock.ClockTypeId,
    unsafeCurrentTimeMillis: () => now,
    unsafeCurrentTimeNanos: () => BigInt(now) * 1_000_000n,
    currentTimeMillis: Effect.sync(() => now),
    currentTimeNanos: Effect.sync(() => BigInt(now) * 1_000_000n),
    sleep: (duration) => {
      const end = now + Duration.toMillis(duration)
      const wait: Effect.Effect<void> = Effect.suspend(() =>
        now >= end ? Effect.void : Effect.zipRight(real.sleep(Duration.millis(1)), wait)
      )
      return wait
    }
  }
  return { clock, go: (millis) => void (now += millis) }
}

const ids = (count: number, prefix = "user"): ReadonlyArray<string> =>
  Array.from({ length: count }, (_, index) => `${prefix}-${index}`)

const percentile = (values: ReadonlyArray<number>, part: number): number =>
  Array.from(values).sort((a, b) => a - b)[Math.floor(values.length * part)] ?? 0

const median = (values: ReadonlyArray<number>): number => percentile(values, 0.5)

/** Microseconds per call: the median of rounds, each over ids spread across all conversations. */
const perCall = (rounds: number, calls: number, call: (round: number, n: number) => Effect.Effect<unknown, unknown>) =>
  Effect.gen(function*() {
    const times: Array<number> = []
    for (let round = 0; round < rounds; round++) {
      const begun = performance.now()
      for (let n = 0; n < calls; n++) yield* call(round, n)
      times.push((performance.now() - begun) * 1000 / calls)
    }
    return median(times)
  })

const heap = (): number => {
  globalThis.gc?.()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
}

const measure = (count: number) =>
  Effect.gen(function*() {
    const manager = yield* ChatManager.fromCompletions(completions, { config, timeout: "1 hour" })
    const names = ids(count)
    const before = heap()
    for (const name of names) yield* manager.getChat(name)
    const bytes = (heap() - before) / count
    const pick = (n: number): string => names[(n * 7919) % count] ?? ""
    const getChat = yield* perCall(21, 5000, (_, n) => manager.getChat(pick(n)))
    const touch = yield* perCall(21, 5000, (_, n) => Effect.flatMap(manager.getChat(pick(n)), (chat) => chat.history))
    const removed = ids(21 * 1000, "passing")
    const remove = yield* perCall(21, 1000, (round, n) => {
      const id = removed[round * 1000 + n] ?? ""
      return Effect.zipRight(manager.getChat(id), manager.removeChat(id))
    })
    return { count, bytes, getChat, touch, remove }
  }).pipe(Effect.scoped)

const eviction = (count: number, expired: number) =>
  Effect.gen(function*() {
    const { clock, go } = handClock()
    return yield* Effect.gen(function*() {
      const manager = yield* ChatManager.fromCompletions(completions, { config, timeout: "1 hour" })
      for (const id of ids(expired, "old")) yield* manager.getChat(id)
      go(1000)
      for (const id of ids(count - expired)) yield* manager.getChat(id)
      yield* Effect.yieldNow()
      const waits: Array<number> = []
      const begun = performance.now()
      go(3_600_000 - 500)
      while ((yield* manager.size) > count - expired) {
        const asked = performance.now()
        yield* manager.getChat("user-1")
        waits.push(performance.now() - asked)
        yield* Effect.promise(() => new Promise<void>((resolve) => setImmediate(resolve)))
      }
      return { millis: performance.now() - begun, p99: percentile(waits, 0.99), calls: waits.length }
    }).pipe(Effect.scoped, Effect.withClock(clock))
  })

const program = Effect.gen(function*() {
  yield* measure(1000)
  const rows = []
  for (const count of [100, 10_000, 1_000_000]) rows.push(yield* measure(count))
  const [first] = rows
  if (first === undefined) return
  const cell = (value: number, base: number): string => `${value.toFixed(2)} µs (${(value / base).toFixed(2)}×)`
  console.table(rows.map((row) => ({
    conversations: row.count,
    getChat: cell(row.getChat, first.getChat),
    "getChat + history": cell(row.touch, first.touch),
    "getChat + removeChat": cell(row.remove, first.remove),
    "bytes each, idle": row.count < 1000 ? "" : Math.round(row.bytes)
  })))
  const few = yield* eviction(10_000, 1000)
  const many = yield* eviction(1_000_000, 1000)
  console.table([few, many].map((pass, index) => ({
    conversations: index === 0 ? 10_000 : 1_000_000,
    expired: 1000,
    "pass, ms": pass.millis.toFixed(1),
    "getChat meanwhile, p99, ms": pass.p99.toFixed(3),
    calls: pass.calls
  })))
})

void Effect.runPromise(program)
