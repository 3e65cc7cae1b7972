import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option } from "effect"
import { ChatManager, ChatMessage, ChatResponse, HistoryStore, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, sent } from "../support/chats.ts"

const base = LLMConfig.make({
  baseUrl: "http://server/v1",
  model: "a",
  apiKey: "sk-very-secret",
  systemPrompt: "S",
  maxRetries: 0
})

const override = (overrides: LLMConfig.Overrides) => Effect.orDie(LLMConfig.override(base, overrides))

const TestLayer = Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(() => answer("ok")))

/** Runs a function on one conversation of a new manager. */
const withChat = <A, E>(
  config: LLMConfig.LLMConfig,
  f: (chat: Effect.Effect.Success<ReturnType<ChatManager.Service["getChat"]>>) => Effect.Effect<A, E>,
  options?: ChatManager.GetOptions
) =>
  Effect.scoped(Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config })
    return yield* f(yield* manager.getChat("ada", options))
  }))

const lastRequest = Effect.map(
  Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, ({ requests }) => requests),
  (requests) => requests.at(-1)
)

const lastBody = Effect.map(lastRequest, (request) => request?.body)

const stored = Effect.flatMap(
  HistoryStore.HistoryStore,
  (store) => Effect.map(store.load("ada"), Option.getOrThrow)
)

describe("The settings of a conversation", () => {
  it.effect("come from the current config of the manager if the conversation chose none", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) => chat.chat("hi"))
      const today = LLMConfig.make({ baseUrl: "http://moved/v1", model: "b", systemPrompt: "T" })

      const settings = yield* withChat(today, (chat) => Effect.zipRight(chat.chat("hi"), chat.settings))

      assert.deepInclude(settings, { model: "b", systemPrompt: "T" })
      const request = yield* lastRequest
      assert.strictEqual(request?.url.toString(), "http://moved/v1/chat/completions")
      assert.deepInclude(request?.body, { model: "b" })
      assert.strictEqual(sent(request)[0], "system: T")
      assert.deepStrictEqual((yield* stored).settings, {})
      assert.strictEqual((yield* stored).systemPrompt, "")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("are set each time that the effect of getChat runs", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: base })
      const getChat = manager.getChat("ada", { settings: { temperature: 0 } })
      const chat = yield* getChat
      yield* chat.updateSettings({ temperature: 1 })
      assert.strictEqual((yield* chat.settings).temperature, 1)

      yield* getChat

      assert.strictEqual((yield* chat.settings).temperature, 0)
    }).pipe(Effect.provide(TestLayer)))

  it.effect("come from the current config of the manager after resetSettings", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) =>
        chat.updateSettings({ model: "x", temperature: 0, systemPrompt: "Mine", window: { turns: 4 } }))
      const today = yield* override({ model: "b", systemPrompt: "T" })

      const some = yield* withChat(today, (chat) =>
        Effect.zipRight(chat.resetSettings(["model", "systemPrompt"]), chat.settings))
      const storedSome = yield* stored
      const all = yield* withChat(today, (chat) =>
        Effect.zipRight(Effect.zipRight(chat.resetSettings(), chat.chat("hi")), chat.settings))

      assert.deepInclude(some, { model: "b", temperature: 0, systemPrompt: "T", window: { turns: 4 } })
      assert.deepStrictEqual(storedSome.settings, { temperature: 0, window: { turns: 4 } })
      assert.deepInclude(all, { model: "b", temperature: base.temperature, systemPrompt: "T" })
      assert.notProperty(all, "window")
      assert.deepStrictEqual((yield* stored).settings, {})
      assert.strictEqual(sent(yield* lastRequest)[0], "system: T")
    }).pipe(Effect.provide(TestLayer)))

  it.effect("do not keep a chosen empty system prompt after resetSettings", () =>
    Effect.gen(function*() {
      const settings = yield* withChat(base, (chat) =>
        chat.updateSettings({ systemPrompt: "" }).pipe(
          Effect.zipRight(chat.resetSettings(["systemPrompt"])),
          Effect.zipRight(chat.settings)
        ))

      assert.strictEqual(settings.systemPrompt, "S")
    }).pipe(Effect.provide(TestLayer)))

  it.effect("come from the config of another server after resetSettings, if getChat had one", () =>
    Effect.gen(function*() {
      const config = LLMConfig.make({ baseUrl: "http://other/v1", model: "o", temperature: 0.5 })

      const settings = yield* withChat(base, (chat) =>
        chat.updateSettings({ model: "p", temperature: 0.9 }).pipe(
          Effect.zipRight(chat.resetSettings(["temperature"])),
          Effect.zipRight(chat.settings)
        ), { config })

      assert.deepInclude(settings, { model: "p", temperature: 0.5 })
    }).pipe(Effect.provide(TestLayer)))

  it.effect("are stored if updateSettings chose them, even if they equal the defaults", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) => chat.updateSettings({ model: "a", temperature: null, systemPrompt: "Mine" }))
      const today = yield* override({ model: "b", systemPrompt: "T" })

      const settings = yield* withChat(today, (chat) => Effect.zipRight(chat.chat("hi"), chat.settings))

      assert.deepInclude(settings, { model: "a", temperature: null, systemPrompt: "Mine", maxTokens: 8192 })
      assert.notProperty(yield* lastBody, "temperature")
      assert.deepStrictEqual((yield* stored).settings, { model: "a", temperature: null })
    }).pipe(Effect.provide(TestLayer)))

  it.effect("can have an empty system prompt, which is not filled from the defaults", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) => Effect.zipRight(chat.chat("hi"), chat.updateSystemPrompt("")))

      yield* withChat(base, (chat) => chat.chat("again"))

      assert.deepStrictEqual(sent(yield* lastRequest), ["user: hi", "assistant: ok", "user: again"])
    }).pipe(Effect.provide(TestLayer)))

  it.effect("are stored without the URL, the key, headers, the body and the wire of a config", () =>
    Effect.gen(function*() {
      const config = yield* override({
        model: "b",
        apiKey: "sk-other-secret",
        headers: { "x-secret": "h" },
        extraBody: { top_k: 1 },
        turnPolicy: "reject"
      })

      yield* withChat(base, (chat) => chat.chat("hi"), { config })

      assert.deepInclude(yield* lastBody, { model: "b", top_k: 1 })
      assert.strictEqual((yield* lastRequest)?.headers["authorization"], "Bearer sk-other-secret")
      assert.deepStrictEqual((yield* stored).settings, { model: "b" })
      yield* withChat(base, (chat) => chat.chat("hi"))
      assert.deepInclude(yield* lastBody, { model: "b" })
      assert.notProperty(yield* lastBody, "top_k")
      assert.strictEqual((yield* lastRequest)?.headers["authorization"], "Bearer sk-very-secret")
    }).pipe(Effect.provide(TestLayer)))

  it.effect("change with the config of a later getChat while the conversation is in memory", () =>
    Effect.scoped(Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: base })
      const first = yield* manager.getChat("ada", { config: yield* override({ model: "b" }) })
      yield* first.chat("hi")
      yield* manager.getChat("ada", { config: base })

      yield* first.chat("hi")

      assert.deepInclude(yield* lastBody, { model: "a" })
      assert.deepStrictEqual((yield* stored).settings, {})
      yield* manager.getChat("ada", { settings: { model: "c", temperature: 0.1 } })
      assert.deepInclude(yield* first.settings, { model: "c", temperature: 0.1 })
    })).pipe(Effect.provide(TestLayer)))

  it.effect("all come from a config with another URL, and none of them are stored", () =>
    Effect.gen(function*() {
      const config = LLMConfig.make({ baseUrl: "http://other/v1", model: "x", temperature: 1, systemPrompt: "X" })

      const settings = yield* withChat(base, (chat) =>
        chat.chat("hi").pipe(
          Effect.zipRight(chat.updateSettings({ model: "y" })),
          Effect.zipRight(chat.chat("again")),
          Effect.zipRight(chat.settings)
        ), { config })

      assert.deepInclude(settings, { model: "y", temperature: 1, systemPrompt: "X" })
      assert.strictEqual((yield* lastRequest)?.url.toString(), "http://other/v1/chat/completions")
      assert.deepInclude(yield* lastBody, { model: "y", temperature: 1 })
      assert.deepStrictEqual((yield* stored).settings, {})
      yield* withChat(base, (chat) => chat.chat("hi"))
      assert.deepInclude(yield* lastBody, { model: "a" })
    }).pipe(Effect.provide(TestLayer)))

  it.effect("can limit the window of one conversation", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) => Effect.forEach(["1", "2", "3"], (n) => chat.chat(n)))
      yield* withChat(base, (chat) => chat.updateSettings({ window: { turns: 1 } }))

      const settings = yield* withChat(base, (chat) => Effect.zipRight(chat.chat("4"), chat.settings))

      assert.deepStrictEqual(settings.window, { turns: 1 })
      assert.deepStrictEqual(sent(yield* lastRequest), ["system: S", "user: 3", "assistant: ok", "user: 4"])
    }).pipe(Effect.provide(TestLayer)))

  it.effect("do not change if one of the new values is invalid", () =>
    Effect.scoped(Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: base })
      const chat = yield* manager.getChat("ada")

      const error = yield* Effect.flip(chat.updateSettings({ temperature: 5 }))
      const early = yield* Effect.flip(manager.getChat("ada", { settings: { window: { turns: 0 } } }))

      assert.deepStrictEqual([error._tag, early._tag], ["InvalidRequestError", "InvalidRequestError"])
      assert.include(error.message, "temperature")
      assert.deepInclude(yield* chat.settings, { temperature: 0.7 })
    })).pipe(Effect.provide(TestLayer)))

  it.effect("contain no secret", () =>
    Effect.gen(function*() {
      const settings = yield* withChat(base, (chat) => chat.settings)

      assert.notInclude(JSON.stringify(settings), "secret")
      assert.deepStrictEqual(settings, {
        model: "a",
        temperature: 0.7,
        topP: 1,
        maxTokens: 8192,
        frequencyPenalty: 0,
        presencePenalty: 0,
        systemPrompt: "S"
      })
    }).pipe(Effect.provide(TestLayer)))

  it.effect("that an imported conversation does not have come from the defaults", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      yield* store.append({
        id: "ada",
        expectedVersion: 0,
        messages: [ChatMessage.user("my name is Ada"), ChatMessage.assistant("Hello Ada")],
        usage: ChatResponse.emptyUsage,
        systemPrompt: "",
        settings: { maxTokens: 7 }
      })

      yield* withChat(base, (chat) => chat.chat("hi"))

      assert.deepInclude(yield* lastBody, { model: "a", max_tokens: 7 })
      assert.strictEqual(sent(yield* lastRequest)[0], "system: S")
    }).pipe(Effect.provide(TestLayer)))

  it.effect("include the title and the owner of getChat, which are stored with the next turn", () =>
    Effect.gen(function*() {
      yield* withChat(base, (chat) => chat.chat("hi"), { owner: "u1", title: "Greeting" })
      yield* withChat(base, (chat) => chat.chat("hi"), { title: "Greetings" })

      const { owner, title } = yield* stored

      assert.deepStrictEqual({ owner, title }, { owner: "u1", title: "Greetings" })
    }).pipe(Effect.provide(TestLayer)))
})
