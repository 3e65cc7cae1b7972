import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Option, Redacted, Ref, Stream, TestClock } from "effect"
import { ChatError, ChatManager, ChatMessage, ChatResponse, HistoryStore, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, held, nothing } from "../support/chats.ts"

const config = LLMConfig.make({ baseUrl: "http://server/v1", apiKey: "sk-very-secret", systemPrompt: "Be brief." })

const echo = ScriptedHttpClient.layer((_request, index) => ScriptedHttpClient.tokens([`answer ${index + 1}`]))

const TestLayer = Layer.merge(HistoryStore.layerMemory, echo)

/** A store that fails writes while the flag is true. With `afterwards`, the write succeeds and then an error is returned. */
const failing = Effect.gen(function*() {
  const store = yield* HistoryStore.HistoryStore
  const mode = yield* Ref.make<"works" | "fails" | "fails afterwards" | "reads fail">("works")
  const broken = (id: string) => new ChatError.HistoryStoreError({ message: "the disk is full", conversationId: id })
  const service: HistoryStore.Service = {
    ...store,
    load: (id) =>
      Effect.flatMap(Ref.get(mode), (mode) => mode === "reads fail" ? Effect.fail(broken(id)) : store.load(id)),
    append: (turn) =>
      Effect.flatMap(Ref.get(mode), (mode) => {
        if (mode === "fails") return Effect.fail(broken(turn.id))
        const stored = store.append(turn)
        return mode === "works" ? stored : Effect.zipRight(stored, Effect.fail(broken(turn.id)))
      })
  }
  return { mode, service }
})

/** A store with writes that take a second. */
const slow = Effect.map(HistoryStore.HistoryStore, (store): HistoryStore.Service => {
  const late = Effect.delay("1 second")
  return {
    ...store,
    append: (turn) => late(store.append(turn)),
    setSystemPrompt: (target) => late(store.setSystemPrompt(target)),
    setSummary: (target) => late(store.setSummary(target)),
    clear: (target) => late(store.clear(target)),
    remove: (id) => late(store.remove(id))
  }
})

const roles = (messages: ReadonlyArray<{ readonly role: string }>): string => messages.map((m) => m.role).join(" ")

describe("A conversation with a store", () => {
  it.scoped("is restored after an eviction with its history and usage", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config, timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")
      yield* chat.chat("one")
      yield* chat.updateSystemPrompt("Be long.")
      yield* TestClock.adjust("2 minutes")
      assert.isFalse(yield* manager.has("ada"))

      const history = yield* chat.history

      assert.strictEqual(roles(history), "system user assistant")
      assert.strictEqual(history[0]?.content, "Be long.")
      assert.isTrue(yield* manager.has("ada"))
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("continues in another manager with its chosen settings and without its key", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const first = yield* ChatManager.make({ config })
      const own = yield* LLMConfig.override(config, { temperature: 0.1, model: "own" })
      yield* Effect.flatMap(first.getChat("ada", { config: own }), (chat) => chat.chat("one"))
      const stored = Option.getOrThrow(yield* store.load("ada"))
      assert.notInclude(JSON.stringify(stored), "sk-very-secret")

      const second = yield* ChatManager.make({ config })
      yield* Effect.flatMap(second.getChat("ada"), (chat) => chat.chat("two"))

      const requests = yield* Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (client) => client.requests)
      const body = requests[1]?.body
      assert.deepInclude(body, { model: "own", temperature: 0.1 })
      assert.strictEqual(
        requests[1]?.headers["authorization"],
        `Bearer ${Redacted.value(Redacted.make("sk-very-secret"))}`
      )
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("uses the server, the key and the default model of the manager that restores it", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const first = yield* ChatManager.make({ config })
      yield* Effect.flatMap(first.getChat("ada"), (chat) => chat.chat("one"))
      assert.deepStrictEqual((yield* Effect.flatten(store.load("ada"))).settings, {})
      const elsewhere = yield* LLMConfig.override(config, {
        baseUrl: "http://elsewhere/v1",
        apiKey: "sk-other-key",
        model: "newer"
      })

      const second = yield* ChatManager.make({ config: elsewhere })
      yield* Effect.flatMap(second.getChat("ada"), (chat) => chat.chat("two"))

      const requests = yield* Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (client) => client.requests)
      assert.isTrue(requests[1]?.url.startsWith("http://elsewhere/v1"))
      assert.strictEqual(requests[1]?.headers["authorization"], "Bearer sk-other-key")
      assert.deepInclude(requests[1]?.body, { model: "newer" })
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("reads only its own choices from settings that an older release stored", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      yield* store.append({
        id: "ada",
        expectedVersion: 0,
        messages: [ChatMessage.user("one"), ChatMessage.assistant("answer")],
        usage: ChatResponse.emptyUsage,
        systemPrompt: "Be old.",
        settings: {
          baseUrl: "http://old/v1",
          model: "own",
          temperature: 0.1,
          maxRetries: 99,
          wire: { maxTokensField: "max_completion_tokens" },
          extraBody: { secret: "sk-body" }
        }
      })
      const manager = yield* ChatManager.make({ config })
      yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.chat("two"))

      const requests = yield* Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (client) => client.requests)
      assert.isTrue(requests[0]?.url.startsWith("http://server/v1"))
      assert.deepInclude(requests[0]?.body, { model: "own", temperature: 0.1, max_tokens: 8192 })
      assert.notProperty(requests[0]?.body, "secret")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("stores its chosen settings, and none of a config with another server", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const manager = yield* ChatManager.make({ config })
      const own = yield* LLMConfig.override(config, { temperature: 0.1, model: "own", headers: { "x-team": "a" } })
      const elsewhere = yield* LLMConfig.override(own, { baseUrl: "http://elsewhere/v1" })
      yield* Effect.flatMap(manager.getChat("ada", { config: own }), (chat) => chat.chat("one"))
      yield* Effect.flatMap(manager.getChat("bob", { config: elsewhere }), (chat) => chat.chat("one"))

      assert.deepStrictEqual((yield* Effect.flatten(store.load("ada"))).settings, { model: "own", temperature: 0.1 })
      assert.deepStrictEqual((yield* Effect.flatten(store.load("bob"))).settings, {})
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("fails the second of two writers with a conflict that contains its answer, and loses no turn", () =>
    Effect.gen(function*() {
      const first = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      const second = yield* Effect.flatMap(ChatManager.make({ config }), (manager) => manager.getChat("ada"))
      yield* first.history
      yield* second.history
      yield* first.chat("one")

      const error = yield* Effect.flip(second.chat("two"))

      assert.strictEqual(error._tag, "ConflictError")
      assert.strictEqual(error.partial?.text, "answer 2")
      assert.strictEqual(roles(yield* second.history), "system user assistant")
      assert.isTrue(yield* second.save)
      assert.strictEqual(roles(yield* second.history), "system user assistant user assistant")
      assert.strictEqual(
        roles(
          yield* Effect.catchTag(first.chat("three"), "ConflictError", () => Effect.as(first.save, { text: "" })).pipe(
            Effect.zipRight(first.history)
          )
        ),
        "system user assistant user assistant user assistant"
      )
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("fails a turn if its write fails, keeps the answer, and can save it later", () =>
    Effect.gen(function*() {
      const { mode, service } = yield* failing
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service)
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(mode, "fails")

      const events = yield* Stream.runCollect(Stream.either(chat.chatEvents("one")))

      const tags = Array.from(events, (event) => event._tag === "Right" ? event.right._tag : event.left._tag)
      assert.deepStrictEqual(tags, ["Begin", "TextDelta", "HistoryStoreError"])
      assert.strictEqual(roles(yield* chat.history), "system")
      yield* Ref.set(mode, "works")
      assert.isTrue(yield* chat.save)
      assert.isFalse(yield* chat.save)
      assert.strictEqual(roles(yield* chat.history), "system user assistant")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("releases the connection of an interrupted turn even if the store dies", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const service: HistoryStore.Service = { ...store, append: () => Effect.die("the disk is gone") }
      const manager = yield* Effect.provideService(
        ChatManager.make({ config: LLMConfig.make({ baseUrl: "http://server/v1", onInterrupt: "keep" }) }),
        HistoryStore.HistoryStore,
        service
      )
      const chat = yield* manager.getChat("ada")

      const exit = yield* Effect.exit(Stream.runDrain(Stream.take(chat.chatStream("one"), 1)))

      // The interrupted fiber does not wait for the write, so its defect is logged.
      assert.isTrue(Exit.isSuccess(exit))
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(Effect.provide(Layer.merge(
      HistoryStore.layerMemory,
      ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["a"], { ending: ScriptedHttpClient.never })])
    ))))

  it.scoped("does not store a turn twice if its write succeeded despite an error", () =>
    Effect.gen(function*() {
      const { mode, service } = yield* failing
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service)
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(mode, "fails afterwards")
      yield* Effect.flip(chat.chat("one"))
      yield* Ref.set(mode, "works")

      yield* chat.save

      assert.strictEqual(roles(yield* chat.history), "system user assistant")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("stays in memory after a failed write until the turn is saved or discarded", () =>
    Effect.gen(function*() {
      const { mode, service } = yield* failing
      const manager = yield* Effect.provideService(
        ChatManager.make({ config, capacity: 1, timeout: "1 minute" }),
        HistoryStore.HistoryStore,
        service
      )
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(mode, "fails")
      yield* Effect.flip(chat.chat("one"))
      yield* Ref.set(mode, "works")
      yield* Effect.flatMap(manager.getChat("bob"), (bob) => bob.chat("two"))
      yield* TestClock.adjust("2 minutes")

      assert.deepStrictEqual(yield* manager.ids, ["ada"])
      assert.isTrue(yield* chat.save)
      assert.strictEqual(roles(yield* chat.history), "system user assistant")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* manager.ids, [])
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("does not save a turn from before clearHistory", () =>
    Effect.gen(function*() {
      const { mode, service } = yield* failing
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service)
      const chat = yield* manager.getChat("ada")
      yield* Ref.set(mode, "fails")
      yield* Effect.flip(chat.chat("one"))
      yield* Ref.set(mode, "works")

      yield* chat.clearHistory

      assert.isFalse(yield* chat.save)
      assert.strictEqual(roles(yield* chat.history), "system")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("can save a turn later even if a read of the store failed at its end", () =>
    Effect.gen(function*() {
      const { mode, service } = yield* failing
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, service)
      const chat = yield* manager.getChat("ada")
      const others = yield* Effect.flatMap(ChatManager.make({ config }), (other) => other.getChat("ada"))
      const turn = yield* Stream.toPull(chat.chatEvents("one"))
      yield* turn
      yield* others.chat("two")
      assert.strictEqual((yield* Effect.flip(chat.updateSystemPrompt("Be long.")))._tag, "ConflictError")
      yield* Ref.set(mode, "reads fail")

      const error = yield* Effect.flip(turn)

      assert.strictEqual(Option.getOrUndefined(error)?._tag, "HistoryStoreError")
      assert.strictEqual(Option.getOrUndefined(error)?.partial?.text, "answer 1")
      yield* Ref.set(mode, "works")
      assert.isTrue(yield* chat.save)
      assert.strictEqual(roles(yield* chat.history), "system user assistant user assistant")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("is listed until it is removed", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config, timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")
      yield* chat.chat("one")
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(manager.list)), ["ada"])

      assert.isTrue(yield* manager.removeChat("ada"))

      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(manager.list)), [])
      assert.strictEqual(roles(yield* chat.history), "system")
    }).pipe(Effect.provide(TestLayer)))
})

describe("removeChat with a store", () => {
  it.scoped("runs waiting turns after the conversation is removed, and not before", () =>
    Effect.gen(function*() {
      const manager = yield* Effect.provideServiceEffect(ChatManager.make({ config }), HistoryStore.HistoryStore, slow)
      const chat = yield* manager.getChat("ada")
      const turns = yield* Effect.forEach(["one", "two", "three"], (prompt) => Effect.fork(chat.chat(prompt)))
      yield* TestClock.adjust("1500 millis")

      const removal = yield* Effect.fork(manager.removeChat("ada"))
      yield* TestClock.adjust("10 seconds")

      assert.isTrue(yield* Fiber.join(removal))
      yield* Effect.forEach(turns, Fiber.join)
      const { requests } = yield* ScriptedHttpClient.ScriptedHttpClient
      assert.notInclude((yield* requests).at(-1)?.text, "one")
      assert.strictEqual(roles(yield* chat.history), "system user assistant")
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("waits for a running write", () =>
    Effect.gen(function*() {
      const store = yield* slow
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, {
        ...store,
        remove: (yield* HistoryStore.HistoryStore).remove
      })
      const chat = yield* manager.getChat("ada")
      yield* Effect.fork(chat.updateSystemPrompt("Be long."))
      yield* Effect.fork(chat.updateSystemPrompt("Be longer."))
      yield* TestClock.adjust("500 millis")

      const removal = yield* Effect.fork(manager.removeChat("ada"))
      yield* TestClock.adjust("10 seconds")

      assert.isTrue(yield* Fiber.join(removal))
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(manager.list)), [])
      assert.strictEqual((yield* chat.history)[0]?.content, "Be brief.")
    }).pipe(Effect.provide(TestLayer)))
})

describe("A conversation with a shared store", () => {
  /** The memory store, shared by several programs. */
  const shared = Effect.map(HistoryStore.HistoryStore, (store): HistoryStore.Service => ({ ...store, isShared: true }))

  const managers = Effect.gen(function*() {
    const make = Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, yield* shared)
    return [yield* make, yield* make] as const
  })

  it.scoped("can alternate with another program without a conflict", () =>
    Effect.gen(function*() {
      const [first, second] = yield* managers
      const [one, two] = [yield* first.getChat("ada"), yield* second.getChat("ada")]
      for (let turn = 0; turn < 3; turn++) {
        yield* one.chat(`one ${turn}`)
        assert.strictEqual((yield* two.history).length, 1 + 4 * turn + 2)
        yield* two.chat(`two ${turn}`)
        yield* two.updateSystemPrompt(`Prompt ${turn}.`)
        yield* one.updateSystemPrompt(`Other prompt ${turn}.`)
        assert.deepStrictEqual(yield* one.usage, yield* two.usage)
      }
      const history = yield* two.history
      assert.strictEqual(history[0]?.content, "Other prompt 2.")
      assert.strictEqual(roles(history.slice(1)), "user assistant ".repeat(6).trim())
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("is reloaded after another program removed and created it again", () =>
    Effect.gen(function*() {
      const [first, second] = yield* managers
      const [one, two] = [yield* first.getChat("ada"), yield* second.getChat("ada")]
      yield* one.chat("old")
      yield* two.history
      yield* first.removeChat("ada")
      yield* Effect.flatMap(first.getChat("ada"), (chat) => chat.chat("new"))

      const { content } = (yield* two.history)[1] ?? {}
      yield* two.chat("newer")

      assert.strictEqual(content, "new")
      const stored = yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => Effect.flatten(store.load("ada")))
      assert.deepStrictEqual(stored.messages.map(({ content }) => content), ["new", "answer 2", "newer", "answer 3"])
      assert.strictEqual(stored.turns.length, 2)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("fails with a conflict if another program writes during its turn, even if its history is read meanwhile", () =>
    Effect.gen(function*() {
      const store = yield* shared
      const slow = ScriptedHttpClient.layer(() => ScriptedHttpClient.delayed("1 second", answer("slow")))
      const client = yield* Layer.build(slow)
      const manager = yield* Effect.provideService(ChatManager.make({ config }), HistoryStore.HistoryStore, store).pipe(
        Effect.provide(client)
      )
      const chat = yield* manager.getChat("ada")
      const turn = yield* Effect.fork(Effect.flip(chat.chat("slow")))
      const { requests } = Context.get(client, ScriptedHttpClient.ScriptedHttpClient)
      yield* Effect.repeat(Effect.zipRight(Effect.yieldNow(), requests), { until: (sent) => sent.length === 1 })
      yield* store.append({
        id: "ada",
        expectedVersion: 0,
        messages: [ChatMessage.user("fast"), ChatMessage.assistant("first")],
        usage: ChatResponse.emptyUsage,
        systemPrompt: "",
        settings: { systemPrompt: "" }
      })
      yield* chat.history
      yield* TestClock.adjust("1 second")

      assert.strictEqual((yield* Fiber.join(turn))._tag, "ConflictError")
      assert.deepStrictEqual((yield* chat.history).map(({ content }) => content), ["fast", "first"])
    }).pipe(Effect.provide(HistoryStore.layerMemory)))
})
