import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream, TestClock } from "effect"
import { ChatCompletions, type ChatError } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import {
  answer,
  type Asking,
  completeFrom,
  failure,
  layer,
  type Received,
  reply,
  requestOf,
  streamFrom
} from "../support/wire/ask.ts"
import { data, delta, done, ends, says } from "../support/wire/say.ts"

const { bytes, connectionError, delay, delayed, json, never } = ScriptedHttpClient

const limits = { firstTokenTimeout: "5 seconds", idleTimeout: "2 seconds", totalTimeout: "20 seconds" } as const

type Phase = "firstToken" | "idle" | "total"

const timesOut = (received: Received, phase: Phase, limit: Duration.DurationInput): ChatError.TimeoutError => {
  const error = failure(received, "TimeoutError")
  if (error._tag !== "TimeoutError") throw error
  assert.strictEqual(error.phase, phase)
  assert.deepStrictEqual(error.limit, Duration.decode(limit))
  assert.isTrue(error.isRetryable)
  assert.strictEqual(received.open, 0)
  return error
}

/** Runs until the given time, and asserts that it does not end a millisecond sooner. */
const endsAt = (received: Effect.Effect<Received>, millis: number): Effect.Effect<Received> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(received)
    yield* TestClock.adjust(millis - 1)
    assert.isNull(fiber.unsafePoll(), `ended before ${millis} ms`)
    yield* TestClock.adjust(1)
    assert.isNotNull(fiber.unsafePoll(), `did not end at ${millis} ms`)
    return yield* Fiber.join(fiber)
  })

const streamed = (script: ScriptedHttpClient.Script, config: Asking["config"] = {}) =>
  streamFrom(script, { config: { ...limits, ...config } })

const completed = (script: ScriptedHttpClient.Script, config: Asking["config"] = {}) =>
  completeFrom(script, { config: { ...limits, ...config } })

const neverAnswers = delayed(Duration.infinity, bytes([]))

describe("the time to the first token", () => {
  it.effect("counts the wait for the headers", () =>
    Effect.map(endsAt(streamed([neverAnswers]), 5000), (received) => {
      const error = timesOut(received, "firstToken", "5 seconds")
      assert.include(error.message, "5s")
      assert.isUndefined(error.partial)
      assert.isUndefined(error.status)
    }))

  it.effect("counts the wait for the first delta after the headers", () =>
    Effect.map(endsAt(streamed([delayed("3 seconds", bytes([never]))]), 5000), (received) => {
      assert.strictEqual(timesOut(received, "firstToken", "5 seconds").status, 200)
    }))

  it.effect("continues after keep-alive comments, blank data or a chunk with the role", () =>
    Effect.map(
      endsAt(
        streamed([bytes([
          data(delta({ role: "assistant", content: "" })),
          delay("1 seconds"),
          ": keep-alive\n\n",
          delay("1 seconds"),
          "data: : keepalive\n\n",
          delay("1 seconds"),
          data({ choices: [], usage: { prompt_tokens: 1 } }),
          delay("1 seconds"),
          ": keep-alive\n\n",
          never
        ])]),
        5000
      ),
      (received) => timesOut(received, "firstToken", "5 seconds")
    ))

  it.effect("ends with a delta of reasoning, a refusal or a tool call", () =>
    Effect.forEach([
      { reasoning_content: "hm" },
      { refusal: "no" },
      { tool_calls: [{ index: 0, id: "t", function: { name: "f", arguments: "" } }] }
    ], (first) =>
      Effect.map(
        endsAt(streamed([bytes([data(delta(first)), never])]), 2000),
        (received) => void timesOut(received, "idle", "2 seconds")
      )))

  it.effect("is not exceeded by a delta that arrives a millisecond before", () =>
    Effect.map(
      endsAt(streamed([delayed("4999 millis", bytes([says("a"), ends()]))]), 4999),
      (received) => assert.strictEqual(answer(received).text, "a")
    ))

  it.effect("of a call without a stream is the time to the first byte that is not blank", () =>
    Effect.map(
      endsAt(completed([bytes([" ", delay("2 seconds"), "\n", delay("2 seconds"), " \r\n", never])]), 5000),
      (received) => timesOut(received, "firstToken", "5 seconds")
    ))

  it.effect("starts again with each attempt", () =>
    Effect.map(
      endsAt(
        streamed([delayed("4 seconds", json({}, { status: 500 })), neverAnswers], {
          maxRetries: 1,
          retryBaseDelay: "1 seconds",
          retryMaxDelay: "1 millis"
        }),
        4000 + 1 + 5000
      ),
      (received) => timesOut(received, "firstToken", "5 seconds")
    ))
})

describe("the idle time", () => {
  it.effect("counts from the last byte, and the error has the part that arrived", () =>
    Effect.map(
      endsAt(streamed([bytes([says("a"), delay("1500 millis"), says("b"), never])]), 3500),
      (received) => {
        const error = timesOut(received, "idle", "2 seconds")
        assert.strictEqual(error.partial?.text, "ab")
        assert.strictEqual(error.status, 200)
      }
    ))

  it.effect("starts again with a keep-alive comment", () =>
    Effect.map(
      endsAt(
        streamed([bytes([says("a"), delay("1500 millis"), ": keep-alive\n\n", delay("1500 millis"), ": \n\n", never])]),
        5000
      ),
      (received) => assert.strictEqual(timesOut(received, "idle", "2 seconds").partial?.text, "a")
    ))

  it.effect("is not exceeded by a long stream whose deltas arrive in time", () =>
    Effect.map(
      endsAt(
        streamed([
          bytes([
            ...Array.from({ length: 9 }).flatMap(() => [says("a"), delay("1999 millis")]),
            ends(),
            done
          ])
        ]),
        9 * 1999
      ),
      (received) => assert.strictEqual(answer(received).text, "aaaaaaaaa")
    ))

  it.effect("of a call without a stream counts between the bytes of the document", () =>
    Effect.map(
      endsAt(completed([bytes(["{\"id\":", delay("1500 millis"), "\"c1\",", never])]), 3500),
      (received) => timesOut(received, "idle", "2 seconds")
    ))

  it.effect("after the finish reason completes the answer", () =>
    Effect.map(
      endsAt(streamed([bytes([says("a"), ends(), never])]), 2000),
      (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(received.open, 0)
      }
    ))

  it.effect("does not count while the consumer is busy", () =>
    Effect.gen(function*() {
      const completions = yield* ChatCompletions.ChatCompletions
      const fiber = yield* completions.stream(requestOf({ config: { ...limits, totalTimeout: "1 hour" } })).pipe(
        Stream.tap(() => Effect.sleep("30 seconds")),
        Stream.runCount,
        Effect.fork
      )
      yield* TestClock.adjust("3 minutes")
      assert.strictEqual(yield* Fiber.join(fiber), 5)
    }).pipe(Effect.provide(layer([bytes([says("a"), says("b"), says("c"), ends(), done])]))))

  it.effect("counts from the next pull of the consumer", () =>
    Effect.gen(function*() {
      const completions = yield* ChatCompletions.ChatCompletions
      const fiber = yield* completions.stream(requestOf({ config: limits })).pipe(
        Stream.tap(() => Effect.sleep("5 seconds")),
        Stream.runDrain,
        Effect.flip,
        Effect.fork
      )
      yield* TestClock.adjust(11_999)
      assert.isNull(fiber.unsafePoll())
      yield* TestClock.adjust(1)
      assert.strictEqual((yield* Fiber.join(fiber))._tag, "TimeoutError")
    }).pipe(Effect.provide(layer([bytes([says("a"), never])]))))
})

describe("the total time", () => {
  it.effect("ends an endless stream", () =>
    Effect.map(
      endsAt(
        streamed([bytes(Array.from({ length: 99 }).flatMap(() => [says("a"), delay("1 seconds")]))]),
        20_000
      ),
      (received) => {
        const error = timesOut(received, "total", "20 seconds")
        assert.match(error.partial?.text ?? "", /^a{20,21}$/)
      }
    ))

  it.effect("ends a stream of comments only", () =>
    Effect.map(
      endsAt(
        streamed([bytes([says("a"), ...Array.from({ length: 99 }).flatMap(() => [": \n\n", delay("1 seconds")])])]),
        20_000
      ),
      (received) => timesOut(received, "total", "20 seconds")
    ))

  it.effect("includes all attempts and waits, and the cause of the error is the error of the last attempt", () =>
    Effect.map(
      endsAt(
        streamed(() => json({ error: { message: "resting" } }, { status: 503 }), {
          maxRetries: 9,
          retryBaseDelay: "8 seconds",
          retryMaxDelay: "8 seconds",
          totalTimeout: "10 seconds"
        }),
        10_000
      ),
      (received) => {
        const error = timesOut(received, "total", "10 seconds")
        assert.lengthOf(received.requests, 2)
        assert.instanceOf(error.cause, Error)
        assert.strictEqual((error.cause as Error).message, "resting")
      }
    ))

  it.effect("includes a wait that the server asks for", () =>
    Effect.map(
      endsAt(streamed([json({}, { status: 429, headers: { "retry-after": "30" } })], { maxRetries: 1 }), 20_000),
      (received) => timesOut(received, "total", "20 seconds")
    ))

  it.effect("includes connections that are refused", () =>
    Effect.map(
      endsAt(
        streamed(() => connectionError(), {
          maxRetries: 100,
          retryBaseDelay: "3 seconds",
          retryMaxDelay: "3 seconds"
        }),
        20_000
      ),
      (received) => timesOut(received, "total", "20 seconds")
    ))

  it.effect("takes precedence over the time to the first token at the same moment", () =>
    Effect.map(
      endsAt(streamed([neverAnswers], { totalTimeout: "5 seconds" }), 5000),
      (received) => timesOut(received, "total", "5 seconds")
    ))

  it.effect("after the finish reason completes the answer", () =>
    Effect.map(
      endsAt(streamed([bytes([says("a"), ends(), never])], { totalTimeout: "1 seconds" }), 1000),
      (received) => assert.strictEqual(answer(received).text, "a")
    ))

  it.effect("applies to a call without a stream too", () =>
    Effect.map(
      endsAt(
        completed([bytes(Array.from({ length: 99 }).flatMap(() => ["{", delay("1 seconds")]))]),
        20_000
      ),
      (received) => timesOut(received, "total", "20 seconds")
    ))
})

describe("the time to read an error's body", () => {
  const stalled = reply(["{\"error\":{\"message\":\"over", delay("1 seconds"), "loaded", never], {
    status: 503,
    contentType: "application/json",
    headers: { "x-request-id": "req_1" }
  })

  it.effect("is part of the time to the first token; the error has the status and the part of the body that arrived", () =>
    Effect.map(endsAt(streamed([stalled]), 5000), (received) => {
      const error = timesOut(received, "firstToken", "5 seconds")
      assert.strictEqual(error.status, 503)
      assert.strictEqual(error.requestId, "req_1")
      assert.include(error.body, "overloaded")
    }))

  it.effect("is part of the total time", () =>
    Effect.map(endsAt(streamed([stalled], { totalTimeout: "3 seconds" }), 3000), (received) => {
      assert.strictEqual(timesOut(received, "total", "3 seconds").status, 503)
    }))

  it.effect("ends with the body: an error that is cut off is the error that arrived", () =>
    Effect.map(
      streamed([reply(["{\"error\":{\"message\":\"full", ScriptedHttpClient.reset()], { status: 429 })]),
      (received) => assert.include(failure(received, "RateLimitError").message, "full")
    ))
})

describe("infinite limits", () => {
  it.effect("do not apply", () =>
    Effect.map(
      endsAt(
        streamed([bytes([says("a"), delay("10 days"), ends(), done])], {
          firstTokenTimeout: Duration.infinity,
          idleTimeout: Duration.infinity,
          totalTimeout: Duration.infinity
        }),
        Duration.toMillis("10 days")
      ),
      (received) => assert.strictEqual(answer(received).text, "a")
    ))
})
