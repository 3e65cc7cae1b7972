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
  it.scoped("preserve a conversation through JSON", () =>
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

  it.scoped("accept messages in the format of OpenAI's API", () =>
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

  it.scoped("accept messages of the older functions API and of the Responses API, and arguments that are not text", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", [
        {
          role: "user",
          content: [{ type: "input_text", text: "Look" }, { type: "input_image", image_url: "http://i" }]
        },
        { role: "assistant", content: null, function_call: { name: "look", arguments: "{}" } },
        { role: "function", name: "look", content: "a cat" },
        { role: "assistant", content: [{ type: "output_text", text: "A cat.", annotations: [] }] },
        { role: "user", content: "Again" },
        {
          role: "assistant",
          content: "",
          tool_calls: [{ id: "c1", function: { name: "look", arguments: { at: 1 } } }]
        },
        { role: "tool", tool_call_id: "c1", content: "a dog" },
        { role: "assistant", content: "A dog." }
      ])

      const { messages } = (yield* manager.export("ada")).turns[0] ?? assert.fail("no turn")
      const calls = (yield* (yield* manager.getChat("ada")).history).flatMap((message) =>
        message.role === "assistant" ? message.toolCalls ?? [] : []
      )
      assert.deepStrictEqual(messages[0]?.content, [{ type: "text", text: "Look" }, { type: "image", url: "http://i" }])
      assert.deepStrictEqual(messages[2], { role: "tool", content: "a cat", toolCallId: "look" })
      assert.deepStrictEqual(messages[3]?.content, "A cat.")
      assert.deepStrictEqual(calls, [
        { id: "look", name: "look", arguments: "{}" },
        { id: "c1", name: "look", arguments: "{\"at\":1}" }
      ])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("use the defaults for absent settings", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", {
        messages: [{ role: "user", content: "1" }, { role: "assistant", content: "one" }]
      })

      yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("2"))

      assert.deepStrictEqual(sent(yield* lastRequest), ["system: S", "user: 1", "assistant: one", "user: 2"])
      assert.deepInclude((yield* lastRequest)?.body, { model: "a" })
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("preserve a chosen empty system prompt", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      const chat = yield* manager.getChat("ada", { settings: { systemPrompt: "" } })
      yield* chat.chat("1")

      yield* manager.import("bob", yield* manager.export("ada"))

      assert.strictEqual((yield* Effect.flatMap(manager.getChat("bob"), (chat) => chat.settings)).systemPrompt, "")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("ignore the URL and the key in the data", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", { turns: [], settings: { baseUrl: "http://evil/v1", apiKey: "x", model: "b" } })

      yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("1"))

      assert.strictEqual((yield* lastRequest)?.url.toString(), "http://server/v1/chat/completions")
      assert.deepStrictEqual((yield* manager.export("ada")).settings, { model: "b" })
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("refuse data of another shape, invalid settings, and an id that exists", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config })
      yield* manager.import("ada", { turns: [] })

      const errors = yield* Effect.forEach(
        [
          manager.import("bob", "text"),
          manager.import("bob", [{ role: "user", content: 1 }]),
          manager.import("bob", [{ role: "wizard", content: "x" }]),
          manager.import("bob", { turns: [], settings: { temperature: 9 } }),
          manager.import("bob", { conversations: [{ from: "human", value: "hi" }, { from: "gpt", value: "yo" }] }),
          manager.import("bob", {
            turns: ["a", "b"].map((content) => ({ turnId: "t", messages: [{ role: "user", content }] }))
          }),
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
        "InvalidRequestError",
        "InvalidRequestError",
        "ConflictError",
        "HistoryStoreError"
      ])
    }).pipe(Effect.provide(TestLayer)))
})
