/**
 * Changes of a history: regenerate, replace, rewind and append, and prompts with context.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream, TestClock } from "effect"
import { ChatManager, ChatMessage, HistoryStore, LLMChat, Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, held, nothing, options, requests, sent, transcript, withScript } from "../support/chats.ts"

/** Answers with increasing numbers. */
const numbered = (): ScriptedHttpClient.Script => {
  let number = 0
  return () => answer(`answer ${++number}`)
}

const kinds = {
  "in memory": LLMChat.make(options()),
  "with a store": Effect.flatMap(ChatManager.make({ config: options() }), (manager) => manager.getChat("ada")).pipe(
    Effect.provide(HistoryStore.layerMemory)
  )
}

describe.each(Object.entries(kinds))("a conversation %s", (_, make) => {
  it.scoped("regenerates its last turn with the history before it", () =>
    Effect.gen(function*() {
      const chat = yield* make
      yield* chat.chat("a")
      yield* chat.chat("b")

      const response = yield* chat.regenerate({ temperature: 1 })

      assert.strictEqual(response.text, "answer 3")
      assert.deepStrictEqual(sent((yield* requests)[2]), ["system: S", "user: a", "assistant: answer 1", "user: b"])
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: answer 1",
        "user: b",
        "assistant: answer 3"
      ])
    }).pipe(withScript(numbered())))

  it.scoped("replaces a prompt, and removes the turns after it", () =>
    Effect.gen(function*() {
      const chat = yield* make
      const first = yield* chat.chat("a")
      yield* chat.chat("b")

      yield* Stream.runDrain(chat.chatStream(Turn.replace(first.turnId ?? "", "c")))

      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: c", "assistant: re c"])
      assert.strictEqual((yield* chat.chat("d")).text, "re d")
    }).pipe(withScript(echo())))

  it.scoped("keeps the old turns until the new one is complete", () =>
    Effect.gen(function*() {
      const chat = yield* make
      yield* chat.chat("a")
      const before = yield* transcript(chat)

      assert.strictEqual((yield* Effect.flip(chat.regenerate())).status, 400)
      assert.deepStrictEqual(yield* transcript(chat), before)
      const turn = yield* Effect.fork(chat.regenerate())
      yield* TestClock.adjust("1 second")
      yield* chat.stop
      yield* Fiber.join(turn)

      assert.deepStrictEqual(yield* transcript(chat), before)
    }).pipe(withScript([
      answer("one"),
      ScriptedHttpClient.json({ error: { message: "no" } }, { status: 400 }),
      ScriptedHttpClient.delayed("1 hour", answer("late"))
    ])))

  it.scoped("fails to regenerate a turn that does not exist", () =>
    Effect.gen(function*() {
      const chat = yield* make
      for (const input of [Turn.regenerate(), Turn.regenerate("turn_x"), Turn.replace("turn_x", "a")]) {
        assert.strictEqual((yield* Effect.flip(chat.chat(input)))._tag, "InvalidRequestError")
      }
      assert.strictEqual((yield* chat.chat("a")).text, "re a")
    }).pipe(withScript(echo())))

  it.scoped("refuses a number of turns to rewind that is not an integer of 0 or more", () =>
    Effect.gen(function*() {
      const chat = yield* make
      yield* chat.chat("one")
      for (const turns of [NaN, -1, 0.5]) {
        const error = yield* Effect.flip(chat.rewind(turns))
        assert.deepInclude(error, { _tag: "InvalidRequestError" })
        assert.match(error.message, /^turns: Expected an integer of 0 or more, or Infinity, actual /)
      }
      assert.lengthOf(yield* transcript(chat), 3)
      assert.strictEqual(yield* chat.rewind(0), 0)
      assert.strictEqual(yield* chat.rewind(Infinity), 1)
    }).pipe(withScript(echo())))

  it.scoped("removes its last turns with rewind", () =>
    Effect.gen(function*() {
      const chat = yield* make
      for (const prompt of ["a", "b", "c"]) yield* chat.chat(prompt)

      assert.strictEqual(yield* chat.rewind(), 1)
      assert.deepStrictEqual((yield* transcript(chat)).slice(1), [
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b"
      ])
      assert.strictEqual(yield* chat.rewind(5), 2)
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
      assert.strictEqual(yield* chat.rewind(), 0)
      assert.strictEqual((yield* chat.chat("d")).text, "re d")
    }).pipe(withScript(echo())))

  it.scoped("removes no turn while another turn is running", () =>
    Effect.gen(function*() {
      const chat = yield* make
      const turn = yield* Effect.fork(chat.chat("a"))
      yield* TestClock.adjust("1 second")
      const rewound = yield* Effect.fork(chat.rewind())
      yield* TestClock.adjust("1 minute")
      yield* Fiber.join(turn)
      assert.strictEqual(yield* Fiber.join(rewound), 1)
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
    }).pipe(withScript([ScriptedHttpClient.delayed("10 seconds", answer("one"))])))

  it.scoped("contains appended messages", () =>
    Effect.gen(function*() {
      const chat = yield* make
      yield* chat.append([ChatMessage.assistant("Good morning!")])
      yield* chat.chat("hi")
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "assistant: Good morning!",
        "user: hi",
        "assistant: re hi"
      ])
      assert.strictEqual((yield* Effect.flip(chat.append([])))._tag, "InvalidRequestError")
    }).pipe(withScript(echo())))

  it.scoped("sends the context of a turn before its prompt, and does not store it", () =>
    Effect.gen(function*() {
      const chat = yield* make
      yield* chat.chat("What do they say?", { context: [ChatMessage.text("DOCUMENTS")] })
      yield* chat.chat("Thanks.")
      const [first, second] = yield* requests
      assert.include(first?.text, "DOCUMENTS")
      assert.notInclude(second?.text, "DOCUMENTS")
      assert.notInclude((yield* transcript(chat)).join(), "DOCUMENTS")
    }).pipe(withScript(echo())))
})

describe("a conversation that is loaded from its store", () => {
  it.scoped("can regenerate, replace and remove its turns", () =>
    Effect.gen(function*() {
      const manager = yield* ChatManager.make({ config: options(), capacity: 1 })
      const chat = yield* manager.getChat("ada")
      const leaveMemory = Effect.flatMap(manager.getChat("bob"), (other) => other.chat("x"))
      const first = yield* chat.chat("a")
      yield* chat.chat("b")
      yield* leaveMemory
      yield* chat.chat("c")
      yield* chat.regenerate()
      yield* leaveMemory

      assert.deepStrictEqual((yield* transcript(chat)).filter((line) => line.startsWith("user")), [
        "user: a",
        "user: b",
        "user: c"
      ])
      assert.strictEqual(yield* chat.rewind(), 1)
      yield* leaveMemory
      yield* chat.chat(Turn.replace(first.turnId ?? "", "d"))
      yield* leaveMemory
      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: d", "assistant: re d"])
    }).pipe(withScript(echo()), Effect.provide(HistoryStore.layerMemory)))
})

describe("a blank prompt", () => {
  it.effect("is refused without a request", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const blank: ReadonlyArray<ChatMessage.Prompt> = ["", " \n", [], [ChatMessage.text(" ")], ChatMessage.user("")]
      for (const prompt of blank) {
        const errors = yield* Effect.all([
          Effect.flip(chat.chat(prompt)),
          Effect.flip(chat.ask(prompt)),
          Effect.flip(Stream.runDrain(chat.chatStream(prompt))),
          Effect.flip(Stream.runDrain(chat.askStream(prompt)))
        ])
        for (const error of errors) assert.strictEqual(error._tag, "InvalidRequestError")
      }
      assert.lengthOf(yield* requests, 0)
      assert.lengthOf(yield* chat.history, 1)
    }).pipe(withScript([])))

  it.effect("is not an empty tool result", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.chat(ChatMessage.toolResult("c", ""))
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual((yield* chat.history).map(({ role }) => role), ["system", "tool", "assistant"])
    }).pipe(withScript(echo())))
})

describe("onFailure", () => {
  const broken = ScriptedHttpClient.tokens(["Half ", "of it"], { ending: ScriptedHttpClient.reset() })

  it.effect("keeps the prompt and the partial answer if it is keep", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ onFailure: "keep" }))
      const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("a")))
      assert.strictEqual(error._tag, "TransportError")
      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: a", "assistant: Half of it"])
      const [, , last] = yield* chat.history
      assert.strictEqual(last?.role === "assistant" ? last.finishReason : "", "error")
    }).pipe(withScript([broken])))

  it.effect("keeps the prompt of a turn that the server refuses if it is keep", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ onFailure: "keep" }))
      yield* Effect.flip(chat.chat("a"))
      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: a", "assistant: "])
    }).pipe(withScript([ScriptedHttpClient.json({ error: { message: "no" } }, { status: 401 })])))

  it.effect("keeps nothing by default", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* Effect.flip(Stream.runDrain(chat.chatStream("a")))
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
    }).pipe(withScript([broken])))
})

describe("a burst of messages", () => {
  it.effect("is answered once if newer turns replace older ones", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ turnPolicy: "replace" }))
      const turns = yield* Effect.forEach(["I am Ada.", "I live in London.", "Where do I live?"], (prompt) =>
        Effect.zipLeft(Effect.fork(Effect.either(chat.chat(prompt))), TestClock.adjust("1 second")))
      yield* TestClock.adjust("1 minute")
      yield* Effect.forEach(turns, Fiber.join)
      assert.deepStrictEqual(sent((yield* requests).at(-1)), [
        "system: S",
        "user: I am Ada.\n\nI live in London.\n\nWhere do I live?"
      ])
    }).pipe(withScript(() =>
      ScriptedHttpClient.delayed("10 seconds", answer("London"))
    )))
})

describe("stopAll", () => {
  it.effect("ends the running turn and the waiting turns, and later turns can run", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const turns = yield* Effect.forEach(["a", "b", "c"], (prompt) => Effect.fork(chat.chat(prompt)))
      yield* TestClock.adjust("1 second")

      yield* chat.stopAll

      for (const turn of turns) assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual(yield* held, nothing)
      const questions = (yield* chat.history).filter(({ role }) => role === "user").map(({ content }) => content)
      assert.deepStrictEqual(questions, ["a", "b", "c"])
      assert.include((yield* chat.chat("d")).text, "d")
    }).pipe(
      withScript((request) =>
        sent(request).at(-1)?.endsWith("d") === true
          ? echo()(request)
          : ScriptedHttpClient.delayed("1 hour", answer("x"))
      )
    ))
})

describe("a turn with only reasoning in its answer", () => {
  it.effect("stores its prompt, its reasoning and its finish reason", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.chat("a")
      const [, user, assistant] = yield* chat.history
      assert.strictEqual(user?.content, "a")
      assert.deepInclude(assistant ?? {}, { content: "", reasoning: "I think", finishReason: "length" })
      yield* chat.chat("b")
      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: S", "user: a\n\nb"])
    }).pipe(
      Effect.provide(Layer.empty),
      withScript([
        ScriptedHttpClient.json({
          choices: [{ index: 0, message: { content: "", reasoning_content: "I think" }, finish_reason: "length" }]
        }),
        answer("re b")
      ])
    ))
})
