/**
 * Cases of the HistoryStoreSuite for turns, commits and copies.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Service } from "../../../HistoryStore.ts"
import { equal, expectConflict, loadExisting, messagesOf, testMany, testOne, turn, usageOf } from "./expect.ts"

/** Creates a conversation with these turns. Each text is the prompt and the id of its turn. */
const create = (store: Service, id: string, prompts: ReadonlyArray<string>) =>
  store.commit({
    id,
    expected: { version: 0 },
    turns: prompts.map((text) => ({ turnId: text, messages: messagesOf(text) })),
    usage: usageOf(prompts.length),
    systemPrompt: "Be brief.",
    settings: { model: "m" },
    title: "A title",
    owner: `owner of ${id}`
  })

/** The stored turns and messages. */
const turnsOf = (store: Service, id: string) =>
  Effect.map(loadExisting(store, id), ({ messages, turns }) => ({
    messages,
    turns: turns.map(({ index, start, turnId }) => ({ index, turnId, start }))
  }))

const expected = (prompts: ReadonlyArray<string>) => ({
  messages: prompts.flatMap(messagesOf),
  turns: prompts.map((turnId, index) => ({ index, turnId, start: 2 * index }))
})

export const turnCases = [
  testOne("a commit stores its turns with their index and id", (store, id) =>
    Effect.gen(function*() {
      const first = yield* create(store, id, ["a", "b"])
      yield* equal("The version", first.version, 1)
      yield* equal("The turns", yield* turnsOf(store, id), expected(["a", "b"]))
      yield* equal("The stored version", yield* store.version(id), first)
      const stored = yield* loadExisting(store, id)
      yield* equal("The title", stored.title, "A title")
      yield* equal("The owner", stored.owner, `owner of ${id}`)
    })),

  testOne("a commit with keepTurns replaces the turns after the kept ones", (store, id) =>
    Effect.gen(function*() {
      const first = yield* create(store, id, ["a", "b", "c"])
      const second = yield* store.commit({
        id,
        expected: first,
        keepTurns: 1,
        turns: [{ turnId: "d", messages: messagesOf("d") }]
      })
      yield* equal("The version", second, { ...first, version: 2 })
      yield* equal("The turns", yield* turnsOf(store, id), expected(["a", "d"]))
      yield* store.append(turn(id, 2, { turnId: "e", messages: messagesOf("e") }))
      yield* equal("The turns", yield* turnsOf(store, id), expected(["a", "d", "e"]))
      yield* store.commit({ id, expected: { version: 3 }, keepTurns: 9, turns: [] })
      yield* equal("The turns", yield* turnsOf(store, id), expected(["a", "d", "e"]))
      yield* equal("The usage", (yield* loadExisting(store, id)).usage, usageOf(3))
    })),

  testOne(
    "a commit with keepTurns can add removed turns again",
    (store, id) =>
      Effect.gen(function*() {
        yield* create(store, id, ["a", "b", "c"])
        const turns = ["c", "b"].map((turnId) => ({ turnId, createdAt: 1000, messages: messagesOf(turnId) }))
        yield* store.commit({ id, expected: { version: 1 }, keepTurns: 1, turns })
        yield* equal("The turns", yield* turnsOf(store, id), expected(["a", "c", "b"]))
        const found = Option.getOrUndefined(yield* store.findTurn(id, "b"))
        yield* equal("The turn", [found?.index, found?.createdAt], [2, 1000])
      })
  ),

  testOne("a commit for another incarnation is a conflict", (store, id) =>
    Effect.gen(function*() {
      const first = yield* create(store, id, ["a"])
      yield* store.remove(id)
      const second = yield* create(store, id, ["b"])
      yield* equal("Whether the incarnations are the same", first.incarnation === second.incarnation, false)
      yield* expectConflict(store.commit({ id, expected: first, turns: [] }), {
        conversationId: id,
        expectedVersion: 1,
        actualVersion: 1
      })
      yield* equal("The turns", yield* turnsOf(store, id), expected(["b"]))
    })),

  testOne("loadTail returns the last turns with their index", (store, id) =>
    Effect.gen(function*() {
      yield* equal(
        "The tail of a conversation that does not exist",
        yield* store.loadTail(id, { turns: 1 }),
        Option.none()
      )
      yield* create(store, id, ["a", "b", "c"])
      const tail = Option.getOrUndefined(yield* store.loadTail(id, { turns: 2 }))
      yield* equal("The messages", tail?.messages, ["b", "c"].flatMap(messagesOf))
      yield* equal("The turns", tail?.turns.map(({ index, start }) => [index, start]), [[1, 0], [2, 2]])
      yield* equal("The first turn and the number of turns", [tail?.firstTurn, tail?.turnCount], [1, 3])
    })),

  testOne("a turn is found by its id", (store, id) =>
    Effect.gen(function*() {
      yield* create(store, id, ["a", "b \0\ud800\\", "c"])
      const found = Option.getOrUndefined(yield* store.findTurn(id, "b \0\ud800\\"))
      yield* equal("The turn", [found?.index, found?.messages], [1, messagesOf("b \0\ud800\\")])
      yield* equal("A turn that does not exist", yield* store.findTurn(id, "d"), Option.none())
    })),

  testMany("a copy has the first turns, and never replaces a conversation", 3, (store, ids) =>
    Effect.gen(function*() {
      const [from = "", to = "", shorter = ""] = ids
      yield* create(store, from, ["a", "b"])
      const copy = yield* store.copy(from, to)
      yield* equal("The version", copy.version, 1)
      yield* equal("The turns", yield* turnsOf(store, to), expected(["a", "b"]))
      yield* store.copy(from, shorter, { keepTurns: 1 })
      yield* equal("The turns", yield* turnsOf(store, shorter), expected(["a"]))
      yield* expectConflict(store.copy(from, to), { conversationId: to, expectedVersion: 0, actualVersion: 1 })
      const found = Option.getOrUndefined(yield* store.findTurn(shorter, "a"))
      yield* equal("The turn of the copy", [found?.index, found?.messages], [0, messagesOf("a")])
    })),

  testOne(
    "a turn is stored even if JSON cannot represent its usage",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0, { usage: { ...usageOf(1), totalTokens: Infinity, raw: { n: 1n } } }))
        const { usage } = yield* loadExisting(store, id)
        yield* equal("The usage", usage, { ...usageOf(1), totalTokens: Number.MAX_SAFE_INTEGER, raw: null })
      })
  ),

  testMany("conversations of an owner are listed in pages", 5, (store, ids) =>
    Effect.gen(function*() {
      const owner = `owner ${ids[0] ?? ""}`
      for (const id of ids) {
        const turns = [{ messages: messagesOf(id) }]
        yield* store.commit({ id, expected: { version: 0 }, turns, owner, title: id })
      }
      const first = yield* store.conversations({ owner, limit: 3 })
      const rest = yield* store.conversations({ owner, before: first[2], limit: 3 })
      yield* equal("How many each page has", [first.length, rest.length], [3, 2])
      yield* equal("The titles", [...first, ...rest].map(({ title }) => title ?? "").sort(), ids.slice().sort())
      for (const info of first) {
        yield* equal("The preview", [info.preview, info.turnCount], [`You said: ${info.id}`, 1])
      }
    }))
]
