import { assert, describe, it } from "@effect/vitest"
import { Chunk, Effect, Fiber, Option, Schema, Stream, TestClock } from "effect"
import { LLMChat, Turn } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, held, nothing, options, requests, transcript, withScript } from "../support/chats.ts"

const slowly = echo({ delay: "1 second" })

const make = (more?: Parameters<typeof options>[0]) => LLMChat.make(options({ systemPrompt: "", ...more }))

describe("A turn with an id of the program's", () => {
  it.effect("has this id in its response and in the history", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const first = yield* chat.chat("a", { turnId: "m1" })
      const again = yield* chat.chat(Turn.regenerate("m1"))

      assert.strictEqual(first.turnId, "m1")
      assert.strictEqual(again.text, "re a")
    }).pipe(withScript(echo())))

  it.effect("gives its stored answer again, without a request", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const first = yield* chat.chat("a", { turnId: "m1" })
      yield* chat.chat("b")

      const again = yield* chat.chat("a", { turnId: "m1" })
      const text = yield* Stream.mkString(chat.chatStream("a", { turnId: "m1" }))

      assert.strictEqual(again.text, first.text)
      assert.strictEqual(again.turnId, "m1")
      assert.deepStrictEqual(again.usage, first.usage)
      assert.strictEqual(text, "re a")
      assert.lengthOf(yield* requests, 2)
    }).pipe(withScript(echo())))

  it.effect("gives its stored events again: Begin, its pieces and one Finish", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      yield* chat.chat("a", { turnId: "m1" })

      const events = yield* Stream.runCollect(chat.chatEvents("a", { turnId: "m1" }))

      assert.deepStrictEqual(Chunk.toReadonlyArray(events).map(({ _tag }) => _tag), ["Begin", "TextDelta", "Finish"])
    }).pipe(withScript(echo())))

  it.effect("gives its stored value again", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const schema = Schema.Struct({ city: Schema.String })

      const first = yield* chat.chatObject("where?", schema, { turnId: "m1" })
      const again = yield* chat.chatObject("where?", schema, { turnId: "m1" })

      assert.deepStrictEqual([first, again], [{ city: "Oslo" }, { city: "Oslo" }])
      assert.lengthOf(yield* requests, 1)
    }).pipe(withScript([answer("{\"city\":\"Oslo\"}")])))

  it.effect("does not wait for the turn that runs if it is stored", () =>
    Effect.gen(function*() {
      const chat = yield* make({ turnPolicy: "reject" })
      yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("10 seconds")
      const second = yield* Effect.fork(chat.chatStream("b").pipe(Stream.runDrain))
      yield* TestClock.adjust("500 millis")

      assert.strictEqual((yield* chat.chat("a", { turnId: "m1" })).text, "re a")
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(second)
    }).pipe(withScript(slowly)))

  it.effect("is joined while it runs: both callers have all of it, for one request", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const read = Stream.mkString(chat.chatStream("a b c", { turnId: "m1" }))

      const first = yield* Effect.fork(read)
      yield* TestClock.adjust("2 seconds")
      const second = yield* Effect.fork(read)
      yield* TestClock.adjust("10 seconds")

      assert.deepStrictEqual([yield* Fiber.join(first), yield* Fiber.join(second)], ["re a b c", "re a b c"])
      assert.lengthOf(yield* requests, 1)
      assert.deepStrictEqual(yield* transcript(chat), ["user: a b c", "assistant: re a b c"])
    }).pipe(withScript(slowly)))

  it.effect("goes on while one of its callers stays, and ends with the last one", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "keep" })
      const read = Stream.runDrain(chat.chatStream("a b c", { turnId: "m1" }))
      const first = yield* Effect.fork(read)
      const second = yield* Effect.fork(read)
      yield* TestClock.adjust("1500 millis")

      yield* Fiber.interrupt(first)
      const afterFirst = (yield* held).open
      yield* Fiber.interrupt(second)

      assert.strictEqual(afterFirst, 1)
      assert.deepStrictEqual(yield* held, nothing)
      assert.deepStrictEqual(yield* transcript(chat), ["user: a b c", "assistant: re  [interrupted]"])
    }).pipe(withScript(slowly)))

  it.effect("is asked again after it was interrupted, in its place", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "keep" })
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(first)
      const before = yield* transcript(chat)

      const again = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(again)

      assert.deepStrictEqual(before, ["user: a", "assistant:  [interrupted]"])
      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant: re a"])
    }).pipe(withScript((request) => ScriptedHttpClient.delayed("1 second", echo()(request)))))

  it.effect("moves to the end when it is asked again after other turns, which stay", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "keep" })
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust(0)
      yield* Fiber.interrupt(first)
      for (const [prompt, turnId] of [["b", "m2"], ["a", "m1"]] as const) {
        const turn = yield* Effect.fork(chat.chat(prompt, { turnId }))
        yield* TestClock.adjust("10 seconds")
        yield* Fiber.join(turn)
      }

      assert.deepStrictEqual(yield* transcript(chat), ["user: b", "assistant: re a\n\nb", "user: a", "assistant: re a"])
      assert.strictEqual((yield* chat.chat("b", { turnId: "m2" })).text, "re a\n\nb")
      assert.strictEqual(yield* chat.rewind(), 1)
      assert.deepStrictEqual(yield* transcript(chat), ["user: b", "assistant: re a\n\nb"])
    }).pipe(withScript((request) => ScriptedHttpClient.delayed("1 second", echo()(request)))))

  it.effect("is asked again after it failed", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onFailure: "keep" })

      const error = yield* Effect.flip(chat.chat("a", { turnId: "m1" }))
      const again = yield* chat.chat("a", { turnId: "m1" })

      assert.strictEqual(error._tag, "ServerError")
      assert.strictEqual(again.text, "yes")
      assert.deepStrictEqual(yield* transcript(chat), ["user: a", "assistant: yes"])
    }).pipe(withScript([ScriptedHttpClient.text("no", { status: 500 }), answer("yes")])))

  it.effect("is refused with another prompt, whether it is stored or runs", () =>
    Effect.gen(function*() {
      const chat = yield* make()
      const first = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust(0)

      const running = yield* Effect.flip(chat.chat("b", { turnId: "m1" }))
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(first)
      const stored = yield* Effect.flip(Stream.runDrain(chat.chatStream("b", { turnId: "m1" })))

      for (const error of [running, stored]) {
        assert.strictEqual(error._tag, "InvalidRequestError")
        assert.include(error.message, "\"m1\" has another prompt")
      }
    }).pipe(withScript(slowly)))

  it.effect("is refused with an empty id, and with a blank prompt", () =>
    Effect.gen(function*() {
      const chat = yield* make()

      const empty = yield* Effect.flip(chat.chat("a", { turnId: "" }))
      const blank = yield* Effect.flip(chat.chat(" ", { turnId: "m1" }))

      assert.strictEqual(empty.message, "turnId: must not be empty")
      assert.include(blank.message, "blank")
    }).pipe(withScript(echo())))

  it.effect("ends for all callers when it is stopped", () =>
    Effect.gen(function*() {
      const chat = yield* make({ onInterrupt: "keep" })
      const reader = yield* Effect.fork(Stream.runLast(chat.chatEvents("a", { turnId: "m1" })))
      yield* TestClock.adjust(0)
      const caller = yield* Effect.fork(chat.chat("a", { turnId: "m1" }))
      yield* TestClock.adjust("500 millis")
      yield* chat.stop
      const last = yield* Fiber.join(reader)
      const response = yield* Fiber.join(caller)

      assert.strictEqual(response.finishReason, "interrupted")
      assert.strictEqual(Option.getOrThrow(last)._tag, "Finish")
    }).pipe(withScript(slowly)))
})
