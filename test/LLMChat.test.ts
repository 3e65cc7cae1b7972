import { assert, describe, it } from "@effect/vitest"
import { Chunk, Duration, Effect, Fiber, Schedule, Stream, TestClock, type Tracer } from "effect"
import { type ChatEvent, ChatMessage, LLMChat, LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, echo, held, nothing, options, requests, sent, transcript, usage, withScript } from "./support/chats.ts"
import { path, spansOf } from "./support/spans.ts"

const { connectionError, delayed, json, never, reset, sse, tokens } = ScriptedHttpClient

/** A stream of three words, each after one second. */
const slow = (more?: ScriptedHttpClient.TokensOptions) =>
  tokens(["one ", "two ", "three"], { delay: "1 second", ...more })

const collect = <A, E>(stream: Stream.Stream<A, E>) => Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const tags = (events: ReadonlyArray<ChatEvent.ChatEvent>) => events.map((event) => event._tag)

/** Forks the effect, and advances the clock by the duration. */
const forkFor = <A, E, R>(effect: Effect.Effect<A, E, R>, duration: Duration.DurationInput) =>
  Effect.zipLeft(Effect.fork(effect), TestClock.adjust(duration))

const assertNothingHeld = Effect.map(held, (now) => assert.deepStrictEqual(now, nothing))

const only = ["system: S"]

describe("the history of a conversation", () => {
  it.effect("contains only the system message at first", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      assert.deepStrictEqual(yield* transcript(chat), only)
    }).pipe(withScript([])))

  it.effect("is empty if the system prompt is empty", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ systemPrompt: "" }))

      yield* chat.chat("hi")

      assert.deepStrictEqual(yield* transcript(chat), ["user: hi", "assistant: re hi"])
      assert.deepStrictEqual((yield* requests).map(sent), [["user: hi"]])
    }).pipe(withScript(echo())))

  it.effect("is returned as a copy, which later turns do not change", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const before = yield* chat.history

      yield* chat.chat("hi")

      assert.lengthOf(before, 1)
      assert.lengthOf(yield* chat.history, 3)
    }).pipe(withScript(echo())))

  it.effect("contains a turn after its complete answer, and the next turn sends it", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const first = yield* chat.chat("a")
      const second = yield* chat.chat("b")

      assert.strictEqual(first.text, "re a")
      assert.strictEqual(second.finishReason, "stop")
      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: b",
        "assistant: re b"
      ])
      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: S", "user: a", "assistant: re a", "user: b"])
      yield* assertNothingHeld
    }).pipe(withScript(echo())))

  it.effect("contains a turn after its streamed answer", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const told = yield* collect(chat.chatStream("a b"))

      assert.deepStrictEqual(told, ["re ", "a ", "b"])
      assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: a b", "assistant: re a b"])
      yield* assertNothingHeld
    }).pipe(withScript(echo())))

  it.effect("contains the model, the finish reason and the usage of an answer", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* Stream.runDrain(chat.chatStream("a"))

      const last = (yield* chat.history).at(-1)
      assert.deepInclude(last, { role: "assistant", content: "b", model: "scripted", finishReason: "length" })
      assert.deepInclude(last?.role === "assistant" ? last.usage : undefined, { inputTokens: 3, outputTokens: 4 })
    }).pipe(withScript([tokens(["b"], { finishReason: "length", usage: usage(3, 4) })])))

  for (
    const [what, response, tag] of [
      ["an HTTP error", json({ error: { message: "no" } }, { status: 400 }), "InvalidRequestError"],
      ["a refused connection", connectionError(), "TransportError"],
      ["a truncated stream", tokens(["one ", "two"], { ending: "truncated" }), "TruncatedError"],
      ["a reset in the middle of the body", tokens(["one ", "two"], { ending: reset() }), "TransportError"],
      [
        "an error event after the first token",
        sse([
          { choices: [{ index: 0, delta: { content: "one" } }] },
          { error: { message: "overloaded", code: 500 } }
        ]),
        "ServerError"
      ],
      ["an event that is not JSON", sse(["{"]), "MalformedResponseError"],
      ["silence", tokens(["one"], { ending: never }), "TimeoutError"],
      ["no answer at all", delayed(Duration.infinity, tokens([])), "TimeoutError"]
    ] as const
  ) {
    it.effect(`is unchanged after ${what}`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(options())
        yield* chat.chat("before")
        const history = yield* transcript(chat)

        const turn = yield* Effect.fork(Effect.flip(Stream.runDrain(chat.chatStream("a"))))
        yield* TestClock.adjust("10 minutes")
        const error = yield* Fiber.join(turn)

        assert.strictEqual(error._tag, tag)
        assert.deepStrictEqual(yield* transcript(chat), history)
        yield* assertNothingHeld
        yield* chat.chat("after")
        assert.lengthOf(yield* transcript(chat), 5)
      }).pipe(withScript((request, index) => index === 1 ? response : echo()(request))))
  }

  it.effect("is unchanged after a call without a stream fails", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const error = yield* Effect.flip(chat.chat("a"))

      assert.strictEqual(error._tag, "AuthenticationError")
      assert.deepStrictEqual(yield* transcript(chat), only)
    }).pipe(withScript([json({ error: { message: "no" } }, { status: 401 })])))

  it.effect("contains the prompt of a turn with a blank answer", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const whole = yield* chat.chat("a")
      const told = yield* collect(chat.chatEvents("a"))

      assert.strictEqual(whole.text, "")
      assert.deepStrictEqual(tags(told), ["Begin", "TextDelta", "Finish"])
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: ", "user: a", "assistant: "])
    }).pipe(withScript([answer(""), tokens([" \n"])])))

  it.effect("contains the tool calls of an answer, and the results in the prompt of the next turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const asked = yield* chat.chat("weather?")
      yield* chat.chat([ChatMessage.toolResult("call_1", "sunny")])

      assert.strictEqual(asked.finishReason, "tool-calls")
      assert.deepStrictEqual((yield* chat.history).map((message) => message.role), [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant"
      ])
    }).pipe(withScript([
      json({
        choices: [{
          index: 0,
          message: {
            role: "assistant",
            content: null,
            tool_calls: [{ id: "call_1", type: "function", function: { name: "weather", arguments: "{}" } }]
          },
          finish_reason: "tool_calls"
        }]
      }),
      answer("It is sunny")
    ])))

  it.effect("keeps its turns when the system prompt is updated", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.chat("a")

      yield* chat.updateSystemPrompt("T")
      yield* chat.chat("b")

      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: T", "user: a", "assistant: re a", "user: b"])
      assert.strictEqual((yield* transcript(chat))[0], "system: T")
    }).pipe(withScript(echo())))

  it.effect("keeps the current system prompt when it is cleared", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.updateSystemPrompt("T")
      yield* chat.chat("a")

      yield* chat.clearHistory

      assert.deepStrictEqual(yield* transcript(chat), ["system: T"])
    }).pipe(withScript(echo())))
})

describe("the prompt of a turn", () => {
  const turns: Record<string, (chat: LLMChat.Service, prompt: ChatMessage.Prompt) => Effect.Effect<unknown, unknown>> =
    {
      "chat": (chat, prompt) => chat.chat(prompt),
      "chatStream": (chat, prompt) => Stream.runDrain(chat.chatStream(prompt))
    }
  for (const [how, turn] of Object.entries(turns)) {
    it.effect(`is read when the Effect or Stream is created, not when it runs (${how})`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(options())
        const prompt = [ChatMessage.user("one")]
        const made = turn(chat, prompt)
        prompt[0] = ChatMessage.user("two")

        yield* made

        assert.deepStrictEqual(sent((yield* requests)[0]), ["system: S", "user: one"])
      }).pipe(withScript(echo())))
  }
})

describe("an interrupted turn", () => {
  it.effect("keeps the text that the consumer received before it stopped reading", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(collect(Stream.take(chat.chatStream("count"), 3)), "3 seconds")

      assert.deepStrictEqual(yield* Fiber.join(turn), ["1 ", "2 ", "3 "])
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: count", "assistant: 1 2 3  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([tokens(["1 ", "2 ", "3 ", "4 ", "5 "], { delay: "1 second" })])))

  it.effect("keeps the text that was emitted before the interruption", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Stream.runDrain(chat.chatStream("a")), "2500 millis")
      yield* Fiber.interrupt(turn)

      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one two  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([slow()])))

  it.effect("keeps its prompt if it is interrupted before the first token", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Stream.runDrain(chat.chatStream("a")), "500 millis")
      yield* Fiber.interrupt(turn)

      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant:  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([slow()])))

  it.effect("keeps its prompt if it does not stream", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const timedOut = yield* forkFor(Effect.timeoutOption(chat.chat("a"), "1 second"), "1 second")

      assert.strictEqual((yield* Fiber.join(timedOut))._tag, "None")
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant:  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([delayed("5 seconds", answer("late"))])))

  it.effect("leaves the history unchanged with rollback", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ onInterrupt: "rollback" }))

      const left = yield* forkFor(Stream.runDrain(Stream.take(chat.chatStream("a"), 1)), "1 second")
      yield* Fiber.join(left)
      const interrupted = yield* forkFor(Stream.runDrain(chat.chatStream("a")), "2 seconds")
      yield* Fiber.interrupt(interrupted)
      yield* forkFor(Stream.runDrain(chat.chatStream("a")), "2 seconds")
      yield* chat.stop

      assert.deepStrictEqual(yield* transcript(chat), only)
      yield* assertNothingHeld
    }).pipe(withScript([slow(), slow(), slow()])))

  it.effect("keeps the text of an answer without the tool calls after it", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Stream.runDrain(chat.chatEvents("a")), "1 second")
      yield* Fiber.interrupt(turn)

      const last = (yield* chat.history).at(-1)
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: Let me see [interrupted]"])
      assert.isUndefined(last?.role === "assistant" ? last.toolCalls : [])
    }).pipe(withScript([sse([
      { choices: [{ index: 0, delta: { content: "Let me see" } }] },
      {
        choices: [{
          index: 0,
          delta: { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "{\"a\":" } }] }
        }]
      },
      never
    ])])))

  it.effect("keeps its prompt if the answer has only a tool call so far", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Stream.runDrain(chat.chatEvents("a")), "1 second")
      yield* Fiber.interrupt(turn)

      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant:  [interrupted]"])
    }).pipe(withScript([sse([
      {
        choices: [{ index: 0, delta: { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: "" } }] } }]
      },
      never
    ])])))

  it.effect("ends when its consumer fails, and the next turn can run", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(
        Effect.flip(Stream.runForEach(chat.chatStream("a"), () => Effect.fail("consumer"))),
        "1 second"
      )

      assert.strictEqual(yield* Fiber.join(turn), "consumer")
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([slow()])))
})

describe("stop", () => {
  it.effect("ends the stream with Finish, and the history keeps the emitted text", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(collect(chat.chatEvents("a")), "1500 millis")
      yield* chat.stop
      const events = yield* Fiber.join(turn)

      const last = events.at(-1)
      assert.deepStrictEqual(tags(events), ["Begin", "TextDelta", "Finish"])
      assert.strictEqual(last?._tag === "Finish" ? last.reason : "", "interrupted")
      assert.strictEqual(last?._tag === "Finish" ? last.response.text : "", "one ")
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([slow()])))

  it.effect("makes a turn without a stream return an interrupted response", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(chat.chat("a"), "1 second")
      yield* chat.stop
      const response = yield* Fiber.join(turn)

      assert.strictEqual(response.finishReason, "interrupted")
      assert.strictEqual(response.text, "")
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant:  [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([delayed("5 seconds", answer("late"))])))

  it.effect("returns after the history contains the turn and the connection is closed", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* forkFor(Stream.runDrain(chat.chatStream("a")), "1500 millis")
      yield* chat.stop

      assert.lengthOf(yield* transcript(chat), 3)
      yield* assertNothingHeld
    }).pipe(withScript([slow()])))

  it.effect("ends a turn while its consumer is not pulling, and the next pull returns Finish", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const events = chat.chatEvents("a").pipe(Stream.tap(() => Effect.sleep("1 minute")))

      const turn = yield* forkFor(collect(events), "10 seconds")
      yield* chat.stop
      const history = yield* transcript(chat)
      yield* assertNothingHeld
      yield* TestClock.adjust("10 minutes")

      assert.deepStrictEqual(history, [...only, "user: a", "assistant: one  [interrupted]"])
      assert.deepStrictEqual(tags(yield* Fiber.join(turn)), ["Begin", "TextDelta", "Finish"])
      assert.deepStrictEqual(yield* transcript(chat), history)
    }).pipe(withScript([slow()])))

  it.effect("does nothing if no turn is running", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* chat.stop
      yield* chat.chat("a")
      yield* chat.stop

      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: re a"])
    }).pipe(withScript(echo())))

  it.effect("can be called twice, concurrently or in sequence", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(collect(chat.chatEvents("a")), "1 second")
      yield* Effect.all([chat.stop, chat.stop], { concurrency: "unbounded" })
      yield* chat.stop

      assert.deepStrictEqual(tags(yield* Fiber.join(turn)), ["Begin", "TextDelta", "Finish"])
      assert.lengthOf(yield* transcript(chat), 3)
    }).pipe(withScript([slow()])))

  it.effect("ends the running turn, and no waiting turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const first = yield* forkFor(collect(chat.chatEvents("a")), "1 second")
      const second = yield* Effect.fork(chat.chat("b"))
      yield* Effect.yieldNow()
      yield* chat.stop

      assert.strictEqual((yield* Fiber.join(first)).at(-1)?._tag, "Finish")
      assert.strictEqual((yield* Fiber.join(second)).text, "done")
      assert.deepStrictEqual(sent((yield* requests)[1]), ["system: S", "user: a", "assistant: one ", "user: b"])
    }).pipe(withScript([slow(), answer("done")])))

  it.effect("ends the wait before a retry, and no further request is sent", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(
        options({ maxRetries: 2, retryBaseDelay: "10 seconds", retryMaxDelay: "1 minute" })
      )

      const turn = yield* forkFor(collect(chat.chatEvents("a")), "1 second")
      yield* chat.stop
      yield* TestClock.adjust("10 minutes")

      assert.deepStrictEqual(tags(yield* Fiber.join(turn)), ["Finish"])
      assert.lengthOf(yield* requests, 1)
      yield* assertNothingHeld
    }).pipe(withScript([json({}, { status: 503 }), slow()])))

  it.effect("does not wait for a client that cannot be interrupted", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(chat.chat("a"), "1 second")
      yield* chat.stop

      assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
    }).pipe(withScript(() => Effect.uninterruptible(Effect.as(Effect.sleep("1 hour"), answer("late"))))))
})

describe("the events of a turn", () => {
  it.effect("end with exactly one Finish, which has the complete answer", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const events = yield* collect(chat.chatEvents("a"))

      const last = events.at(-1)
      assert.deepStrictEqual(tags(events), ["Begin", "TextDelta", "TextDelta", "UsageUpdate", "Finish"])
      assert.deepInclude(last?._tag === "Finish" ? last.response : {}, { text: "one two", finishReason: "stop" })
    }).pipe(withScript([tokens(["one ", "two"], { usage: usage(1, 2) })])))

  it.effect("contain Finish only after the history contains the turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const seen = yield* collect(Stream.mapEffect(chat.chatEvents("a"), (event) =>
        Effect.map(chat.history, (history) =>
          [event._tag, history.length] as const)))

      assert.deepStrictEqual(seen, [["Begin", 1], ["TextDelta", 1], ["TextDelta", 1], ["Finish", 3]])
    }).pipe(withScript([tokens(["one ", "two"], { delay: 0 })])))

  it.effect("allow the consumer to run another turn when it receives Finish", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* Stream.runForEach(
        chat.chatEvents("a"),
        (event) => event._tag === "Finish" ? chat.chat("b") : Effect.void
      )

      assert.lengthOf(yield* transcript(chat), 5)
    }).pipe(withScript(echo())))
})

describe("the stream of a turn", () => {
  it.effect("does nothing until it is run", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const streams = [chat.chatStream("a"), chat.chatEvents("a"), chat.askStream("a")]
      assert.strictEqual(streams.length, 3)
      yield* chat.chat("b")

      assert.lengthOf(yield* requests, 1)
    }).pipe(withScript(echo())))

  it.effect("runs a new turn each time it is run", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const stream = chat.chatStream("a")

      yield* Stream.runDrain(stream)
      yield* Stream.runDrain(stream)

      assert.deepStrictEqual(yield* transcript(chat), [
        "system: S",
        "user: a",
        "assistant: re a",
        "user: a",
        "assistant: re a"
      ])
    }).pipe(withScript(echo())))

  it.effect("runs a new turn when it is retried after a failure", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const told = yield* collect(Stream.retry(chat.chatStream("a"), Schedule.recurs(1)))

      assert.deepStrictEqual(told, ["x", "one"])
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one"])
      yield* assertNothingHeld
    }).pipe(withScript([tokens(["x"], { ending: "truncated" }), tokens(["one"])])))

  const combined: Record<string, (stream: Stream.Stream<string, unknown>) => Stream.Stream<unknown, unknown>> = {
    buffer: Stream.buffer({ capacity: 2 }),
    rechunk: Stream.rechunk(2),
    groupedWithin: Stream.groupedWithin(2, "10 seconds"),
    merge: (stream) => Stream.merge(stream, Stream.make("other")),
    timeout: Stream.timeout("1 minute"),
    interruptWhen: Stream.interruptWhen(Effect.never),
    "a span": Stream.withSpan("consumer"),
    "flatMap": Stream.flatMap((text) => Stream.make(text, text)),
    "mapEffect": Stream.mapEffect((text) => Effect.delay(Effect.succeed(text), "3 seconds"))
  }
  for (const [name, combine] of Object.entries(combined)) {
    it.effect(`works with ${name}`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(options())

        const turn = yield* forkFor(Stream.runDrain(combine(chat.chatStream("a"))), "1 minute")
        yield* Fiber.join(turn)

        assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one two three"])
        yield* assertNothingHeld
      }).pipe(withScript([slow()])))
  }

  it.effect("keeps the emitted text when Stream.timeout ends it, and releases the conversation immediately", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(collect(Stream.timeout(chat.chatStream("a"), "2 seconds")), "10 seconds")

      assert.deepStrictEqual(yield* Fiber.join(turn), ["one"])
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one [interrupted]"])
      yield* assertNothingHeld
    }).pipe(withScript([tokens(["one"], { ending: never })])))

  it.scoped("runs one turn for all consumers of a broadcast", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const [left, right] = yield* Stream.broadcast(chat.chatStream("a"), 2, 16)
      const told = yield* forkFor(Effect.all([collect(left), collect(right)], { concurrency: 2 }), "5 seconds")

      assert.deepStrictEqual(yield* Fiber.join(told), [["one ", "two ", "three"], ["one ", "two ", "three"]])
      assert.lengthOf(yield* requests, 1)
      assert.lengthOf(yield* transcript(chat), 3)
    }).pipe(withScript([slow()])))

  it.effect("releases the conversation before a concatenated stream begins", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(
        collect(Stream.concat(Stream.take(chat.chatStream("a"), 1), chat.chatStream("b"))),
        "10 seconds"
      )

      assert.deepStrictEqual(yield* Fiber.join(turn), ["one ", "one ", "two ", "three"])
    }).pipe(withScript([slow(), slow()])))

  it.effect("does not count the time of a slow consumer as idle time of the server", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options({ idleTimeout: "10 seconds" }))

      const turn = yield* forkFor(
        collect(Stream.tap(chat.chatStream("a"), () => Effect.sleep("1 minute"))),
        "5 minutes"
      )

      assert.deepStrictEqual(yield* Fiber.join(turn), ["one ", "two ", "three"])
    }).pipe(withScript([slow()])))

  it.effect("ignores empty network chunks", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const told = yield* collect(chat.chatStream("a"))

      assert.deepStrictEqual(told, ["x"])
    }).pipe(withScript([
      ScriptedHttpClient.bytes([
        new Uint8Array(0),
        "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"x\"},\"finish_reason\":\"stop\"}]}\n\n",
        new Uint8Array(0),
        "",
        "data: [DONE]\n\n"
      ])
    ])))

  it.effect("completes in an uninterruptible region", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Effect.uninterruptible(Stream.runDrain(chat.chatStream("a"))), "5 seconds")

      yield* Fiber.join(turn)
      assert.lengthOf(yield* transcript(chat), 3)
    }).pipe(withScript([slow()])))
})

describe("an ask call", () => {
  it.effect("sends the system prompt but not the history, and does not change the history (all methods)", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.chat("a")

      const whole = yield* chat.ask("q")
      const streamed = yield* collect(chat.askStream("q"))
      const events = yield* collect(chat.askEvents("q"))

      assert.strictEqual(whole.text, "re q")
      assert.strictEqual(streamed.join(""), "re q")
      assert.strictEqual(tags(events).at(-1), "Finish")
      assert.deepStrictEqual((yield* requests).slice(1).map(sent), [
        ["system: S", "user: q"],
        ["system: S", "user: q"],
        ["system: S", "user: q"]
      ])
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: re a"])
      yield* assertNothingHeld
    }).pipe(withScript(echo())))

  it.effect("completes while a turn is running, and stop does not end it", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const turn = yield* forkFor(Stream.runDrain(chat.chatStream("a")), "1500 millis")
      const quick = yield* chat.ask("q")
      const asked = yield* Effect.fork(chat.ask("q"))
      yield* Effect.yieldNow()
      yield* chat.stop
      yield* TestClock.adjust("1 minute")

      yield* Fiber.join(turn)
      assert.strictEqual(quick.text, "now")
      assert.strictEqual((yield* Fiber.join(asked)).text, "later")
      assert.deepStrictEqual(yield* transcript(chat), [...only, "user: a", "assistant: one  [interrupted]"])
    }).pipe(withScript([slow(), answer("now"), delayed("10 seconds", answer("later"))])))

  it.effect("is not counted in the usage of the conversation", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* chat.ask("q")

      assert.strictEqual((yield* chat.usage).totalTokens, 0)
    }).pipe(withScript([answer("b", { usage: usage(3, 4) })])))
})

describe("the usage of a conversation", () => {
  it.effect("is the sum of its completed, failed and interrupted turns", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      yield* chat.chat("whole")
      yield* Stream.runDrain(chat.chatStream("streamed"))
      const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("failed")))
      const turn = yield* forkFor(Stream.runDrain(chat.chatStream("interrupted")), "1 second")
      yield* Fiber.interrupt(turn)

      const counted = yield* chat.usage
      assert.strictEqual(error.partial?.usage?.outputTokens, 300)
      assert.strictEqual(error.partial?.text, "some")
      assert.strictEqual(counted.inputTokens, 4)
      assert.strictEqual(counted.outputTokens, 4321)
      assert.strictEqual(counted.totalTokens, 4325)
      assert.lengthOf(yield* transcript(chat), 7)
    }).pipe(withScript([
      answer("b", { usage: usage(1, 1) }),
      tokens(["b"], { usage: usage(1, 20) }),
      sse([{ choices: [{ index: 0, delta: { content: "some" } }], usage: usage(1, 300) }]),
      sse([{ choices: [{ index: 0, delta: { content: "some" } }], usage: usage(1, 4000) }, never])
    ])))

  it.effect("does not change with clearHistory", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      yield* chat.chat("a")

      yield* chat.clearHistory

      assert.strictEqual((yield* chat.usage).totalTokens, 7)
    }).pipe(withScript([answer("b", { usage: usage(3, 4) })])))
})

describe("LLMChat.make", () => {
  const maxTokens = (request: ScriptedHttpClient.CapturedRequest | undefined) =>
    typeof request?.body === "object" && request.body !== null ? Reflect.get(request.body, "max_tokens") : undefined

  it.effect("limits answers to 2048 tokens by default with plain options, and to 8192 with an LLMConfig", () =>
    Effect.gen(function*() {
      const plain = yield* LLMChat.make(options())
      const own = yield* LLMChat.make(options({ maxTokens: 7 }))
      const none = yield* LLMChat.make(options({ maxTokens: null }))
      const config = yield* LLMChat.make(LLMConfig.make(options()))

      yield* Effect.forEach([plain, own, none, config], (chat) => chat.chat("a"))

      assert.deepStrictEqual((yield* requests).map(maxTokens), [2048, 7, undefined, 8192])
      assert.deepStrictEqual([plain.config.maxTokens, config.config.maxTokens], [2048, 8192])
    }).pipe(withScript(echo())))

  it.effect("fails with the field, the value and the range if a setting is invalid", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LLMChat.make(options({ temperature: 3 })))

      assert.strictEqual(error._tag, "ParseError")
      assert.include(error.message, "temperature")
      assert.include(error.message, "3")
      assert.include(error.message, "between 0 and 2")
    }).pipe(withScript([])))

  it.effect("makes a separate conversation each time, like the layers", () =>
    Effect.gen(function*() {
      const make = LLMChat.make(options())
      const [one, two] = yield* Effect.all([make, make])

      yield* one.chat("a")
      const three = yield* Effect.provide(LLMChat.LLMChat, LLMChat.layer(options()))

      assert.lengthOf(yield* one.history, 3)
      assert.lengthOf(yield* two.history, 1)
      assert.lengthOf(yield* three.history, 1)
    }).pipe(withScript(echo())))
})

describe("spans", () => {
  it.effect("cover the method, the call and each request", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())

      const spans = yield* spansOf(Effect.withSpan(
        Effect.all([chat.ask("a"), chat.chat("b"), Stream.runDrain(chat.chatStream("c"))]),
        "program"
      ))

      assert.deepStrictEqual(spans.map(path), [
        "program",
        "program > LLMChat.ask",
        "program > LLMChat.ask > ChatCompletions.complete",
        "program > LLMChat.ask > ChatCompletions.complete > http.client POST",
        "program > LLMChat.chat",
        "program > LLMChat.chat > ChatCompletions.complete",
        "program > LLMChat.chat > ChatCompletions.complete > http.client POST",
        "program > ChatCompletions.stream",
        "program > ChatCompletions.stream > http.client POST"
      ])
      assert.deepStrictEqual(spans.map((span) => span.status._tag), spans.map(() => "Ended"))
    }).pipe(withScript(echo())))

  it.effect("of a stream record when and how it ended, and no times if the tracer does not record them", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(options())
      const ends = (spans: ReadonlyArray<Tracer.Span>) =>
        spans.filter(({ name }) => name === "ChatCompletions.stream").map(({ status }) =>
          status._tag === "Ended" ? [status.endTime, status.exit._tag] : []
        )

      yield* TestClock.adjust("5 seconds")
      const streams = Effect.all([
        Stream.runDrain(chat.chatStream("a")),
        Effect.exit(Stream.runDrain(chat.chatStream("b")))
      ])

      assert.deepStrictEqual(ends(yield* spansOf(streams)), [[5_000_000_000n, "Success"], [5_000_000_000n, "Failure"]])
      assert.deepStrictEqual(ends(yield* spansOf(Effect.withTracerTiming(streams, false))), [[0n, "Success"], [
        0n,
        "Failure"
      ]])
    }).pipe(
      withScript((request, index) =>
        index % 2 === 0 ? echo()(request) : json({ error: { message: "no" } }, { status: 401 })
      )
    ))
})
