/**
 * Cases of the HistoryStoreSuite for data that a store must keep unchanged: ids, texts, and all members of messages.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import { assistant, type ChatMessage, toolResult, user } from "../../../ChatMessage.ts"
import { HistoryStore, type Service } from "../../../HistoryStore.ts"
import {
  type Case,
  countListed,
  equal,
  type Failure,
  freshId,
  loadData,
  messagesOf,
  testOne,
  turn,
  usageOf
} from "./expect.ts"

const loneSurrogates = "high \ud83d low \ude00 end \ud83d"

/** Texts that a database or a file system may change. */
const texts: Readonly<Record<string, string>> = {
  "the empty text": "",
  "spaces and line ends": "  \t\r\n a \r b \n ",
  "NUL and other control characters": "a\0b\u0001\u001b[31m\u007f\u2028\u2029",
  "lone surrogates": loneSurrogates,
  "emoji and combining characters": "👩‍👩‍👧‍👦 e\u0301 é ﷺ 你好",
  "quotes and escapes": "'\"`\\ \\0 \\u0041 \\\\ $1 ? %s ${x} '; DROP TABLE messages; --",
  "a byte order mark": "\ufeff{}"
}

const allTexts = Object.values(texts)

/** Ids with a special meaning in a file system, JavaScript or a database. */
const specialIds = [
  "",
  " ",
  ".",
  "..",
  "../../x",
  "/etc/passwd",
  "C:\\x",
  "a/b",
  "__proto__",
  "constructor",
  "CON",
  "nul.txt"
]

/** Different ids that a store may treat as equal. */
const similarIds = [
  ["a", "A", "ä", "Ä", "a\u0308", "ß", "SS", "ı", "i", "İ"],
  ["x", "x ", " x", "x.", "x\0", "x\0y", "x/", "x%", "x%00", "x\\0", "x\\", "x\\\\", "x_", "x*"],
  ["\ud83d", "\ude00", "\ud83d\ude00", "\ufffd", "\\ud83d", "id-x", "sha-x", "1", "01", "1.0"]
].flat()

const longId = (end: string): string => "0123456789".repeat(1_000) + end

/** Asserts that each of these ids is written, read, listed and removed without any effect on the others. */
const areSeparate = (store: Service, ids: ReadonlyArray<string>): Effect.Effect<void, Failure> =>
  Effect.gen(function*() {
    for (const [index, id] of ids.entries()) yield* store.append(turn(id, 0, { messages: messagesOf(`${index}`) }))
    for (const [index, id] of ids.entries()) {
      const stored = yield* loadData(store, id)
      yield* equal("The id", stored.id, id)
      yield* equal("The messages", stored.messages, messagesOf(`${index}`))
    }
    yield* equal("How often each is listed", yield* countListed(store, ids), ids.map(() => 1))
    for (const [index, id] of ids.entries()) {
      yield* equal("Removing one", yield* store.remove(id), true)
      const next = ids[index + 1]
      if (next !== undefined) yield* equal("The next one's version", (yield* loadData(store, next)).version, 1)
    }
  })

/** A case with these ids. Removes conversations of an earlier run first. */
const testIds = (name: string, idsOf: (fresh: string) => ReadonlyArray<string>): Case => ({
  name,
  test: Effect.gen(function*() {
    const store = yield* HistoryStore
    const ids = idsOf(yield* freshId)
    const removeAll = Effect.forEach(ids, store.remove, { discard: true })
    yield* removeAll
    yield* Effect.ensuring(areSeparate(store, ids), Effect.ignore(removeAll))
  })
})

const toolTurn: ReadonlyArray<ChatMessage> = [
  user([
    { type: "text", text: "What is in it?" },
    { type: "image", url: "data:image/png;base64,AAAA", detail: "low" },
    { type: "audio", data: "AAAA", format: "wav" },
    { type: "file", filename: "a.pdf", data: "data:application/pdf;base64,AAAA" }
  ]),
  {
    role: "assistant",
    content: "",
    reasoning: "I need two tools.",
    toolCalls: [
      { id: "call_1", name: "look", arguments: "{\"at\": \"\\u0000\"}" },
      { id: "call_2", name: "look", arguments: "{\"at\":" }
    ],
    finishReason: "tool-calls",
    model: "m-1",
    usage: { ...usageOf(3), raw: { prompt_tokens: 3, details: { cached: null, list: [1, 2.5, "3"] } } }
  },
  toolResult("call_1", "a cat"),
  toolResult("call_2", ""),
  { role: "assistant", content: "A cat.", refusal: "No more.", finishReason: "interrupted" }
]

export const dataCases: ReadonlyArray<Case> = [
  testIds("ids with a special meaning elsewhere are ordinary ids", () => specialIds),

  testIds("similar ids are different conversations", (fresh) => similarIds.map((id) => `${fresh}${id}`)),

  testIds("ids can have any text", (fresh) => allTexts.map((id) => `${fresh}${id}`)),

  testIds("ids of ten thousand characters are different even if only the last one differs", (fresh) => [
    ...["a", "b", "A", "\0", "\ud83d", "👍"].map((end) => fresh + longId(end)),
    fresh + longId("").slice(0, 300),
    fresh + longId("").slice(0, 301)
  ]),

  ...Object.entries(texts).map(([name, text]) =>
    testOne(`messages, system prompt and settings can have ${name}`, (store, id) =>
      Effect.gen(function*() {
        const messages = [user(text), assistant(text), user([{ type: "text", text }]), toolResult(text, text)]
        yield* store.append(turn(id, 0, { messages, systemPrompt: text, settings: { [`key ${text}`]: text } }))
        const stored = yield* loadData(store, id)
        yield* equal("The messages", stored.messages, messages)
        yield* equal("The system prompt", stored.systemPrompt, text)
        yield* equal("The settings", stored.settings, { [`key ${text}`]: text })
        yield* store.setSystemPrompt({ id, expectedVersion: 1, systemPrompt: `${text}.`, settings: {} })
        yield* equal("The new system prompt", (yield* loadData(store, id)).systemPrompt, `${text}.`)
      }))
  ),

  testOne(
    "tool calls, their results and all parts of messages are stored unchanged",
    (store, id) =>
      Effect.gen(function*() {
        yield* store.append(turn(id, 0, { messages: toolTurn }))
        yield* store.append(turn(id, 1))
        yield* equal("The messages", (yield* loadData(store, id)).messages, [...toolTurn, ...messagesOf("turn 2")])
      })
  ),

  testOne("the server's raw usage is stored unchanged", (store, id) =>
    Effect.gen(function*() {
      const usage = {
        ...usageOf(1e15),
        estimated: true,
        raw: { a: [{ b: "\0" }], "__proto__ ": 1, cost: 0.000_001, big: 9_007_199_254_740_991 }
      }
      yield* store.append(turn(id, 0, { usage }))
      yield* equal("The usage", (yield* loadData(store, id)).usage, usage)
    })),

  testOne("messages of a million characters are stored completely", (store, id) =>
    Effect.gen(function*() {
      const messages = [user("é".repeat(1_000_000)), assistant("long \"answer\"\n".repeat(80_000))]
      yield* store.append(turn(id, 0, { messages, systemPrompt: "p".repeat(100_000) }))
      yield* store.append(turn(id, 1))
      const stored = yield* loadData(store, id)
      yield* equal("The messages", stored.messages, [...messages, ...messagesOf("turn 2")])
      yield* equal(
        "What is loaded after removing it",
        yield* Effect.zipRight(store.remove(id), store.load(id)),
        Option.none()
      )
    })),

  testOne("a turn of three thousand messages keeps their order", (store, id) =>
    Effect.gen(function*() {
      const messages = Array.from({ length: 1_500 }, (_, index) => messagesOf(`${index}`)).flat()
      yield* store.append(turn(id, 0, { messages }))
      yield* equal("The messages", (yield* loadData(store, id)).messages, messages)
    }))
]
