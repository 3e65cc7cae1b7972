import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { ChatManager, HistoryStore, LLMConfig, Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, requests, transcript } from "../support/chats.ts"

const config = (more?: Partial<LLMConfig.Options>) =>
  LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0, ...more })

const scripted = (script: ScriptedHttpClient.Script) =>
  Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(script, { repeatLast: true })))

const slowly = scripted(echo({ delay: "1 second" }))

const make = (more?: Partial<LLMConfig.Options>) =>
  Effect.flatMap(ChatManager.make({ config: config(more) }), (manager) => manager.getChat("ada"))

const tagsOf = (events: Iterable<Turn.NumberedEvent>) => Array.from(events, ({ event }) => event._tag)

/** The text of numbered events. */
const textOf = (events: Iterable<Turn.NumberedEvent>): string =>
  Array.from(events, ({ event }) => event._tag === "TextDelta" ? event.text : "").join("")

describe("start", () => {
  it.scoped("joins the running turn with its id, even if the policy is reject", () =>
    Effect.gen(function*() {
      const chat = yield* make({ turnPolicy: "reject" })
      yield* chat.start("a", { turnId: "m1" })
      yield* TestClock.adjust("500 millis")

      assert.strictEqual(yield* chat.start("a", { turnId: "m1" }), "m1")
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(yield* requests, 1)
    }).pipe(slowly))

  it.scoped("refuses an id with which another turn is being regenerated", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.start("a", { turnId: "m1" })
      yield* chat.start("b", { turnId: "m2" })
      yield* TestClock.adjust("10 seconds")
      yield* chat.start(Turn.regenerate("m1"), { turnId: "again" })

      const error = yield* Effect.flip(chat.start(Turn.regenerate("m2"), { turnId: "again" }))

      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.include(error.message, "\"again\"")
      yield* TestClock.adjust("10 seconds")
      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant: re a"])
      assert.lengthOf(yield* requests, 3)
    }).pipe(slowly))

  it.scoped("starts a turn that can be attached to after its conversation is removed, while it waits and while it runs", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: config() })
      const chat = yield* manager.getChat("ada")
      yield* chat.start("a b c", { turnId: "m1" })
      yield* chat.start("d", { turnId: "m2" })
      yield* TestClock.adjust("500 millis")

      yield* manager.removeChat("ada")
      yield* TestClock.adjust("500 millis")
      const running = yield* chat.running
      const reader = yield* Effect.fork(Stream.runCollect(chat.attach("m2")))
      yield* TestClock.adjust("10 seconds")

      assert.strictEqual(Option.getOrThrow(running).turnId, "m2")
      assert.strictEqual(tagsOf(yield* Fiber.join(reader)).at(-1), "Finish")
      assert.deepStrictEqual(yield* transcript(chat), ["user: d", "assistant: re d"])
      assert.isTrue(Option.isNone(yield* chat.running))
    }).pipe(slowly))
})

describe("attach", () => {
  it.scoped("emits the stored part of a turn that was interrupted", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "keep" })
      const caller = yield* Effect.fork(Stream.runDrain(chat.chatStream("a b c", { turnId: "m1" })))
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.interrupt(caller)

      const events = yield* Stream.runCollect(chat.attach("m1"))

      const last = Option.getOrThrow(Chunk.last(events)).event
      assert.strictEqual(last._tag === "Finish" ? last.reason : "", "interrupted")
      assert.strictEqual(textOf(events), "re ")
      assert.strictEqual(last._tag === "Finish" ? last.response.text : "", "re ")
    }).pipe(slowly))

  it.scoped("fails for a turn that was not stored", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "rollback" })
      const caller = yield* Effect.fork(Stream.runDrain(chat.chatStream("a b c", { turnId: "m1" })))
      yield* TestClock.adjust("1500 millis")
      yield* Fiber.interrupt(caller)

      assert.strictEqual((yield* Effect.flip(Stream.runDrain(chat.attach("m1"))))._tag, "InvalidRequestError")
    }).pipe(slowly))

  it.scoped("emits the answer that another program stored after the turn failed in this one", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const program = Effect.provideService(make(), HistoryStore.HistoryStore, { ...store, isShared: true })
      const [one, other] = yield* Effect.all([program, program])
      yield* Effect.flip(one.chat("a", { turnId: "m1" }))
      yield* other.chat("a", { turnId: "m1" })

      const events = yield* Stream.runCollect(one.attach("m1"))
      assert.deepStrictEqual(tagsOf(events), ["Begin", "TextDelta", "Finish"])
      assert.strictEqual(textOf(events), "yes")
    }).pipe(scripted([ScriptedHttpClient.text("no", { status: 500 }), answer("yes")])))

  it.scoped("starts at the first event for NaN and negative numbers, and rounds fractions down", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.start("a b", { turnId: "m1" })
      const read = (after: number) => Effect.fork(Stream.runCollect(chat.attach("m1", { after })))

      const readers = yield* Effect.forEach([NaN, -3, 1.5], read)
      yield* TestClock.adjust("10 seconds")
      const live = yield* Effect.forEach(readers, Fiber.join)
      const stored = yield* Effect.flatMap(read(NaN), Fiber.join)

      assert.deepStrictEqual(live.map((events) => Chunk.unsafeHead(events).seq), [1, 1, 2])
      assert.strictEqual(Chunk.unsafeHead(stored).seq, 1)
    }).pipe(slowly))

  it.scoped("emits Finish if `after` is larger than the number of events", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.start("a b", { turnId: "m1" })

      const reader = yield* Effect.fork(Stream.runCollect(chat.attach("m1", { after: 40 })))
      yield* TestClock.adjust("10 seconds")
      const events = Chunk.toReadonlyArray(yield* Fiber.join(reader))

      assert.deepStrictEqual(events.map(({ event, seq }) => [seq, event._tag]), [[41, "Finish"]])
    }).pipe(slowly))
})
