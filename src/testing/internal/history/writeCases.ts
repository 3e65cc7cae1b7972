/**
 * Cases of the HistoryStoreSuite with one writer.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Service } from "../../../HistoryStore.ts"
import { countListed, equal, expectConflict, loadData, messagesOf, testMany, testOne, turn, usageOf } from "./expect.ts"

const usage = usageOf(0)

/** One write of each kind that expects `expectedVersion`. */
const writes = (store: Service, id: string, expectedVersion: number) => [
  store.append(turn(id, expectedVersion)),
  store.setSystemPrompt({ id, expectedVersion, systemPrompt: "Another.", settings: {} }),
  store.setSummary({ id, expectedVersion, summary: { text: "A summary.", replaces: 2 }, usage }),
  store.clear({ id, expectedVersion })
]

export const writeCases = [
  testOne("a conversation that was never written does not exist", (store, id) =>
    Effect.gen(function*() {
      yield* equal("What is loaded", yield* store.load(id), Option.none())
      yield* equal("How often it is listed", yield* countListed(store, [id]), [0])
    })),

  testOne("the first turn creates the conversation with version 1", (store, id) =>
    Effect.gen(function*() {
      yield* equal("The version", yield* store.append(turn(id, 0)), 1)
      yield* equal("The conversation", yield* loadData(store, id), {
        id,
        version: 1,
        systemPrompt: "Be brief.",
        messages: messagesOf("turn 1"),
        usage: usageOf(1),
        settings: { model: "m" }
      })
    })),

  testOne("turns keep their order, and each one increases the version by one", (store, id) =>
    Effect.gen(function*() {
      for (let version = 0; version < 12; version++) {
        yield* equal("The version", yield* store.append(turn(id, version)), version + 1)
      }
      const { messages, version } = yield* loadData(store, id)
      yield* equal("The version", version, 12)
      yield* equal("The messages", messages, Array.from({ length: 12 }, (_, n) => messagesOf(`turn ${n + 1}`)).flat())
    })),

  testOne(
    "a turn replaces the usage and the system prompt, and keeps the first settings",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0, { settings: { model: "first", temperature: 0.5, stop: ["a", null] } }))
        yield* store.append(turn(id, 1, { settings: { model: "second" }, systemPrompt: "Be long.", usage: usageOf(7) }))
        const stored = yield* loadData(store, id)
        yield* equal("The settings", stored.settings, { model: "first", temperature: 0.5, stop: ["a", null] })
        yield* equal("The system prompt", stored.systemPrompt, "Be long.")
        yield* equal("The usage", stored.usage, usageOf(7))
      })
  ),

  testOne("a turn without messages changes the usage and the version", (store, id) =>
    Effect.gen(function*() {
      yield* store.append(turn(id, 0, { messages: [] }))
      yield* equal("The version", yield* store.append(turn(id, 1, { messages: [], usage: usageOf(5) })), 2)
      const stored = yield* loadData(store, id)
      yield* equal("The messages", stored.messages, [])
      yield* equal("The usage", stored.usage, usageOf(5))
    })),

  testOne("a write for an older version is a conflict, and writes nothing", (store, id) =>
    Effect.gen(function*() {
      yield* store.append(turn(id, 0))
      yield* store.append(turn(id, 1))
      const before = yield* loadData(store, id)
      for (const expectedVersion of [0, 1]) {
        for (const write of writes(store, id, expectedVersion)) {
          yield* expectConflict(write, { conversationId: id, expectedVersion, actualVersion: 2 })
        }
      }
      yield* equal("The conversation after it", yield* loadData(store, id), before)
    })),

  testOne(
    "a write for a future version is a conflict, and writes nothing",
    (store, id) =>
      Effect.gen(function*() {
        for (const write of writes(store, id, 3)) {
          yield* expectConflict(write, { conversationId: id, expectedVersion: 3, actualVersion: 0 })
        }
        yield* equal("What is loaded", yield* store.load(id), Option.none())
        yield* store.append(turn(id, 0))
        const before = yield* loadData(store, id)
        for (const write of writes(store, id, 2)) {
          yield* expectConflict(write, { conversationId: id, expectedVersion: 2, actualVersion: 1 })
        }
        yield* equal("The conversation after it", yield* loadData(store, id), before)
      })
  ),

  testOne("a system prompt can be written before the first turn", (store, id) =>
    Effect.gen(function*() {
      const version = yield* store.setSystemPrompt({
        id,
        expectedVersion: 0,
        systemPrompt: "Speak Latin.",
        settings: { model: "first" }
      })
      yield* equal("The version", version, 1)
      yield* equal("The conversation", yield* loadData(store, id), {
        id,
        version: 1,
        systemPrompt: "Speak Latin.",
        messages: [],
        usage,
        settings: { model: "first" }
      })
      yield* store.append(turn(id, 1, { settings: { model: "second" } }))
      const stored = yield* loadData(store, id)
      yield* equal("The messages", stored.messages, messagesOf("turn 2"))
      yield* equal("The settings", stored.settings, { model: "first" })
    })),

  testOne("a new system prompt changes nothing else", (store, id) =>
    Effect.gen(function*() {
      yield* store.append(turn(id, 0))
      const before = yield* loadData(store, id)
      const settings = { model: "second" }
      yield* equal(
        "The version",
        yield* store.setSystemPrompt({ id, expectedVersion: 1, systemPrompt: "", settings }),
        2
      )
      yield* equal("The conversation", yield* loadData(store, id), { ...before, version: 2, systemPrompt: "" })
    })),

  testOne(
    "a summary is stored with its usage until the next summary, and the messages stay",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0))
        yield* store.append(turn(id, 1))
        const before = yield* loadData(store, id)
        const first = { text: "They said \"turn 1\" 👋", replaces: 2 }
        const written = store.setSummary({ id, expectedVersion: 2, summary: first, usage: usageOf(9) })
        yield* equal("The version", yield* written, 3)
        yield* equal("The conversation", yield* loadData(store, id), {
          ...before,
          version: 3,
          summary: first,
          usage: usageOf(9)
        })
        yield* store.append(turn(id, 3))
        yield* store.setSystemPrompt({ id, expectedVersion: 4, systemPrompt: "Be long.", settings: {} })
        yield* equal("The summary after further writes", (yield* loadData(store, id)).summary, first)
        const second = { text: "", replaces: 4 }
        yield* store.setSummary({ id, expectedVersion: 5, summary: second, usage: usageOf(10) })
        yield* equal("The second summary", (yield* loadData(store, id)).summary, second)
      })
  ),

  testOne("clearing removes the summary too", (store, id) =>
    Effect.gen(function*() {
      yield* store.append(turn(id, 0))
      yield* store.setSummary({ id, expectedVersion: 1, summary: { text: "Said.", replaces: 2 }, usage })
      yield* store.clear({ id, expectedVersion: 2 })
      yield* equal("The summary", (yield* loadData(store, id)).summary, undefined)
    })),

  testOne("a summary does not create a conversation", (store, id) =>
    Effect.gen(function*() {
      const summary = { text: "Nothing.", replaces: 0 }
      yield* equal("The version", yield* store.setSummary({ id, expectedVersion: 0, summary, usage }), 0)
      yield* equal("What is loaded", yield* store.load(id), Option.none())
    })),

  testOne(
    "clearing removes all turns and nothing else, and new turns can follow",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0))
        yield* store.append(turn(id, 1))
        const before = yield* loadData(store, id)
        yield* equal("The version", yield* store.clear({ id, expectedVersion: 2 }), 3)
        yield* equal("The conversation", yield* loadData(store, id), { ...before, version: 3, messages: [] })
        yield* store.append(turn(id, 3))
        yield* equal("The messages", (yield* loadData(store, id)).messages, messagesOf("turn 4"))
      })
  ),

  testOne("clearing does not create a conversation", (store, id) =>
    Effect.gen(function*() {
      yield* equal("The version", yield* store.clear({ id, expectedVersion: 0 }), 0)
      yield* equal("What is loaded", yield* store.load(id), Option.none())
      yield* equal("The version", yield* store.append(turn(id, 0)), 1)
    })),

  testOne(
    "removing returns whether the conversation existed, and leaves nothing",
    (store, id) =>
      Effect.gen(function*() {
        yield* equal("Removing none", yield* store.remove(id), false)
        yield* store.append(turn(id, 0))
        yield* store.append(turn(id, 1))
        yield* equal("Removing one", yield* store.remove(id), true)
        yield* equal("What is loaded", yield* store.load(id), Option.none())
        yield* equal("How often it is listed", yield* countListed(store, [id]), [0])
        yield* equal("Removing it once more", yield* store.remove(id), false)
      })
  ),

  testOne(
    "a removed conversation can be created again, with nothing of the old one",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0, { settings: { model: "old" } }))
        yield* store.append(turn(id, 1))
        yield* store.remove(id)
        yield* expectConflict(store.append(turn(id, 2)), { conversationId: id, expectedVersion: 2, actualVersion: 0 })
        yield* store.append(turn(id, 0, { messages: messagesOf("new"), settings: { model: "new" } }))
        const stored = yield* loadData(store, id)
        yield* equal("The version", stored.version, 1)
        yield* equal("The messages", stored.messages, messagesOf("new"))
        yield* equal("The settings", stored.settings, { model: "new" })
      })
  ),

  testMany("each stored conversation is listed exactly once, and no other", 30, (store, ids) =>
    Effect.gen(function*() {
      for (const id of ids) yield* store.append(turn(id, 0))
      for (const id of ids.slice(20)) yield* store.remove(id)
      for (const id of ids.slice(0, 10)) yield* store.clear({ id, expectedVersion: 1 })
      yield* equal(
        "How often each is listed",
        yield* countListed(store, ids),
        ids.map((_, index) => index < 20 ? 1 : 0)
      )
    }))
]
