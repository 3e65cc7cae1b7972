/**
 * Bugs that were reported for other chat backends. Each title names the report.
 */
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Layer, Option, Stream, TestClock } from "effect"
import { ChatManager, ChatMessage, LLMConfig, Turn } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { ScriptedHttpClient } from "effect-chat/testing"
import { echo, held, nothing, requests, sent, streams, transcript } from "../support/chats.ts"

const config = (more?: Partial<LLMConfig.Options>) =>
  LLMConfig.make({ baseUrl: "http://server/v1", systemPrompt: "", maxRetries: 0, onInterrupt: "keep", ...more })

/** A server that streams one word each second. */
const TestLayer = Layer.merge(
  Sqlite.layer({ filename: ":memory:" }),
  ScriptedHttpClient.layer((request) => echo(streams(request) ? { delay: "1 second" } : {})(request))
)

/** A new program, which has nothing in memory. */
const program = (options?: Partial<ChatManager.Options>) => ChatManager.make({ config: config(), ...options })

describe("A stored conversation", () => {
  it.scoped("keeps a temperature of 0 (smart-chatbot-ui#133)", () =>
    Effect.gen(function*() {
      const before = yield* (yield* program()).getChat("ada", { settings: { temperature: 0 } })
      yield* before.chat("a")

      const after = yield* (yield* program({ config: config({ temperature: 1 }) })).getChat("ada")

      assert.strictEqual((yield* after.settings).temperature, 0)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("contains no duplicate and no replaced turn after an edit, even if it is loaded again (generative-ai-use-cases#1653)", () =>
    Effect.gen(function*() {
      const before = yield* (yield* program()).getChat("ada")
      for (const [prompt, turnId] of [["a", "m1"], ["b", "m2"], ["c", "m3"]] as const) {
        yield* before.chat(prompt, { turnId })
      }
      yield* before.chat(Turn.replace("m2", "edited"), { turnId: "m4" })

      const after = yield* (yield* program()).getChat("ada")

      assert.deepStrictEqual(yield* transcript(after), [
        "user: a",
        "assistant: re a",
        "user: edited",
        "assistant: re edited"
      ])
      assert.strictEqual((yield* after.chat(Turn.replace("m2", "edited"), { turnId: "m4" })).text, "re edited")
      assert.lengthOf(yield* requests, 4)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("does not change when its copy is edited, which no longer contains the old prompt (langgraph#7593)", () =>
    Effect.gen(function*() {
      const manager = yield* program()
      const chat = yield* manager.getChat("ada")
      yield* chat.chat("hi", { turnId: "m1" })
      yield* manager.fork("ada", "copy")

      const copy = yield* manager.getChat("copy")
      yield* copy.chat(Turn.replace("m1", "hi2"))

      assert.deepStrictEqual(sent((yield* requests).at(-1)), ["user: hi2"])
      assert.deepStrictEqual(yield* transcript(copy), ["user: hi2", "assistant: re hi2"])
      assert.deepStrictEqual(yield* transcript(chat), ["user: hi", "assistant: re hi"])
    }).pipe(Effect.provide(TestLayer)))
})

describe("A started turn", () => {
  it.scoped("emits only its own events while the history contains only earlier turns (vercel/ai#18457)", () =>
    Effect.gen(function*() {
      const chat = yield* (yield* program()).getChat("ada")
      yield* chat.chat("first")
      const turnId = yield* chat.start("second")
      yield* TestClock.adjust("1500 millis")

      const history = yield* transcript(chat)
      const reader = yield* Effect.fork(Stream.runCollect(chat.attach()))
      yield* TestClock.adjust("10 seconds")
      const events = Chunk.toReadonlyArray(yield* Fiber.join(reader)).map(({ event }) => event)

      assert.deepStrictEqual(history, ["user: first", "assistant: re first"])
      const last = events.at(-1)
      assert.strictEqual(last?._tag === "Finish" ? last.response.turnId : "", turnId)
      const text = events.flatMap((event) => event._tag === "TextDelta" ? [event.text] : []).join("")
      assert.strictEqual(text, "re second")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("is not evicted while it runs or waits, even above the capacity (breeze#4406)", () =>
    Effect.gen(function*() {
      const manager = yield* program({ capacity: 1, timeout: "1 second" })
      const chat = yield* manager.getChat("ada")
      yield* chat.start("a b c", { turnId: "m1" })
      yield* chat.start("d", { turnId: "m2" })
      for (const id of ["b", "c", "d"]) yield* (yield* manager.getChat(id)).append([ChatMessage.user("x")])
      yield* TestClock.adjust("2500 millis")

      assert.strictEqual(Option.getOrThrow(yield* chat.running).turnId, "m1")
      yield* TestClock.adjust("20 seconds")
      assert.deepStrictEqual(yield* transcript(chat), [
        "user: a b c",
        "assistant: re a b c",
        "user: d",
        "assistant: re d"
      ])
      yield* TestClock.adjust("20 seconds")
      assert.strictEqual(yield* manager.size, 0)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("does not recreate a removed conversation (voipms-sms-client#175)", () =>
    Effect.gen(function*() {
      const manager = yield* program()
      const chat = yield* manager.getChat("ada")
      yield* chat.start("a b c", { turnId: "m1" })
      const reader = yield* Effect.fork(Stream.runLast(chat.attach("m1")))
      yield* TestClock.adjust("1500 millis")

      yield* manager.removeChat("ada")
      yield* TestClock.adjust("20 seconds")

      const last = Option.getOrThrow(yield* Fiber.join(reader)).event
      assert.strictEqual(last._tag === "Finish" ? last.reason : "", "interrupted")
      assert.deepStrictEqual(yield* manager.conversations(), [])
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(Effect.provide(TestLayer)))
})

describe("Pages of conversations", () => {
  it.scoped("contain each conversation once, even with equal times and during writes (LibreChat#11242)", () =>
    Effect.gen(function*() {
      const manager = yield* program()
      const ids = ["a", "b", "c", "d", "e", "f", "g"]
      for (const id of ids) yield* (yield* manager.getChat(id)).append([ChatMessage.user(id)])
      yield* TestClock.adjust("1 minute")

      const seen: Array<string> = []
      for (let before = undefined as { readonly updatedAt: number; readonly id: string } | undefined;;) {
        const page = yield* manager.conversations({ limit: 2, before })
        seen.push(...page.map(({ id }) => id))
        before = page.at(-1)
        if (before === undefined) break
        // A write moves a listed conversation to the front.
        yield* (yield* manager.getChat(seen[0] ?? "")).append([ChatMessage.user("again")])
      }

      assert.deepStrictEqual([...seen].sort(), ids)
    }).pipe(Effect.provide(TestLayer)))
})
