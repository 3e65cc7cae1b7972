/**
 * Turns behave the same with every completions service: streaming, stops, failures and the release of resources.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, Deferred, Effect, Exit, Fiber, Stream, TestClock } from "effect"
import {
  ChatCompletions,
  type ChatEvent,
  ChatMessage,
  ChatResponse,
  Fallback,
  Limits,
  LLMChat,
  LLMConfig
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { getEventListeners } from "node:events"
import { answer, echo, held, nothing, options, requests, streams, transcript, withScript } from "../support/chats.ts"
import { kindNames, kinds, second } from "../support/pipeline.ts"

const { tokens } = ScriptedHttpClient

const hosts = Effect.map(requests, (all) => all.map(({ url }) => new URL(url).host))

/** Twenty words, one each second. */
const slow = () => tokens(Array.from({ length: 20 }, (_, n) => `w${n} `), { delay: "1 second" })

const silent = () => ScriptedHttpClient.sse([ScriptedHttpClient.never])

/** The first server is slow, and the second one is fast. */
const servers = (first: () => ScriptedHttpClient.ScriptedResponse): ScriptedHttpClient.Script => (request) =>
  request.url.includes("second") ? echo()(request) : first()

/** Forks an effect, and runs it until it waits for the clock. */
const start = <A, E, R>(effect: Effect.Effect<A, E, R>) => Effect.zipLeft(Effect.fork(effect), TestClock.adjust(0))

const assertNothingHeld = Effect.flatMap(held, (now) => Effect.sync(() => assert.deepStrictEqual(now, nothing)))

const lastOf = (events: Chunk.Chunk<ChatEvent.ChatEvent>) => {
  const last = Chunk.toReadonlyArray(events).at(-1)
  return last?._tag === "Finish" ? `${last.reason}: ${last.response.text}` : last?._tag
}

for (const name of kindNames) {
  const makeChat = Effect.flatMap(kinds[name], (completions) => LLMChat.fromCompletions(completions, options()))

  // A program's stream that is interrupted during a pull releases its resources in the background.
  const assertReleased = name.startsWith("of a program")
    ? Effect.zipRight(TestClock.adjust(0), assertNothingHeld)
    : assertNothingHeld

  describe(`a turn over a service ${name}`, () => {
    it.scoped("streams the answer and adds it to the history", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat

        const texts = yield* Stream.runCollect(chat.chatStream("hi there"))

        assert.deepStrictEqual(Chunk.toReadonlyArray(texts), ["re ", "hi ", "there"])
        assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi there", "assistant: re hi there"])
        yield* assertReleased
      }).pipe(withScript(echo())))

    it.scoped("returns the answer as one response", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        assert.strictEqual((yield* chat.chat("hi")).text, "re hi")
        assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi", "assistant: re hi"])
      }).pipe(withScript(echo())))

    it.scoped("ends with the partial answer when it is stopped", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const turn = yield* start(Stream.runCollect(chat.chatEvents("hi")))
        yield* TestClock.adjust("3500 millis")

        yield* chat.stop

        yield* assertReleased
        assert.strictEqual(lastOf(yield* Fiber.join(turn)), "interrupted: w0 w1 w2 ")
        assert.deepStrictEqual(yield* transcript(chat), [
          "system: S",
          "user: hi",
          "assistant: w0 w1 w2  [interrupted]"
        ])
        assert.lengthOf(yield* requests, 1)
      }).pipe(withScript(slow)))

    it.scoped("keeps its prompt when it is stopped before its first event, and the next turn runs", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const turn = yield* start(Stream.runCollect(chat.chatEvents("hi")))

        yield* chat.stop

        assert.strictEqual(lastOf(yield* Fiber.join(turn)), "interrupted: ")
        assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi", "assistant:  [interrupted]"])
        yield* assertReleased
        assert.strictEqual((yield* chat.chat("again")).text, "re hi\n\nagain")
      }).pipe(withScript((request) => streams(request) ? silent() : echo()(request))))

    it.scoped("returns an interrupted response when it is stopped", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const turn = yield* start(chat.chat("hi"))

        yield* chat.stop

        assert.strictEqual((yield* Fiber.join(turn)).finishReason, "interrupted")
        yield* TestClock.adjust(0)
        yield* assertReleased
        assert.lengthOf(yield* requests, 1)
      }).pipe(withScript(() => ScriptedHttpClient.delayed("1 hour", answer("late")))))

    it.scoped("releases all resources when its fiber is interrupted", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const turn = yield* start(Stream.runDrain(chat.chatStream("hi")))
        yield* TestClock.adjust("2500 millis")

        yield* Fiber.interrupt(turn)

        yield* assertReleased
        assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi", "assistant: w0 w1  [interrupted]"])
      }).pipe(withScript(slow)))

    it.scoped("releases all resources when its consumer stops reading", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const turn = yield* start(Stream.runDrain(Stream.take(chat.chatStream("hi"), 2)))
        yield* TestClock.adjust("2 seconds")
        yield* Fiber.join(turn)

        yield* assertReleased
        assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi", "assistant: w0 w1  [interrupted]"])
      }).pipe(withScript(slow)))

    it.scoped("releases all resources when it is stopped while its consumer is busy", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const gate = yield* Deferred.make<void>()
        const turn = yield* start(Stream.runForEach(chat.chatStream("hi"), () => Deferred.await(gate)))
        yield* TestClock.adjust("1 second")

        yield* chat.stop
        yield* TestClock.adjust(0)

        yield* assertReleased
        yield* Deferred.succeed(gate, undefined)
        assert.isTrue(Exit.isSuccess(yield* Fiber.await(turn)))
      }).pipe(withScript(slow)))

    it.scoped("fails with the partial answer if the connection breaks", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("hi")))

        assert.strictEqual(error._tag, "TransportError")
        assert.strictEqual(error.partial?.text, "some ")
        assert.deepStrictEqual(yield* hosts, ["scripted.test"])
        assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
        yield* assertReleased
      }).pipe(withScript(servers(() => tokens(["some "], { ending: ScriptedHttpClient.reset() })))))

    it.scoped("runs after each of twenty turns that were stopped at different times", () =>
      Effect.gen(function*() {
        const chat = yield* makeChat
        for (let n = 0; n < 20; n++) {
          const turn = yield* start(Stream.runDrain(chat.chatStream("hi")))
          yield* TestClock.adjust(n * 250)
          yield* n % 2 === 0 ? chat.stop : Fiber.interrupt(turn)
          yield* Fiber.await(turn)
        }
        assert.lengthOf(yield* requests, 20)
        yield* assertReleased
      }).pipe(withScript(slow)))
  })
}

describe("a stop", () => {
  it.scoped("removes the turn from the queue of limits, and the next turn is admitted", () =>
    Effect.gen(function*() {
      const completions = yield* kinds["with limits"]
      const [one, two, three] = yield* Effect.all(
        Array.from({ length: 3 }, () => LLMChat.fromCompletions(completions, options()))
      )
      if (one === undefined || two === undefined || three === undefined) return assert.fail()
      yield* start(Stream.runDrain(one.chatStream("one")))
      const streamed = yield* start(Stream.runCollect(two.chatEvents("two")))
      const responded = yield* start(three.chat("three"))

      yield* two.stop
      yield* three.stop

      assert.strictEqual(lastOf(yield* Fiber.join(streamed)), "interrupted: ")
      assert.strictEqual((yield* Fiber.join(responded)).finishReason, "interrupted")
      assert.lengthOf(yield* requests, 1)
      yield* one.stop
      yield* start(Stream.runDrain(two.chatStream("again")))
      assert.lengthOf(yield* requests, 2)
    }).pipe(withScript(slow)))

  const failing: ScriptedHttpClient.Script = servers(() => ScriptedHttpClient.json({}, { status: 500 }))

  it.scoped("between two attempts prevents a request to the second server", () =>
    Effect.gen(function*() {
      const limits = yield* kinds["with limits"]
      const fallback = Fallback.make({ configs: [second], onFallback: () => Effect.sleep("1 minute") })
      const chat = yield* LLMChat.fromCompletions(yield* fallback.over(limits), options())
      const streamed = yield* start(Stream.runCollect(chat.chatEvents("hi")))
      yield* chat.stop
      assert.strictEqual(lastOf(yield* Fiber.join(streamed)), "interrupted: ")
      const responded = yield* start(chat.chat("hi"))
      yield* chat.stop
      assert.strictEqual((yield* Fiber.join(responded)).finishReason, "interrupted")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* hosts, ["scripted.test", "scripted.test"])
    }).pipe(withScript(failing)))

  it.scoped("in the wait before a retry prevents a request to another server", () =>
    Effect.gen(function*() {
      const completions = yield* kinds["with limits and a fallback"]
      const settings = options({ maxRetries: 5, retryBaseDelay: "1 minute", retryMaxDelay: "1 minute" })
      const chat = yield* LLMChat.fromCompletions(completions, settings)
      const streamed = yield* start(Stream.runCollect(chat.chatEvents("hi")))
      yield* chat.stop
      assert.strictEqual(lastOf(yield* Fiber.join(streamed)), "interrupted: ")
      yield* TestClock.adjust("1 hour")
      assert.deepStrictEqual(yield* hosts, ["scripted.test"])
    }).pipe(withScript(failing)))

  for (const name of ["over HTTP", "with limits", "with a fallback", "with limits and a fallback"] as const) {
    it.scoped(`before a call begins prevents its request (${name})`, () =>
      Effect.gen(function*() {
        const completions = yield* kinds[name]
        const signal = AbortSignal.abort()
        const request = { config: LLMConfig.make(options()), messages: [ChatMessage.user("hi")], signal }

        const exit = yield* Effect.exit(completions.complete(request))
        const events = yield* Stream.runCollect(completions.stream(request))

        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        assert.lengthOf(Chunk.toReadonlyArray(events), 0)
        assert.lengthOf(yield* requests, 0)
      }).pipe(withScript(echo())))

    it.scoped(`of a call interrupts a response, and ends a stream without an error (${name})`, () =>
      Effect.gen(function*() {
        const completions = yield* kinds[name]
        const controller = new AbortController()
        const { signal } = controller
        const request = { config: LLMConfig.make(options()), messages: [ChatMessage.user("hi")], signal }
        const stream = yield* start(Stream.runCount(completions.stream(request)))
        yield* TestClock.adjust("1500 millis")
        controller.abort()
        assert.strictEqual(yield* Fiber.join(stream), 2)

        const again = new AbortController()
        const call = yield* start(completions.complete({ ...request, signal: again.signal }))
        again.abort()
        const exit = yield* Fiber.await(call)
        assert.isTrue(Exit.isFailure(exit) && Cause.isInterruptedOnly(exit.cause))
        yield* TestClock.adjust(0)
        yield* assertNothingHeld
      }).pipe(
        withScript((request) => streams(request) ? slow() : ScriptedHttpClient.delayed("1 hour", answer("late")))
      ))
  }

  it.scoped("leaves no listener on a signal that is used again", () =>
    Effect.gen(function*() {
      const { signal } = new AbortController()
      for (const name of kindNames) {
        const completions = yield* kinds[name]
        const request = { config: LLMConfig.make(options()), messages: [ChatMessage.user("hi")], signal }
        yield* Stream.runDrain(completions.stream(request))
        yield* Stream.runDrain(Stream.take(completions.stream(request), 1))
        yield* completions.complete(request)
      }
      assert.lengthOf(getEventListeners(signal, "abort"), 0)
    }).pipe(withScript(echo())))
})

describe("a custom stream", () => {
  const delta = (text: string): ChatEvent.ChatEvent => ({ _tag: "TextDelta", text })
  const finish: ChatEvent.ChatEvent = {
    _tag: "Finish",
    reason: "stop",
    rawReason: "stop",
    response: ChatResponse.ChatResponse.make({
      text: "ab",
      reasoning: "",
      refusal: "",
      toolCalls: [],
      finishReason: "stop",
      rawFinishReason: "stop",
      usage: undefined,
      id: "",
      model: "m"
    }, true)
  }
  const layers = {
    "alone": (completions: ChatCompletions.Service) => Effect.succeed(completions),
    "with limits and a fallback": (completions: ChatCompletions.Service) =>
      Effect.flatMap(
        Limits.make({ concurrency: 1 }).over(completions),
        (limited) => Fallback.make({ configs: [second] }).over(limited)
      )
  }

  for (const [name, over] of Object.entries(layers)) {
    const chatOver = (stream: () => Stream.Stream<ChatEvent.ChatEvent>) =>
      Effect.flatMap(
        over({ complete: () => Effect.never, stream }),
        (completions) => LLMChat.fromCompletions(completions, options())
      )

    describe(name, () => {
      it.scoped("can have empty chunks, and needs only text and Finish", () =>
        Effect.gen(function*() {
          const chat = yield* chatOver(() =>
            Stream.fromChunks(
              Chunk.empty(),
              Chunk.of(delta("a")),
              Chunk.empty(),
              Chunk.empty(),
              Chunk.of(delta("b")),
              Chunk.of(finish),
              Chunk.empty()
            )
          )
          const events = yield* Stream.runCollect(chat.chatEvents("hi"))
          assert.deepStrictEqual(Chunk.toReadonlyArray(events).map((event) => event._tag), [
            "TextDelta",
            "TextDelta",
            "Finish"
          ])
          assert.deepStrictEqual(yield* transcript(chat), ["system: S", "user: hi", "assistant: ab"])
        }))

      it.scoped("fails the turn with the partial answer if it ends without Finish", () =>
        Effect.gen(function*() {
          const chat = yield* chatOver(() => Stream.make(delta("a"), delta("b")))
          const error = yield* Effect.flip(Stream.runDrain(chat.chatEvents("hi")))
          assert.strictEqual(error._tag, "TruncatedError")
          assert.strictEqual(error.partial?.text, "ab")
          assert.strictEqual(error.partial?.finishReason, "error")
          assert.deepStrictEqual(yield* transcript(chat), ["system: S"])
        }))

      it.scoped("fails the turn if it is empty", () =>
        Effect.gen(function*() {
          const chat = yield* chatOver(() => Stream.empty)
          const error = yield* Effect.flip(Stream.runDrain(chat.chatEvents("hi")))
          assert.strictEqual(error._tag, "TruncatedError")
          assert.isUndefined(error.partial)
        }))

      it.scoped("does not delay a stop if it cannot be interrupted", () =>
        Effect.gen(function*() {
          const chat = yield* chatOver(() =>
            Stream.concat(Stream.make(delta("a")), Stream.fromEffect(Effect.uninterruptible(Effect.never)))
          )
          const turn = yield* start(Stream.runCollect(chat.chatEvents("hi")))
          yield* chat.stop
          assert.strictEqual(lastOf(yield* Fiber.join(turn)), "interrupted: a")
        }))

      it.scoped("passes its defects to the consumer of the turn", () =>
        Effect.gen(function*() {
          const chat = yield* chatOver(() => Stream.concat(Stream.make(delta("a")), Stream.die("a bug")))
          const exit = yield* Effect.exit(Stream.runDrain(chat.chatEvents("hi")))
          assert.deepStrictEqual(Exit.isFailure(exit) ? Array.from(Cause.defects(exit.cause)) : [], ["a bug"])
          yield* chat.stop
        }))

      it.scoped("is pulled by one fiber, on demand", () =>
        Effect.gen(function*() {
          const fibers = new Set<string>()
          let pulls = 0
          const event = Effect.map(Effect.fiberId, (id) => {
            fibers.add(JSON.stringify(id))
            return pulls++ < 5 ? delta("a") : finish
          })
          const chat = yield* chatOver(() => Stream.take(Stream.repeatEffect(event), 6))
          const gate = yield* Deferred.make<void>()
          const turn = yield* start(Stream.runForEach(chat.chatEvents("hi"), () => Deferred.await(gate)))
          assert.strictEqual(pulls, 1)
          yield* Deferred.succeed(gate, undefined)
          yield* Fiber.join(turn)
          assert.strictEqual(pulls, 6)
          assert.strictEqual(fibers.size, 1)
        }))

      it.scoped("releases its resources before the turn's stream ends", () =>
        Effect.gen(function*() {
          const log: Array<string> = []
          const opened = Stream.acquireRelease(
            Effect.sync(() => log.push("open")),
            () => Effect.zipRight(Effect.yieldNow(), Effect.sync(() => log.push("closed")))
          )
          const chat = yield* chatOver(() =>
            Stream.flatMap(opened, () => Stream.make(delta("a"), finish).pipe(Stream.rechunk(1)))
          )
          yield* Stream.runDrain(chat.chatEvents("hi"))
          assert.deepStrictEqual(log, ["open", "closed"])
          yield* Stream.runDrain(Stream.take(chat.chatEvents("hi"), 1))
          assert.deepStrictEqual(log, ["open", "closed", "open", "closed"])
        }))
    })
  }

  it.scoped("that does not pass the signal to the library's stream still ends when the turn is stopped", () =>
    Effect.gen(function*() {
      const http = yield* ChatCompletions.make
      const completions: ChatCompletions.Service = {
        complete: http.complete,
        stream: ({ config, messages, options }) => http.stream({ config, messages, options })
      }
      const chat = yield* LLMChat.fromCompletions(completions, options())
      const turn = yield* start(Stream.runCollect(chat.chatEvents("hi")))
      yield* chat.stop
      assert.strictEqual(lastOf(yield* Fiber.join(turn)), "interrupted: ")
      yield* TestClock.adjust(0)
      yield* assertNothingHeld
    }).pipe(withScript(silent)))
})
