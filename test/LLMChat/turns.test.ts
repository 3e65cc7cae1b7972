import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream, TestClock } from "effect"
import { LLMChat, type LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, held, nothing, options, requests, sent, transcript, withScript } from "../support/chats.ts"

const { delayed, tokens } = ScriptedHttpClient

const make = (turnPolicy: LLMConfig.LLMConfig["turnPolicy"]) => LLMChat.make(options({ turnPolicy }))

/** Answers that take ten seconds. */
const slowly: ScriptedHttpClient.Script = (request) => delayed("10 seconds", echo()(request))

/** Forks effects one after another. Each runs until it waits. */
const forkInOrder = <A, E>(...effects: ReadonlyArray<Effect.Effect<A, E>>) =>
  Effect.forEach(effects, (effect) => Effect.zipLeft(Effect.fork(effect), TestClock.adjust(0)))

const assertNothingHeld = Effect.map(held, (now) => assert.deepStrictEqual(now, nothing))

describe("turns with the policy queue", () => {
  it.effect("run in the order of the calls, and each sends the turns before it", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      const turns = yield* forkInOrder(chat.chat("a"), chat.chat("b"), chat.chat("c"))
      yield* TestClock.adjust("10 seconds")
      const afterOne = yield* transcript(chat)
      yield* TestClock.adjust("20 seconds")
      const answers = yield* Effect.forEach(turns, Fiber.join)

      assert.deepStrictEqual(answers.map((response) => response.text), ["re a", "re b", "re c"])
      assert.deepStrictEqual(afterOne, ["system: S", "user: a", "assistant: re a"])
      assert.deepStrictEqual((yield* requests).map((request) => request.at), [0, 10_000, 20_000])
      assert.deepStrictEqual(sent((yield* requests)[2]), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b",
        "user: c"
      ])
    }).pipe(withScript(slowly)))

  it.effect("continue after a failed turn, which is not in the history", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      yield* forkInOrder(Effect.either(chat.chat("a")), Effect.either(chat.chat("b")))
      yield* TestClock.adjust("1 minute")

      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: b", "assistant: fine"])
    }).pipe(withScript([delayed("1 second", ScriptedHttpClient.json({}, { status: 400 })), answer("fine")])))

  it.effect("leave the queue when they are interrupted while they wait", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      const [, second, third] = yield* forkInOrder(chat.chat("a"), chat.chat("b"), chat.chat("c"))
      if (second !== undefined) yield* Fiber.interrupt(second)
      yield* TestClock.adjust("20 seconds")

      assert.strictEqual(third === undefined ? "" : (yield* Fiber.join(third)).text, "re c")
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: c",
        "assistant: re c"
      ])
    }).pipe(withScript(slowly)))

  it.effect("begin immediately when the running turn is interrupted", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      const [first, second] = yield* forkInOrder(chat.chat("a"), chat.chat("b"))
      yield* TestClock.adjust("2 seconds")
      if (first !== undefined) yield* Fiber.interrupt(first)
      yield* TestClock.adjust("10 seconds")

      assert.strictEqual(second === undefined ? "" : (yield* Fiber.join(second)).text, "re a\n\nb")
      assert.deepStrictEqual((yield* requests).map((request) => request.at), [0, 2000])
      yield* assertNothingHeld
    }).pipe(withScript(slowly)))

  it.effect("continue when a turn is interrupted at the moment it acquires the lock", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      const [, second, third] = yield* forkInOrder(chat.chat("a"), chat.chat("b"), chat.chat("c"))
      yield* chat.stop
      if (second !== undefined) yield* Fiber.interruptFork(second)
      yield* TestClock.adjust("1 minute")

      assert.strictEqual(third === undefined ? "" : (yield* Fiber.join(third)).text, "re a\n\nb\n\nc")
    }).pipe(withScript(slowly)))

  it.effect("can race, and the history keeps the prompt of the loser", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      const race = yield* Effect.fork(Effect.race(chat.chat("a"), chat.chat("b")))
      yield* TestClock.adjust("1 minute")

      assert.strictEqual((yield* Fiber.join(race)).text, "re a")
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant:  [interrupted]"
      ])
      yield* chat.chat("c").pipe(
        Effect.fork,
        Effect.zipLeft(TestClock.adjust("10 seconds")),
        Effect.flatMap(Fiber.join)
      )
      yield* assertNothingHeld
    }).pipe(withScript(slowly)))

  it.effect("are all stored, even a hundred of them", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      yield* Effect.forEach(Array.from({ length: 100 }, (_, n) => n), (n) => chat.chat(`${n}`), {
        concurrency: "unbounded"
      })

      const said = (yield* chat.history).filter((message) => message.role === "user").map(({ content }) => content)
      assert.deepStrictEqual(said, Array.from({ length: 100 }, (_, n) => `${n}`))
    }).pipe(withScript(() => answer("ok"))))
})

describe("a turn with the policy reject", () => {
  it.effect("fails with BusyError while another turn is running, and sends nothing", () =>
    Effect.gen(function*() {
      const chat = yield* make("reject")

      const [first] = yield* forkInOrder(chat.chat("a"))
      const whole = yield* Effect.flip(chat.chat("b"))
      const streamed = yield* Effect.flip(Stream.runDrain(chat.chatStream("c")))
      yield* TestClock.adjust("10 seconds")

      assert.strictEqual(whole._tag, "BusyError")
      assert.strictEqual(streamed._tag, "BusyError")
      assert.isTrue(whole.isRetryable)
      assert.strictEqual(first === undefined ? "" : (yield* Fiber.join(first)).text, "re a")
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: a", "assistant: re a"])
    }).pipe(withScript(slowly)))

  it.effect("runs after the other turn", () =>
    Effect.gen(function*() {
      const chat = yield* make("reject")

      yield* chat.chat("a")
      yield* chat.chat("b")

      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b"
      ])
    }).pipe(withScript(echo())))
})

describe("a turn with the policy replace", () => {
  const words = { delay: "1 second" } as const

  it.effect("stops the running turn, which keeps its emitted text, and runs", () =>
    Effect.gen(function*() {
      const chat = yield* make("replace")

      const [first] = yield* forkInOrder(Stream.runCollect(chat.chatEvents("a b c")))
      yield* TestClock.adjust("2 seconds")
      yield* forkInOrder(Stream.runDrain(chat.chatStream("d")))
      yield* TestClock.adjust("10 seconds")

      const last = first === undefined ? undefined : Array.from(yield* Fiber.join(first)).at(-1)
      assert.strictEqual(last?._tag === "Finish" ? last.reason : "", "interrupted")
      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: S", "user: a b c", "assistant: re a ", "user: d"])
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a b c",
        "assistant: re a  [interrupted]",
        "user: d",
        "assistant: re d"
      ])
      yield* assertNothingHeld
    }).pipe(withScript(echo(words))))

  it.effect("replaces all earlier turns, whenever they began", () =>
    Effect.gen(function*() {
      const chat = yield* make("replace")

      const turns = yield* Effect.forEach(["a", "b", "c", "d", "e"], (prompt) =>
        Effect.fork(Effect.either(chat.chat(prompt))))
      yield* TestClock.adjust("1 minute")
      const results = yield* Effect.forEach(turns, Fiber.join)

      const reasons = results.map((result) =>
        result._tag === "Left" ? result.left._tag : result.right.finishReason
      )
      assert.strictEqual(reasons.at(-1), "stop")
      assert.isFalse(reasons.slice(0, -1).includes("stop"), reasons.join(", "))
      const said = yield* transcript(chat)
      assert.deepStrictEqual(said.filter((line) => line.startsWith("user")), "abcde".split("").map((p) => `user: ${p}`))
      assert.strictEqual(said.at(-1), "assistant: re a\n\nb\n\nc\n\nd\n\ne")
    }).pipe(withScript(slowly)))

  it.effect("can be interrupted while it stops the other turn, and the next turn runs", () =>
    Effect.gen(function*() {
      const chat = yield* make("replace")

      yield* forkInOrder(Effect.either(chat.chat("a")))
      const second = yield* Effect.fork(chat.chat("b"))
      yield* Effect.yieldNow()
      yield* Fiber.interrupt(second)
      const third = yield* Effect.fork(chat.chat("c"))
      yield* TestClock.adjust("1 minute")

      assert.strictEqual((yield* Fiber.join(third)).text, "re a\n\nb\n\nc")
      yield* assertNothingHeld
    }).pipe(withScript(slowly)))
})

describe("while a turn runs", () => {
  it.effect("clearHistory removes earlier turns, and the turn is not stored", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")
      yield* forkInOrder(chat.chat("a"))
      yield* TestClock.adjust("10 seconds")

      yield* forkInOrder(chat.chat("b"))
      yield* chat.clearHistory
      const cleared = yield* transcript(chat)
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual(cleared, ["system: S"])
      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
    }).pipe(withScript(slowly)))

  it.effect("updateSystemPrompt applies from the next request, and the running turn is added to the history", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      yield* forkInOrder(chat.chat("a"), chat.chat("b"))
      yield* chat.updateSystemPrompt("T")
      yield* TestClock.adjust("20 seconds")

      assert.deepStrictEqual((yield* requests).map((request) => sent(request)[0]), ["system: S", "system: T"])
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: T",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b"
      ])
    }).pipe(withScript(slowly)))

  it.effect("the history contains only complete turns", () =>
    Effect.gen(function*() {
      const chat = yield* make("queue")

      yield* forkInOrder(Stream.runDrain(chat.chatStream("a")))
      yield* TestClock.adjust("2 seconds")

      assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
    }).pipe(withScript([tokens(["one", "two", "three"], { delay: "1 second" })])))
})
