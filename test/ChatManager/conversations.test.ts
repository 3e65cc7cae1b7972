import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, TestClock } from "effect"
import { ChatManager, HistoryStore, LLMConfig, LocalSessions } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0 })

const TestLayer = Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(() => answer("ok")))

const chatIn = (manager: ChatManager.Service, id: string, prompts: ReadonlyArray<string>) =>
  Effect.flatMap(manager.getChat(id), (chat) => Effect.forEach(prompts, (prompt) => chat.chat(prompt)))

const questions = (manager: ChatManager.Service, id: string) =>
  Effect.flatMap(
    manager.getChat(id),
    (chat) =>
      Effect.map(chat.history, (history) => history.filter(({ role }) => role === "user").map(({ content }) => content))
  )

const load = (id: string) => Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load(id))

describe("fork", () => {
  it.scoped("copies a conversation, and both can continue independently", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "ada", ["1", "2"])

      yield* manager.fork("ada", "copy")
      yield* chatIn(manager, "ada", ["3"])
      yield* chatIn(manager, "copy", ["4"])

      assert.deepStrictEqual(yield* questions(manager, "ada"), ["1", "2", "3"])
      assert.deepStrictEqual(yield* questions(manager, "copy"), ["1", "2", "4"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("copies the turns up to and including `upTo`", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "ada", ["1", "2", "3"])
      const { turns } = Option.getOrThrow(yield* load("ada"))

      yield* manager.fork("ada", "copy", { upTo: turns[1]?.turnId })

      assert.deepStrictEqual(yield* questions(manager, "copy"), ["1", "2"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("is visible to a chat that was already in memory", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "ada", ["1"])
      const copy = yield* manager.getChat("copy")
      assert.deepStrictEqual(yield* copy.history, [])

      yield* manager.fork("ada", "copy")

      assert.lengthOf(yield* copy.history, 2)
      yield* copy.chat("2")
      assert.deepStrictEqual(yield* questions(manager, "copy"), ["1", "2"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("fails if the target exists, or if the source or the turn does not exist", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "ada", ["1"])
      yield* chatIn(manager, "bob", ["2"])

      const taken = yield* Effect.flip(manager.fork("ada", "bob"))
      const missing = yield* Effect.flip(manager.fork("eve", "copy"))
      const noTurn = yield* Effect.flip(manager.fork("ada", "copy", { upTo: "turn_x" }))

      assert.deepStrictEqual([taken, missing, noTurn].map(({ _tag }) => _tag), [
        "ConflictError",
        "HistoryStoreError",
        "HistoryStoreError"
      ])
      assert.strictEqual(taken.message, "The conversation \"bob\" already exists")
      assert.deepStrictEqual(yield* questions(manager, "bob"), ["2"])
      assert.isTrue(Option.isNone(yield* load("copy")))
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("causes a conflict for a running turn of the target", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "ada", ["1"])
      const turn = yield* Effect.fork(Effect.either(chatIn(manager, "slow copy", ["2"])))
      yield* TestClock.adjust("1 millis")

      yield* manager.fork("ada", "slow copy")
      yield* TestClock.adjust("1 second")

      assert.strictEqual((yield* Fiber.join(turn))._tag, "Left")
      assert.deepStrictEqual(yield* questions(manager, "slow copy"), ["1"])
    }).pipe(
      Effect.provide(Layer.merge(
        HistoryStore.layerMemory,
        ScriptedHttpClient.layer((_, index) =>
          index === 0 ? answer("ok") : ScriptedHttpClient.delayed("1 second", answer("ok"))
        )
      ))
    ))
})

describe("conversations", () => {
  it.scoped("lists the conversations of an owner, newest first and a page at a time", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      for (const id of ["a", "b", "c", "d"]) {
        const chat = yield* manager.getChat(id, { owner: id === "b" ? "u2" : "u1", title: `Chat ${id}` })
        yield* chat.chat(`about ${id}`)
        yield* TestClock.adjust("1 minute")
      }

      const first = yield* manager.conversations({ owner: "u1", limit: 2 })
      const second = yield* manager.conversations({ owner: "u1", limit: 2, before: first[1] })

      assert.deepStrictEqual(first.map(({ id, preview, title, turnCount }) => [id, title, turnCount, preview]), [
        ["d", "Chat d", 1, "ok"],
        ["c", "Chat c", 1, "ok"]
      ])
      assert.deepStrictEqual(second.map(({ id }) => id), ["a"])
    }).pipe(Effect.provide(TestLayer)))
})

describe("removeOlderThan", () => {
  it.scoped("removes conversations with an older last write, and returns their number", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 minute")
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "old", ["1"])
      yield* chatIn(manager, "older", ["1"])
      yield* TestClock.adjust("2 days")
      yield* chatIn(manager, "older", ["2"])

      const removed = yield* manager.removeOlderThan("1 day")

      assert.strictEqual(removed, 1)
      assert.isTrue(Option.isNone(yield* load("old")))
      assert.isTrue(Option.isSome(yield* load("older")))
      assert.isFalse(yield* manager.has("old"))
      assert.strictEqual(yield* manager.removeOlderThan("1 day"), 0)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("keeps a conversation with a running turn", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 minute")
      const manager = yield* ChatManager.make({ config })
      yield* chatIn(manager, "old", ["1"])
      yield* TestClock.adjust("2 days")
      const turn = yield* Effect.fork(chatIn(manager, "old", ["2"]))
      yield* TestClock.adjust("1 millis")

      assert.strictEqual(yield* manager.removeOlderThan("1 day"), 0)
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(turn)

      assert.deepStrictEqual(yield* questions(manager, "old"), ["1", "2"])
    }).pipe(
      Effect.provide(Layer.merge(
        HistoryStore.layerMemory,
        ScriptedHttpClient.layer((_, index) =>
          index === 0 ? answer("ok") : ScriptedHttpClient.delayed("1 second", answer("ok"))
        )
      ))
    ))

  it.scoped("removes more conversations than a page contains", () =>
    Effect.gen(function*() {
      yield* TestClock.adjust("1 minute")
      const manager = yield* ChatManager.make({ config })
      const store = yield* HistoryStore.HistoryStore
      yield* Effect.forEach(
        Array.from({ length: 1_001 }, (_, n) => `${n}`),
        (id) => store.commit({ id, expected: { version: 0 }, turns: [] })
      )
      yield* TestClock.adjust("2 days")

      assert.strictEqual(yield* manager.removeOlderThan("1 day"), 1_001)
    }).pipe(Effect.provide(TestLayer)))
})

describe("The layer of a manager", () => {
  it.effect("provides LocalSessions as a separate service", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.ChatManager
      const sessions = yield* LocalSessions.LocalSessions

      yield* chatIn(manager, "ada", ["1"])

      assert.deepStrictEqual(yield* sessions.ids, ["ada"])
      assert.isTrue(yield* sessions.has("ada"))
      assert.strictEqual(yield* sessions.size, 1)
    }).pipe(Effect.provide(Layer.provide(ChatManager.layer({ config }), TestLayer))))
})
