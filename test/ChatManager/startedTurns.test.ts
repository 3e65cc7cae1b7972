import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Exit, Fiber, Layer, Option, Scope, Stream, TestClock } from "effect"
import { ChatManager, HistoryStore, LLMConfig, type Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, held, lines, nothing, requests, transcript } from "../support/chats.ts"

const config = (more?: Partial<LLMConfig.Options>) =>
  LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0, ...more })

const scripted = (script: ScriptedHttpClient.Script) =>
  Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(script, { repeatLast: true })))

const slowly = scripted(echo({ delay: "1 second" }))

const make = (options?: Partial<ChatManager.Options>) =>
  Effect.flatMap(ChatManager.make({ config: config(), ...options }), (manager) => manager.getChat("ada"))

const textOf = (events: Iterable<Turn.NumberedEvent>): string =>
  Array.from(events, ({ event }) => event._tag === "TextDelta" ? event.text : "").join("")

describe("A started turn", () => {
  it.scoped("continues without readers, and is stored", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const turnId = yield* chat.start("a b c")
      const reader = yield* Effect.fork(Stream.runDrain(chat.attach(turnId)))
      yield* TestClock.adjust("2 seconds")
      yield* Fiber.interrupt(reader)
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual(yield* transcript(chat), ["user: a b c", "assistant: re a b c"])
      assert.isTrue(Option.isNone(yield* chat.running))
    }).pipe(slowly))

  it.scoped("is returned by `running` while it runs, with the number of its last event", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const turnId = yield* chat.start("a b c")
      const first = Option.getOrThrow(yield* chat.running)
      yield* TestClock.adjust("1500 millis")
      const second = Option.getOrThrow(yield* chat.running)

      assert.deepStrictEqual(first, { turnId, seq: 0 })
      assert.deepStrictEqual(second, { turnId, seq: 2 })
      yield* TestClock.adjust("10 seconds")
    }).pipe(slowly))

  it.scoped("can be attached to from its beginning or after a number while it runs", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.start("a b c")
      yield* TestClock.adjust("1500 millis")

      const whole = yield* Effect.fork(Stream.runCollect(chat.attach()))
      const rest = yield* Effect.fork(Stream.runCollect(chat.attach(undefined, { after: 2 })))
      yield* TestClock.adjust("10 seconds")
      const all = Chunk.toReadonlyArray(yield* Fiber.join(whole))
      const later = Chunk.toReadonlyArray(yield* Fiber.join(rest))

      assert.strictEqual(textOf(all), "re a b c")
      assert.deepStrictEqual(all.map(({ seq }) => seq), all.map((_, index) => index + 1))
      assert.deepStrictEqual(later, all.slice(2))
    }).pipe(slowly))

  it.scoped("is read from the store after its end, and emits Finish after any number", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const turnId = yield* chat.start("a b c")
      yield* TestClock.adjust("10 seconds")

      const all = Chunk.toReadonlyArray(yield* Stream.runCollect(chat.attach(turnId)))
      const rest = Chunk.toReadonlyArray(yield* Stream.runCollect(chat.attach(turnId, { after: 6 })))

      assert.strictEqual(textOf(all), "re a b c")
      assert.deepStrictEqual(rest.map(({ event }) => event._tag), ["Finish"])
      assert.isAbove(rest[0]?.seq ?? 0, 6)
    }).pipe(slowly))

  it.scoped("that does not exist is refused by attach, and attach without an id is empty if no turn is running", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const error = yield* Effect.flip(Stream.runDrain(chat.attach("nobody")))

      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.isTrue(Chunk.isEmpty(yield* Stream.runCollect(chat.attach())))
    }).pipe(slowly))

  it.scoped("fails readers with its error, even after its end", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const turnId = yield* chat.start("a")
      yield* TestClock.adjust("10 seconds")

      const error = yield* Effect.flip(Stream.runDrain(chat.attach(turnId)))

      assert.strictEqual(error._tag, "ServerError")
    }).pipe(scripted([ScriptedHttpClient.text("no", { status: 500 })])))

  it.scoped("is started once for each id, and is stored with this id", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const ids = yield* Effect.all([chat.start("a", { turnId: "m1" }), chat.start("a", { turnId: "m1" })])
      yield* TestClock.adjust("10 seconds")
      yield* chat.start("a", { turnId: "m1" })
      const other = yield* Effect.flip(chat.start("b", { turnId: "m1" }))

      assert.deepStrictEqual(ids, ["m1", "m1"])
      assert.strictEqual(other._tag, "InvalidRequestError")
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant: re a"])
    }).pipe(slowly))

  it.scoped("ends with stop, and its readers receive Finish", () =>
    Effect.gen(function*() {
      const chat = yield* make({ config: config({ onInterrupt: "keep" }) })
      yield* chat.start("a b c")
      const reader = yield* Effect.fork(Stream.runLast(chat.attach()))
      yield* TestClock.adjust("1500 millis")

      yield* chat.stop
      const last = Option.getOrThrow(yield* Fiber.join(reader))

      assert.strictEqual(last.event._tag === "Finish" ? last.event.reason : "", "interrupted")
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(slowly))

  it.scoped("is refused immediately by the policy or for a blank prompt", () =>
    Effect.gen(function*() {
      const chat = yield* make({ config: config({ turnPolicy: "reject" }) })
      yield* chat.start("a")

      assert.strictEqual((yield* Effect.flip(chat.start("b")))._tag, "BusyError")
      assert.strictEqual((yield* Effect.flip(chat.start(" ")))._tag, "InvalidRequestError")
      yield* TestClock.adjust("10 seconds")
    }).pipe(slowly))

  it.scoped("waits for the previous turn, and keeps its conversation in memory", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: config(), timeout: "1 second" })
      const chat = yield* manager.getChat("ada")

      yield* chat.start("a")
      const second = yield* chat.start("b")
      yield* TestClock.adjust("2500 millis")
      const ids = yield* manager.ids
      yield* TestClock.adjust("20 seconds")

      assert.deepStrictEqual(ids, ["ada"])
      assert.deepStrictEqual(yield* manager.ids, [])
      assert.strictEqual(textOf(yield* Stream.runCollect(chat.attach(second))), "re b")
    }).pipe(slowly))

  for (const [grace, kept] of [[0, "re  [interrupted]"], ["10 seconds", "re a b c"]] as const) {
    it.effect(`${grace === 0 ? "is interrupted" : "continues for the grace"} when the scope of the manager closes`, () =>
      Effect.gen(function*() {
        const store = yield* HistoryStore.HistoryStore
        const scope = yield* Scope.make()
        const chat = yield* Scope.extend(make({ grace, config: config({ onInterrupt: "keep" }) }), scope)
        yield* chat.start("a b c")
        yield* TestClock.adjust("1500 millis")

        const close = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(close)

        const { messages } = Option.getOrThrow(yield* store.load("ada"))
        assert.deepStrictEqual(lines(messages), ["user: a b c", `assistant: ${kept}`])
        assert.deepStrictEqual(yield* held, nothing)
      }).pipe(slowly))
  }

  for (
    const [grace, kept] of [
      [0, ["user: a b c", "assistant: re  [interrupted]", "user: d", "assistant:  [interrupted]"]],
      ["20 seconds", ["user: a b c", "assistant: re a b c", "user: d", "assistant: re d"]]
    ] as const
  ) {
    const what = grace === 0 ? "keeps its prompt" : "completes within the grace"

    it.effect(`${what} if it waits when the scope of the manager closes`, () =>
      Effect.gen(function*() {
        const store = yield* HistoryStore.HistoryStore
        const scope = yield* Scope.make()
        const chat = yield* Scope.extend(make({ grace, config: config({ onInterrupt: "keep" }) }), scope)
        yield* chat.start("a b c")
        const second = yield* chat.start("d")
        const reader = yield* Effect.fork(Stream.runLast(chat.attach(second)))
        yield* TestClock.adjust("1500 millis")

        const close = yield* Effect.fork(Scope.close(scope, Exit.void))
        yield* TestClock.adjust("20 seconds")
        yield* Fiber.join(close)

        assert.deepStrictEqual(lines(Option.getOrThrow(yield* store.load("ada")).messages), kept)
        assert.strictEqual(Option.getOrThrow(yield* Fiber.join(reader)).event._tag, "Finish")
        assert.deepStrictEqual(yield* held, nothing)
      }).pipe(slowly))
  }

  it.scoped("differs from a chat call with an id, which ends when its caller is interrupted at any time", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      for (let steps = 0; steps < 40; steps++) {
        const caller = yield* Effect.fork(Stream.runDrain(chat.chatStream("a b c", { turnId: `m${steps}` })))
        yield* Effect.repeatN(Effect.yieldNow(), steps)
        yield* Fiber.interrupt(caller)
        yield* Effect.yieldNow()

        assert.isTrue(Option.isNone(yield* chat.running))
        assert.deepStrictEqual(yield* held, nothing)
      }
    }).pipe(slowly))

  it.scoped("supports a thousand readers that end at different times", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.start("a b c")
      const readers = yield* Effect.forEach(
        Array.from({ length: 1000 }, (_, n) => n),
        (n) => Effect.fork(Stream.runCollect(Stream.take(chat.attach(), n % 2 === 0 ? 2 : 100)))
      )
      yield* TestClock.adjust("10 seconds")

      const read = yield* Effect.forEach(readers, Fiber.join)
      assert.deepStrictEqual(
        [...new Set(read.map(textOf))],
        ["re ", "re a b c"]
      )
    }).pipe(slowly))
})

describe("Two programs on one store", () => {
  const shared = Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    const service: HistoryStore.Service = { ...store, isShared: true }
    const manager = Effect.provideService(ChatManager.make({ config: config() }), HistoryStore.HistoryStore, service)
    const [one, other] = yield* Effect.all([manager, manager])
    return yield* Effect.all([one.getChat("ada"), other.getChat("ada")])
  })

  it.scoped("send one request for a turn with an id if they run one after another", () =>
    Effect.gen(function*() {
      const [one, other] = yield* shared
      const first = yield* Effect.fork(one.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(first)

      assert.strictEqual((yield* other.chat("a", { turnId: "m1" })).text, "re a")
      assert.lengthOf(yield* requests, 1)
    }).pipe(slowly))

  it.scoped("store a turn with an id once if they run at the same time, and both return the stored answer", () =>
    Effect.gen(function*() {
      const [one, other] = yield* shared
      const turns = yield* Effect.fork(Effect.all([
        one.chat("a", { turnId: "m1" }),
        other.chat("a", { turnId: "m1" })
      ], { concurrency: 2 }))
      yield* TestClock.adjust("10 seconds")
      const [first, second] = yield* Fiber.join(turns)

      assert.strictEqual(second.text, first.text)
      assert.lengthOf(yield* requests, 2)
      assert.deepStrictEqual(yield* transcript(one), ["user: a", `assistant: ${first.text}`])
      assert.isFalse(yield* other.save)
      assert.deepStrictEqual(yield* transcript(other), ["user: a", `assistant: ${first.text}`])
    }).pipe(
      scripted((_request, index) =>
        ScriptedHttpClient.delayed("1 second", ScriptedHttpClient.tokens([`answer ${index + 1}`]))
      )
    ))
})
