import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { ChatManager, HistoryStore, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, sent } from "../support/chats.ts"

const config = LLMConfig.make({
  baseUrl: "http://server/v1",
  apiKey: "sk-very-secret",
  model: "a",
  systemPrompt: "S",
  maxRetries: 0
})

const TestLayer = Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(() => answer("ok")))

const lastRequest = Effect.map(
  Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, ({ requests }) => requests),
  (requests) => requests.at(-1)
)

describe("export and import", () => {
  it.scoped("move a conversation through JSON without a loss", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada", {
        settings: { model: "b", systemPrompt: "P" },
        title: "T",
        owner: "u"
      })
      yield* chat.chat("1")
      yield* chat.chat("2")

      const data = yield* manager.export("ada")
      yield* manager.import("bob", JSON.parse(JSON.stringify(data)))

      const bob = yield* manager.getChat("bob")
      assert.deepStrictEqual(yield* bob.history, yield* chat.history)
      assert.deepStrictEqual(yield* bob.usage, yield* chat.usage)
      assert.deepStrictEqual(yield* bob.settings, yield* chat.settings)
      assert.deepStrictEqual(JSON.stringify(yield* manager.export("bob")), JSON.stringify(data))
      assert.notInclude(JSON.stringify(data), "secret")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("take messages as OpenAI's API has them", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", [
        { role: "developer", content: "Be brief." },
        {
          role: "user",
          name: "Ada",
          content: [{ type: "text", text: "Look" }, { type: "image_url", image_url: { url: "http://i" } }]
        },
        {
          role: "assistant",
          content: null,
          refusal: null,
          reasoning_content: "hm",
          tool_calls: [{ id: "c1", type: "function", function: { name: "look", arguments: "{}" } }]
        },
        { role: "tool", tool_call_id: "c1", content: [{ type: "text", text: "a cat" }] },
        { role: "assistant", content: "A cat." },
        { role: "user", content: "Thanks" },
        { role: "assistant", content: "Welcome" }
      ])

      const chat = yield* manager.getChat("ada")
      assert.deepStrictEqual((yield* manager.export("ada")).turns.map(({ messages }) => messages.length), [4, 2])
      assert.deepStrictEqual(yield* chat.history, [
        { role: "system", content: "Be brief." },
        { role: "user", name: "Ada", content: [{ type: "text", text: "Look" }, { type: "image", url: "http://i" }] },
        { role: "assistant", content: "", reasoning: "hm", toolCalls: [{ id: "c1", name: "look", arguments: "{}" }] },
        { role: "tool", content: "a cat", toolCallId: "c1" },
        { role: "assistant", content: "A cat." },
        { role: "user", content: "Thanks" },
        { role: "assistant", content: "Welcome" }
      ])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("get absent settings from the defaults", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", {
        messages: [{ role: "user", content: "1" }, { role: "assistant", content: "one" }]
      })

      yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("2"))

      assert.deepStrictEqual(sent(yield* lastRequest), ["system: S", "user: 1", "assistant: one", "user: 2"])
      assert.deepInclude((yield* lastRequest)?.body, { model: "a" })
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("keep an empty system prompt that was chosen", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada", { settings: { systemPrompt: "" } })
      yield* chat.chat("1")

      yield* manager.import("bob", yield* manager.export("ada"))

      assert.strictEqual((yield* Effect.flatMap(manager.getChat("bob"), (chat) => chat.settings)).systemPrompt, "")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("read no address and no key from the data", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", { turns: [], settings: { baseUrl: "http://evil/v1", apiKey: "x", model: "b" } })

      yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("1"))

      assert.strictEqual((yield* lastRequest)?.url.toString(), "http://server/v1/chat/completions")
      assert.deepStrictEqual((yield* manager.export("ada")).settings, { model: "b" })
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("refuse data of another shape, settings that break a rule, and an id that is stored", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", { turns: [] })

      const errors = yield* Effect.forEach(
        [
          manager.import("bob", "text"),
          manager.import("bob", [{ role: "user", content: 1 }]),
          manager.import("bob", [{ role: "wizard", content: "x" }]),
          manager.import("bob", { turns: [], settings: { temperature: 9 } }),
          manager.import("ada", { turns: [] }),
          manager.export("bob")
        ],
        (effect) => Effect.map(Effect.flip(effect), ({ _tag }) => _tag)
      )

      assert.deepStrictEqual(errors, [
        "InvalidRequestError",
        "InvalidRequestError",
        "InvalidRequestError",
        "InvalidRequestError",
        "ConflictError",
        "HistoryStoreError"
      ])
    }).pipe(Effect.provide(TestLayer)))
})
