import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Ref } from "effect"
import { ChatManager, ChatMessage, ChatResponse, HistoryStore, HistoryWindow, LLMConfig, Turn } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, lines, requests, sent } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "" })

const TestLayer = Layer.merge(
  Sqlite.layer({ filename: ":memory:" }),
  ScriptedHttpClient.layer(echo(), { repeatLast: true })
)

const turnsOf = (count: number) =>
  Array.from({ length: count }, (_, n) => ({
    turnId: `t${n}`,
    messages: [ChatMessage.user(`q${n}`), ChatMessage.assistant(`a${n}`)]
  }))

/** A conversation of 200 turns in a database, and a manager with a store that records its reads. */
const make = (window: HistoryWindow.HistoryWindow, options: { readonly isShared?: boolean } = {}) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    const reads = yield* Ref.make<ReadonlyArray<string>>([])
    const note = (read: string) => Ref.update(reads, (all) => [...all, read])
    yield* store.commit({
      id: "ada",
      expected: { version: 0 },
      turns: turnsOf(200),
      usage: ChatResponse.emptyUsage,
      systemPrompt: "",
      settings: {}
    })
    const service: HistoryStore.Service = {
      ...store,
      ...options,
      load: (id) => Effect.zipRight(note("whole"), store.load(id)),
      loadTail: (id, amount) => Effect.zipRight(note(`last ${amount?.turns}`), store.loadTail(id, amount)),
      findTurn: (id, turnId) => Effect.zipRight(note(turnId), store.findTurn(id, turnId))
    }
    const manager = yield* Effect.provideService(
      ChatManager.make({ config, window }),
      HistoryStore.HistoryStore,
      service
    )
    return { chat: yield* manager.getChat("ada"), manager, reads: Ref.get(reads), store }
  })

const lastSent = Effect.map(requests, (all) => sent(all.at(-1)))

describe("A conversation with a window that uses only the end of the history", () => {
  it.scoped("reads only its last turns, and sends the same messages as with the complete history", () =>
    Effect.gen(function*() {
      const { chat, reads } = yield* make(HistoryWindow.lastTurns(5, { exact: true }))

      yield* chat.chat("one")
      const first = yield* lastSent
      yield* chat.chat("two")

      assert.deepStrictEqual(yield* reads, ["last 16"])
      assert.deepStrictEqual(first.at(0), "user: q195")
      assert.lengthOf(first, 11)
      assert.deepStrictEqual((yield* lastSent).slice(-3), ["user: one", "assistant: re one", "user: two"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("reads more turns until they exceed the tokens of its window", () =>
    Effect.gen(function*() {
      const { chat, reads } = yield* make(HistoryWindow.tokens(600, { exact: true }))

      yield* chat.chat("one")
      const some = yield* lastSent

      assert.isAbove((yield* reads).length, 1)
      assert.notInclude(yield* reads, "whole")
      assert.isAbove(some.length, 40)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("starts at the same turn as with the complete history, even if the window moves in steps", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.lastTurns(40)
      const { chat, store } = yield* make(window)
      yield* chat.chat("one")

      const { messages } = Option.getOrThrow(yield* store.load("ada"))
      const whole = yield* HistoryWindow.assemble(window, {
        system: undefined,
        messages: messages.slice(0, 400),
        newMessages: [ChatMessage.user("one")]
      })

      assert.deepStrictEqual(yield* lastSent, lines(whole))
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("reads the complete history if the store returns fewer turns than requested", () =>
    Effect.gen(function*() {
      const { reads, store } = yield* make(HistoryWindow.lastTurns(50))
      const counted = yield* Ref.make(0)
      const service: HistoryStore.Service = {
        ...store,
        loadTail: (id) =>
          Ref.updateAndGet(counted, (count) => count + 1).pipe(
            Effect.filterOrDieMessage((count) => count < 10, "It is read again and again"),
            Effect.zipRight(store.loadTail(id, { turns: 5 }))
          )
      }
      const manager = yield* Effect.provideService(
        ChatManager.make({ config, window: HistoryWindow.lastTurns(50) }),
        HistoryStore.HistoryStore,
        service
      )

      yield* (yield* manager.getChat("ada")).chat("one")

      assert.isAbove((yield* lastSent).length, 60)
      assert.deepStrictEqual(yield* reads, [])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("moves in the same steps if some turns have no prompt, whatever part of the history was read", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const turns = turnsOf(120).map((turn, n) => n % 3 === 0 ? { ...turn, messages: turn.messages.slice(1) } : turn)
      yield* store.commit({ id: "bob", expected: { version: 0 }, turns })
      const ask = (prompt: string, isWhole: boolean) =>
        Effect.gen(function*() {
          const chat = yield* (yield* ChatManager.make({ config, window: HistoryWindow.lastTurns(12) })).getChat("bob")
          if (isWhole) yield* chat.history
          yield* chat.chat(prompt)
          yield* chat.rewind()
          return yield* lastSent
        })

      const some = yield* ask("one", false)

      assert.deepStrictEqual(some, yield* ask("one", true))
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("returns its complete history, its usage and its turns", () =>
    Effect.gen(function*() {
      const { chat, reads } = yield* make(HistoryWindow.lastTurns(5))
      yield* chat.chat("one")

      const history = yield* chat.history
      yield* chat.chat(Turn.regenerate())
      yield* chat.rewind(2)

      assert.lengthOf(history, 402)
      assert.deepStrictEqual(lines(yield* chat.history).slice(-2), ["user: q198", "assistant: a198"])
      assert.deepStrictEqual(yield* reads, ["last 16", "whole"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("can regenerate, replace and rewind turns that it has not read", () =>
    Effect.gen(function*() {
      const { chat, store } = yield* make(HistoryWindow.lastTurns(5))
      yield* chat.chat("one")

      const replaced = yield* chat.chat(Turn.replace("t3", "other"))

      assert.strictEqual(replaced.text, "re other")
      const { messages, turns } = Option.getOrThrow(yield* store.load("ada"))
      assert.lengthOf(turns, 4)
      assert.deepStrictEqual(lines(messages).slice(-2), ["user: other", "assistant: re other"])
      assert.strictEqual(yield* chat.rewind(3), 3)
      assert.deepStrictEqual(lines(yield* chat.history), ["user: q0", "assistant: a0"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("finds a turn by its id that it has not read", () =>
    Effect.gen(function*() {
      const { chat, reads } = yield* make(HistoryWindow.lastTurns(5))

      const found = yield* chat.chat("q3", { turnId: "t3" })

      assert.strictEqual(found.text, "a3")
      assert.lengthOf(yield* requests, 0)
      assert.deepStrictEqual(yield* reads, ["last 16", "t3"])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("sees turns that another program stored", () =>
    Effect.gen(function*() {
      const { chat, store } = yield* make(HistoryWindow.lastTurns(5, { exact: true }), { isShared: true })
      yield* chat.chat("one")
      const { incarnation, version } = yield* store.version("ada")
      yield* store.commit({
        id: "ada",
        expected: { incarnation, version },
        turns: [{ turnId: "x", messages: [ChatMessage.user("from elsewhere"), ChatMessage.assistant("yes")] }]
      })

      yield* chat.chat("two")

      assert.deepStrictEqual((yield* lastSent).slice(-3), ["user: from elsewhere", "assistant: yes", "user: two"])
      assert.lengthOf(yield* chat.history, 406)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("reads the complete history if its own window limits need it", () =>
    Effect.gen(function*() {
      const { chat, reads } = yield* make(HistoryWindow.all)

      yield* chat.chat("one")

      assert.deepStrictEqual(yield* reads, ["whole"])
      assert.lengthOf(yield* lastSent, 401)
    }).pipe(Effect.provide(TestLayer)))
})
