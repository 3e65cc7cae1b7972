/**
 * The usage of turns, conversations and managers: sent by the server or estimated.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Option, Ref, Schema, Stream, TestClock } from "effect"
import { ChatError, ChatManager, ChatMessage, ChatResponse, HistoryStore, HistoryWindow, LLMChat } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { estimateInput } from "../../src/internal/request/estimate.ts"
import { estimateText } from "../../src/tokens/TokenCounter.ts"
import { answer, options, usage, withScript } from "../support/chats.ts"

const { never, sse, tokens } = ScriptedHttpClient

const words = (count: number): string => "word ".repeat(count)

/** The last answer in a history. */
const lastAnswer = (chat: LLMChat.Service) =>
  Effect.map(chat.history, (history) => {
    const last = history.at(-1)
    return last?.role === "assistant" ? last : undefined
  })

/** Forks a turn, and interrupts it after a second. */
const cutAfterASecond = <A, E>(turn: Effect.Effect<A, E>) =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(turn)
    yield* TestClock.adjust("1 second")
    yield* Fiber.interrupt(fiber)
  })

/** The estimated tokens of an answer with this text. Each message has 4 tokens in addition to its text. */
const estimated = (sent: ReadonlyArray<ChatMessage.ChatMessage>, text: string) => {
  const inputTokens = estimateInput(sent)
  const outputTokens = estimateText(text) + 4
  return { inputTokens, outputTokens, totalTokens: inputTokens + outputTokens, estimated: true, raw: null }
}

describe("The usage of a turn", () => {
  it.effect("is the usage of the server, unchanged", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const response = yield* chat.chat("a")

      assert.deepInclude(response.usage, { inputTokens: 3, outputTokens: 4, estimated: false, raw: usage(3, 4) })
      assert.deepStrictEqual((yield* lastAnswer(chat))?.usage, response.usage)
      assert.isFalse((yield* chat.usage).estimated)
    }).pipe(withScript([answer("b", { usage: usage(3, 4) })])))

  it.effect("is estimated if the server sends none, and marked as estimated in the response and the history", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const whole = yield* chat.chat(words(50))
      const expected = estimated((yield* chat.history).slice(0, 2), words(100))
      assert.deepInclude(whole.usage, expected)
      assert.deepStrictEqual((yield* lastAnswer(chat))?.usage, whole.usage)

      const sent = yield* chat.history
      const events = yield* Stream.runCollect(chat.chatEvents("again"))
      const last = Array.from(events).at(-1)
      const streamed = last?._tag === "Finish" ? last.response : undefined
      assert.deepInclude(streamed?.usage, estimated([...sent, ChatMessage.user("again")], words(7)))
      assert.deepStrictEqual((yield* lastAnswer(chat))?.usage, streamed?.usage)

      const total = yield* chat.usage
      assert.strictEqual(total.totalTokens, (whole.usage?.totalTokens ?? 0) + (streamed?.usage?.totalTokens ?? 0))
      assert.isTrue(total.estimated)
    }).pipe(withScript([answer(words(100)), tokens([words(3), words(4)])])))

  it.effect("is not estimated for an ask call, which returns the usage of the server", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      assert.isUndefined((yield* chat.ask("a")).usage)
    }).pipe(withScript([answer("b")])))

  it.effect("is estimated from the partial answer if the turn was interrupted", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* cutAfterASecond(Stream.runDrain(chat.chatStream("a")))

      const kept = yield* lastAnswer(chat)
      assert.strictEqual(kept?.finishReason, "interrupted")
      assert.deepInclude(kept?.usage, estimated((yield* chat.history).slice(0, 2), words(20)))
      assert.deepStrictEqual(yield* chat.usage, kept?.usage)
    }).pipe(withScript([tokens([words(20)], { ending: never })])))

  it.effect("is in the response of a stopped turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const turn = yield* Effect.fork(Stream.runLast(chat.chatEvents("a")))
      yield* TestClock.adjust("1 second")

      yield* chat.stop

      const last = Option.getOrUndefined(yield* Fiber.join(turn))
      const part = last?._tag === "Finish" ? last.response : undefined
      assert.isTrue(part?.usage?.estimated)
      assert.deepStrictEqual((yield* lastAnswer(chat))?.usage, part?.usage)
    }).pipe(withScript([tokens([words(20)], { ending: never })])))

  it.effect("is counted even if the turn failed or was rolled back", () =>
    Effect.gen(function*() {
      const undone = yield* LLMChat.make(options({ onInterrupt: "rollback" }))
      yield* cutAfterASecond(Stream.runDrain(undone.chatStream("a")))
      const sent = [...yield* undone.history, ChatMessage.user("a")]
      assert.deepInclude(yield* undone.usage, estimated(sent, words(20)))

      const failed = yield* LLMChat.make(options())
      const error = yield* Effect.flip(Stream.runDrain(failed.chatStream("a")))
      assert.strictEqual(error.partial?.text, words(20))
      assert.deepInclude(yield* failed.usage, estimated(sent, words(20)))
      assert.lengthOf(yield* failed.history, 1)
    }).pipe(withScript([tokens([words(20)], { ending: never }), tokens([words(20)], { ending: "truncated" })])))

  it.effect("is empty if the turn ended before its answer began", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* Effect.flip(chat.chat("refused"))
      yield* Effect.flip(chat.chat("not reached"))
      yield* cutAfterASecond(chat.chat("never answered"))

      assert.strictEqual((yield* chat.usage).totalTokens, 0)
    }).pipe(withScript([
      ScriptedHttpClient.json({ error: "no" }, { status: 400 }),
      ScriptedHttpClient.connectionError(),
      ScriptedHttpClient.delayed("1 hour", answer("late"))
    ])))

  it.effect("includes all requests of a repaired turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const Age = Schema.Struct({ age: Schema.Number })

      yield* chat.chatObject("how old?", Age, { repair: true })
      assert.deepInclude((yield* lastAnswer(chat))?.usage, { inputTokens: 12, outputTokens: 9, estimated: false })

      yield* Effect.flip(chat.chatObject("how old?", Age, { repair: true }))
      assert.deepInclude(yield* chat.usage, { inputTokens: 1212, outputTokens: 909 })
      yield* Effect.flip(chat.chatObject("how old?", Age, { repair: true }))
      assert.deepInclude(yield* chat.usage, { inputTokens: 11212, outputTokens: 1909 })
    }).pipe(withScript([
      answer("thirty six", { usage: usage(5, 4) }),
      answer("{\"age\":36}", { usage: usage(7, 5) }),
      answer("thirty six", { usage: usage(500, 400) }),
      answer("thirty six", { usage: usage(700, 500) }),
      answer("thirty six", { usage: usage(10_000, 1000) }),
      ScriptedHttpClient.json({ error: "no" }, { status: 400 })
    ])))
})

describe("The usage of a conversation with a store", () => {
  const script = ScriptedHttpClient.layer((_request, index) =>
    index === 0
      ? sse([{ choices: [{ index: 0, delta: { content: "some" } }], usage: usage(1, 100) }])
      : answer("b", { usage: usage(1, 10) })
  )
  const TestLayer = Layer.merge(HistoryStore.layerMemory, script)

  it.scoped("is stored with its turns, includes failed ones, and is restored after an eviction", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: options(), timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")
      yield* Effect.flip(Stream.runDrain(chat.chatStream("fails")))
      yield* chat.chat("whole")
      yield* TestClock.adjust("2 minutes")
      assert.isFalse(yield* manager.has("ada"))

      assert.strictEqual((yield* chat.usage).totalTokens, 112)
      const other = yield* Effect.flatMap(ChatManager.make({ config: options() }), (other) => other.getChat("ada"))
      assert.deepInclude(yield* other.usage, { inputTokens: 2, outputTokens: 110, totalTokens: 112 })
      assert.strictEqual((yield* lastAnswer(other))?.usage?.totalTokens, 11)
    }).pipe(Effect.provide(TestLayer)))

  it.scoped("counts a turn once if its failed write is saved later, or succeeded despite its error", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const mode = yield* Ref.make<"works" | "fails" | "fails afterwards">("works")
      const broken = new ChatError.HistoryStoreError({ message: "the disk is full", conversationId: "ada" })
      const service: HistoryStore.Service = {
        ...store,
        append: (turn) =>
          Effect.flatMap(Ref.get(mode), (mode) => {
            if (mode === "works") return store.append(turn)
            const write = mode === "fails" ? Effect.void : store.append(turn)
            return Effect.zipRight(write, Effect.fail(broken))
          })
      }
      const manager = yield* Effect.provideService(
        ChatManager.make({ config: options() }),
        HistoryStore.HistoryStore,
        service
      )
      const chat = yield* manager.getChat("ada")
      yield* Effect.flip(Stream.runDrain(chat.chatStream("fails")))
      for (const how of ["fails afterwards", "fails"] as const) {
        yield* Ref.set(mode, how)
        yield* Effect.flip(chat.chat("a"))
        yield* Ref.set(mode, "works")
        assert.isTrue(yield* chat.save)
        assert.isFalse(yield* chat.save)
      }

      assert.strictEqual((yield* chat.usage).totalTokens, 101 + 11 + 11)
      assert.strictEqual((yield* manager.usage).totalTokens, 101 + 11 + 11)
      assert.strictEqual(Option.getOrUndefined(yield* store.load("ada"))?.usage.totalTokens, 101 + 11 + 11)
      assert.lengthOf(yield* chat.history, 5)
    }).pipe(Effect.provide(TestLayer)))
})

describe.each([["succeeded", true], ["did not succeed", false]])(
  "A write that returned an error and %s",
  (_, isDone) => {
    const TestLayer = Layer.merge(
      HistoryStore.layerMemory,
      ScriptedHttpClient.layer((request) =>
        answer("a", { usage: request.text.includes("Sum up.") ? usage(100, 10) : usage(1, 10) })
      )
    )

    /** A conversation with a store that fails writes while the flag is true. */
    const make = Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const fails = yield* Ref.make(false)
      const broken = new ChatError.HistoryStoreError({ message: "the disk is full", conversationId: "ada" })
      const write = <A>(done: Effect.Effect<A, ChatError.HistoryStoreError | ChatError.ConflictError>) =>
        Effect.flatMap(
          Ref.get(fails),
          (fails) => fails ? Effect.zipRight(isDone ? done : Effect.void, Effect.fail(broken)) : done
        )
      const service: HistoryStore.Service = {
        ...store,
        append: (turn) => write(store.append(turn)),
        setSystemPrompt: (target) => write(store.setSystemPrompt(target)),
        setSummary: (target) => write(store.setSummary(target))
      }
      const window = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1, instruction: "Sum up." })
      const manager = yield* Effect.provideService(
        ChatManager.make({ config: options(), window }),
        HistoryStore.HistoryStore,
        service
      )
      const chat = yield* manager.getChat("ada")
      const totals = Effect.map(
        Effect.all([chat.usage, manager.usage, Effect.map(store.load("ada"), Option.getOrThrow)]),
        ([ofChat, ofManager, { usage }]) => [ofChat.totalTokens, ofManager.totalTokens, usage.totalTokens]
      )
      return { chat, fails, totals }
    })

    it.scoped("causes no conflict for the next turn, and the tokens of the discarded turn are counted once", () =>
      Effect.gen(function*() {
        const { chat, fails, totals } = yield* make
        yield* chat.chat("one")
        yield* Ref.set(fails, true)
        yield* Effect.flip(chat.updateSystemPrompt("P"))
        yield* Effect.flip(chat.chat("two"))
        assert.strictEqual((yield* chat.usage).totalTokens, 22)
        yield* Ref.set(fails, false)

        yield* chat.chat("three")

        assert.deepStrictEqual(yield* totals, [33, 33, 33])
        assert.strictEqual((yield* chat.history)[0]?.content, isDone ? "P" : "S")
        assert.lengthOf(yield* chat.history, isDone ? 7 : 5)
      }).pipe(Effect.provide(TestLayer)))

    it.scoped("counts the tokens of each summary request once", () =>
      Effect.gen(function*() {
        const { chat, fails, totals } = yield* make
        for (const prompt of ["one", "two", "three"]) yield* chat.chat(prompt)
        yield* Ref.set(fails, true)
        yield* Effect.flip(chat.chat("four"))
        assert.strictEqual((yield* chat.usage).totalTokens, 44 + 110)
        yield* Ref.set(fails, false)

        yield* chat.chat("four")

        const made = isDone ? 1 : 2
        assert.deepStrictEqual(yield* totals, [55 + made * 110, 55 + made * 110, 55 + made * 110])
      }).pipe(Effect.provide(TestLayer)))
  }
)

describe("The usage of a manager", () => {
  it.scoped("includes evicted and removed conversations", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: options(), timeout: "1 minute" })
      assert.deepStrictEqual(yield* manager.usage, ChatResponse.emptyUsage)
      const [ada, bob] = yield* Effect.all([manager.getChat("ada"), manager.getChat("bob")])

      yield* ada.chat("a")
      yield* bob.chat("b")
      yield* manager.removeChat("bob")
      yield* TestClock.adjust("2 minutes")
      assert.strictEqual(yield* manager.size, 0)

      assert.deepInclude(yield* manager.usage, { inputTokens: 11, outputTokens: 22, totalTokens: 33, estimated: false })
      yield* ada.chat("again")
      assert.deepInclude(yield* manager.usage, { inputTokens: 111, outputTokens: 222, estimated: false })
      yield* ada.chat("again")
      assert.isTrue((yield* manager.usage).estimated)
    }).pipe(withScript([
      answer("1", { usage: usage(1, 2) }),
      answer("2", { usage: usage(10, 20) }),
      answer("3", { usage: usage(100, 200) }),
      answer("4")
    ])))

  it.scoped("includes a turn that removeChat stopped, but no ask calls", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: options() })
      const chat = yield* manager.getChat("ada")
      yield* chat.ask("q")
      assert.strictEqual((yield* manager.usage).totalTokens, 0)
      yield* Effect.fork(Stream.runDrain(chat.chatStream("a")))
      yield* TestClock.adjust("1 second")

      yield* manager.removeChat("ada")

      const spent = yield* manager.usage
      assert.isTrue(spent.estimated)
      assert.isAbove(spent.outputTokens, 20)
      assert.strictEqual((yield* chat.usage).totalTokens, 0)
    }).pipe(withScript([answer("b", { usage: usage(3, 4) }), tokens([words(20)], { ending: never })])))
})

describe("The cost of a usage", () => {
  const used = { ...ChatResponse.emptyUsage, inputTokens: 1_000_000, outputTokens: 500_000, totalTokens: 1_500_000 }

  it("is computed from input and output with prices per million tokens", () => {
    assert.strictEqual(ChatResponse.cost(used, { input: 2, output: 8 }), 6)
    assert.strictEqual(ChatResponse.cost(ChatResponse.emptyUsage, { input: 2, output: 8 }), 0)
  })

  it("uses a separate price for cached input", () => {
    const cached = { ...used, cachedTokens: 750_000 }
    assert.strictEqual(ChatResponse.cost(cached, { input: 2, output: 8, cached: 0.5 }), 0.5 + 0.375 + 4)
    assert.strictEqual(ChatResponse.cost(cached, { input: 2, output: 8, cached: 0 }), 4.5)
    assert.strictEqual(ChatResponse.cost(cached, { input: 2, output: 8 }), 6)
    assert.strictEqual(ChatResponse.cost({ ...used, cachedTokens: 9e9 }, { input: 2, output: 8, cached: 1 }), 5)
  })

  it("includes reasoning once, whether or not the server counts it as output", () => {
    const within = { ...used, reasoningTokens: 100_000 }
    const beside = { ...used, outputTokens: 400_000, reasoningTokens: 100_000 }
    assert.strictEqual(ChatResponse.cost(within, { input: 2, output: 8 }), 6)
    assert.strictEqual(ChatResponse.cost(beside, { input: 2, output: 8 }), 6)
  })
})
