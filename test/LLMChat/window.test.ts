/**
 * The messages that the turns of a conversation with a window send.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer, Option, Stream, TestClock } from "effect"
import { ChatError, ChatManager, type ChatMessage, HistoryStore, HistoryWindow, LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, options, requests, sent, streams, transcript, usage, withScript } from "../support/chats.ts"

/** Answers that repeat the last message. Requests with more than `most` messages exceed the context. */
const short = (most: number) => (request: ScriptedHttpClient.CapturedRequest): ScriptedHttpClient.ScriptedResponse =>
  sent(request).length > most
    ? ScriptedHttpClient.json({
      error: { message: "This model's maximum context length is 10 tokens", code: "context_length_exceeded" }
    }, { status: 400 })
    : echo()(request)

/** Numbered summaries, and answers that repeat the last message. */
const summarizing: ScriptedHttpClient.Script = (request, index) =>
  sent(request).at(-1) === `user: ${instruction}` && !streams(request)
    ? answer(`summary at ${index}`, { usage: usage(100, 10) })
    : echo()(request)

const instruction = "Sum up."

const summarize = HistoryWindow.summarize({ when: { turns: 2 }, keep: 1, instruction })

/** The tokens of the turns in a history. */
const ofTurns = (messages: ReadonlyArray<ChatMessage.ChatMessage>): number =>
  messages.reduce((sum, message) => sum + (message.role === "assistant" ? message.usage?.totalTokens ?? 0 : 0), 0)

/** The methods that run a turn. */
const ways: ReadonlyArray<
  readonly [string, (chat: LLMChat.Service, prompt: string) => Effect.Effect<string, ChatError.ChatError>]
> = [
  ["chat", (chat, prompt) => Effect.map(chat.chat(prompt), ({ text }) => text)],
  ["chatStream", (chat, prompt) => Stream.mkString(chat.chatStream(prompt))]
]

describe.each(ways)("A conversation with a window, by %s", (_, say) => {
  it.effect("sends the messages that the window selects, and stores all messages", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: HistoryWindow.lastTurns(1) })
      for (const prompt of ["one", "two", "three"]) yield* say(chat, prompt)

      assert.deepStrictEqual(sent((yield* requests).at(-1)), [
        "system: S",
        "user: two",
        "assistant: re two",
        "user: three"
      ])
      assert.lengthOf(yield* chat.history, 7)
    }).pipe(withScript(echo())))

  it.effect("retries with the smaller window if the server reports that the context is too long", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.withShrink(HistoryWindow.all, HistoryWindow.lastTurns(1))
      const chat = yield* LLMChat.make(options(), { window })
      for (const prompt of ["one", "two"]) yield* say(chat, prompt)

      assert.strictEqual(yield* say(chat, "three"), "re three")

      assert.deepStrictEqual((yield* requests).map((request) => sent(request).length), [2, 4, 6, 4])
      assert.deepStrictEqual((yield* transcript(chat)).slice(-2), ["user: three", "assistant: re three"])
    }).pipe(withScript(short(4))))

  it.effect("fails and keeps the history if the smaller window is also too large", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.withShrink(HistoryWindow.all, HistoryWindow.lastTurns(1))
      const chat = yield* LLMChat.make(options(), { window })
      yield* say(chat, "one")

      const error = yield* Effect.flip(say(chat, "two"))

      assert.strictEqual(error._tag, "ContextLengthError")
      assert.lengthOf(yield* requests, 2, "the smaller window sends the same")
      assert.lengthOf(yield* chat.history, 3)
    }).pipe(withScript(short(3))))

  it.effect("halves the history until the server accepts it", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: HistoryWindow.withShrink(HistoryWindow.all) })
      for (let turn = 0; turn < 9; turn++) yield* say(chat, `turn ${turn}`)

      assert.strictEqual(yield* say(chat, "long"), "re long")

      assert.deepStrictEqual((yield* requests).slice(9).map((request) => sent(request).length), [20, 10, 6, 4])
      assert.lengthOf(yield* chat.history, 21)
    }).pipe(withScript((request) => sent(request).at(-1) === "user: long" ? short(5)(request) : echo()(request))))

  it.effect("fails if the new message alone is too long", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: HistoryWindow.withShrink(HistoryWindow.all) })
      for (let turn = 0; turn < 3; turn++) yield* say(chat, `turn ${turn}`)

      const error = yield* Effect.flip(say(chat, "long"))

      assert.strictEqual(error._tag, "ContextLengthError")
      assert.deepStrictEqual((yield* requests).slice(3).map((request) => sent(request).length), [8, 4, 2])
      assert.lengthOf(yield* chat.history, 7)
    }).pipe(withScript((request) => sent(request).at(-1) === "user: long" ? short(1)(request) : echo()(request))))

  it.effect("fails immediately if there is no smaller window", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* say(chat, "one")

      assert.strictEqual((yield* Effect.flip(say(chat, "two")))._tag, "ContextLengthError")
      assert.lengthOf(yield* requests, 2)
    }).pipe(withScript(short(3))))

  it.effect("summarizes the oldest turns with the model, once, and continues", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: summarize })
      for (const prompt of ["one", "two", "three", "four", "five"]) yield* say(chat, prompt)

      const all = yield* requests
      assert.lengthOf(all, 6)
      assert.deepStrictEqual(sent(all[3]), [
        "system: S",
        "user: one",
        "assistant: re one",
        "user: two",
        "assistant: re two",
        `user: ${instruction}`
      ])
      assert.deepStrictEqual(sent(all[5]), [
        "system: S",
        "user: Summarize our conversation so far.",
        "assistant: summary at 3",
        "user: three",
        "assistant: re three",
        "user: four",
        "assistant: re four",
        "user: five"
      ])
      assert.lengthOf(yield* chat.history, 11)
      assert.strictEqual((yield* chat.usage).totalTokens - ofTurns(yield* chat.history), 110)
    }).pipe(withScript(summarizing)))

  it.effect("does not summarize a history that was cleared", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: summarize })
      for (const prompt of ["one", "two", "three", "four"]) yield* say(chat, prompt)
      yield* chat.clearHistory
      for (const prompt of ["a", "b", "c"]) yield* say(chat, prompt)

      assert.deepStrictEqual(sent((yield* requests).at(-1)), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b",
        "user: c"
      ])
    }).pipe(withScript(summarizing)))

  it.effect("continues with the unchanged history if the summary fails", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: summarize })
      for (const prompt of ["one", "two", "three"]) yield* say(chat, prompt)

      assert.strictEqual(yield* say(chat, "four"), "re four")

      assert.lengthOf(sent((yield* requests).at(-1)), 8)
      assert.lengthOf(yield* chat.history, 9)
    }).pipe(
      withScript((request) =>
        sent(request).at(-1) === `user: ${instruction}`
          ? ScriptedHttpClient.json({ error: { message: "broken" } }, { status: 500 })
          : echo()(request)
      )
    ))
})

describe("A summary", () => {
  const config = LLMConfig.make(options())

  it.effect("is counted in the usage of its conversation, and estimated if the server sends no usage", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config, { window: summarize })
      for (const prompt of ["one", "two"]) yield* chat.chat(prompt)
      assert.strictEqual((yield* chat.usage).totalTokens, ofTurns(yield* chat.history))
      for (const prompt of ["three", "four"]) yield* chat.chat(prompt)

      const spent = yield* chat.usage
      assert.isTrue(spent.estimated)
      assert.isAbove(spent.totalTokens, ofTurns(yield* chat.history) + 10)
    }).pipe(withScript(echo())))

  it.scoped("is stored immediately, and available after an eviction and to another program", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const manager = yield* ChatManager.make({ config, window: summarize, timeout: "1 minute" })
      const chat = yield* manager.getChat("ada")
      for (const prompt of ["one", "two", "three"]) yield* chat.chat(prompt)
      yield* Effect.flip(chat.chat("break"))

      const stored = Option.getOrUndefined(yield* store.load("ada"))
      assert.deepInclude(stored, { version: 4, summary: { text: "summary at 3", replaces: 4 } })
      assert.strictEqual((stored?.usage.totalTokens ?? 0) - ofTurns(stored?.messages ?? []), 110)
      assert.strictEqual((yield* manager.usage).totalTokens, stored?.usage.totalTokens)

      yield* TestClock.adjust("2 minutes")
      assert.isFalse(yield* manager.has("ada"))
      yield* chat.chat("four")
      const other = yield* ChatManager.make({ config, window: summarize })
      yield* Effect.flatMap(other.getChat("ada"), (chat) => chat.chat("five"))
      for (const request of (yield* requests).slice(-2)) {
        assert.strictEqual(sent(request)[2], "assistant: summary at 3")
      }
    }).pipe(
      Effect.provide(
        Layer.merge(
          HistoryStore.layerMemory,
          ScriptedHttpClient.layer((request, index) =>
            sent(request).at(-1) === "user: break"
              ? ScriptedHttpClient.json({ error: { message: "broken" } }, { status: 500 })
              : summarizing(request, index)
          )
        )
      )
    ))

  it.scoped("is discarded after a turn of another program, and the turn continues", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const overtaken: HistoryStore.Service = {
        ...store,
        setSummary: (target) =>
          Effect.fail(
            new ChatError.ConflictError({
              message: "Another program was first",
              conversationId: target.id,
              expectedVersion: target.expectedVersion,
              actualVersion: target.expectedVersion + 1
            })
          )
      }
      const manager = yield* Effect.provideService(
        ChatManager.make({ config, window: summarize }),
        HistoryStore.HistoryStore,
        overtaken
      )
      const chat = yield* manager.getChat("ada")
      for (const prompt of ["one", "two", "three"]) yield* chat.chat(prompt)

      assert.strictEqual((yield* chat.chat("four")).text, "re four")

      assert.lengthOf(sent((yield* requests).at(-1)), 8)
      assert.lengthOf(yield* chat.history, 9)
    }).pipe(Effect.provide(Layer.merge(HistoryStore.layerMemory, ScriptedHttpClient.layer(summarizing)))))

  it.effect("ends when its turn is stopped, and is not stored", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options(), { window: summarize })
      for (const prompt of ["one", "two", "three"]) yield* chat.chat(prompt)
      const turn = yield* Effect.fork(chat.chat("four"))
      yield* TestClock.adjust("1 second")
      yield* chat.stop

      assert.strictEqual((yield* turn.await.pipe(Effect.flatten)).finishReason, "interrupted")
      assert.lengthOf(yield* chat.history, 9)
      const { pendingRequests } = yield* ScriptedHttpClient.ScriptedHttpClient
      assert.strictEqual(yield* pendingRequests, 0)
    }).pipe(
      withScript((request) =>
        sent(request).at(-1) === `user: ${instruction}`
          ? ScriptedHttpClient.delayed("1 hour", answer("late"))
          : echo()(request)
      )
    ))
})
