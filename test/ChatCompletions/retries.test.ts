import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Random, TestClock } from "effect"
import { ChatCompletions, type ChatError } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { serve } from "../support/playback.ts"
import {
  answer,
  type Asking,
  collect,
  completeFrom,
  failure,
  type Received,
  reply,
  streamFrom
} from "../support/wire/ask.ts"
import { bytes as encode, completion, data, done, ends, says } from "../support/wire/say.ts"

const { bytes, connectionError, json, reset } = ScriptedHttpClient

const success = reply(says("Hi") + ends() + done)

const busy = (status: number, headers: Readonly<Record<string, string>> = {}, message = "busy") =>
  json({ error: { message } }, { status, headers })

/** Random numbers without variation: each wait is exactly the doubled base. */
const withoutVariation = Effect.withRandom(Random.fixed([0.5]))

/** Runs to the end in virtual time. */
const run = (received: Effect.Effect<Received>): Effect.Effect<Received> =>
  Effect.gen(function*() {
    const fiber = yield* Effect.fork(received)
    yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(fiber)
  })

/** When each request was sent, in milliseconds after the first. */
const times = ({ requests }: Received): ReadonlyArray<number> => requests.map(({ at }) => at - (requests[0]?.at ?? 0))

const retried = (first: ScriptedHttpClient.ScriptedResponse, config: Asking["config"] = {}) =>
  run(streamFrom([first, success], { config: { maxRetries: 2, ...config } })).pipe(withoutVariation)

describe("retries", () => {
  describe("failures that are retried", () => {
    for (const status of [408, 409, 425, 429, 500, 502, 503, 504, 524, 529]) {
      it.effect(`HTTP ${status}`, () =>
        Effect.map(retried(busy(status)), (received) => {
          assert.strictEqual(answer(received).text, "Hi")
          assert.deepStrictEqual(times(received), [0, 500])
        }))
    }

    for (const code of ["ECONNREFUSED", "ECONNRESET", "ENOTFOUND", "EAI_AGAIN", "ETIMEDOUT"]) {
      it.effect(`a connection that fails with ${code}`, () =>
        Effect.map(retried(connectionError({ code })), (received) => assert.strictEqual(answer(received).text, "Hi")))
    }

    it.effect("an error that the server says to retry, whatever its status", () =>
      Effect.map(retried(busy(400, { "x-should-retry": "true" })), (received) => {
        assert.strictEqual(answer(received).text, "Hi")
      }))

    it.effect("no error that the server says not to retry, whatever its status", () =>
      Effect.map(retried(busy(503, { "x-should-retry": "false" })), (received) => {
        failure(received, "ServerError")
        assert.lengthOf(received.requests, 1)
      }))

    it.effect("an error about a used-up limit, when the limit resets", () =>
      Effect.gen(function*() {
        const headers = { "x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "30s" }
        assert.deepStrictEqual(times(yield* retried(busy(429, headers))), [0, 30_000])
        const beyondLimit = yield* retried(busy(429, { ...headers, "x-ratelimit-reset-requests": "6m0s" }))
        assert.deepStrictEqual(failure(beyondLimit, "RateLimitError").retryAfter, Duration.minutes(6))
        assert.lengthOf(beyondLimit.requests, 1)
      }))

    it.effect("no invalid request, even if a limit is used up", () =>
      Effect.map(
        retried(busy(400, { "x-ratelimit-remaining": "0", "x-ratelimit-reset": "60" })),
        (received) => assert.isUndefined(failure(received, "InvalidRequestError").retryAfter)
      ))

    it.effect("an error event before any delta", () =>
      Effect.map(retried(reply(data({ error: { message: "overloaded", code: 503 } }))), (received) => {
        assert.strictEqual(answer(received).text, "Hi")
        assert.deepStrictEqual(times(received), [0, 500])
        assert.deepStrictEqual(received.events.map((event) => event._tag), ["Begin", "TextDelta", "Finish"])
      }))

    it.effect("an error as JSON with status 200", () =>
      Effect.map(retried(json({ error: "overloaded" })), (received) => assert.strictEqual(answer(received).text, "Hi")))

    it.effect("errors of a call without a stream, by the same rules", () =>
      Effect.map(
        run(
          completeFrom([busy(503), connectionError(), json(completion({ content: "Hi" }))], {
            config: { maxRetries: 2 }
          })
        )
          .pipe(withoutVariation),
        (received) => {
          assert.strictEqual(answer(received).text, "Hi")
          assert.deepStrictEqual(times(received), [0, 500, 1500])
        }
      ))
  })

  describe("failures that are not retried", () => {
    const rows: ReadonlyArray<readonly [string, ScriptedHttpClient.ScriptedResponse, ChatError.ChatError["_tag"]]> = [
      ["HTTP 400", busy(400), "InvalidRequestError"],
      ["HTTP 401", busy(401), "AuthenticationError"],
      ["HTTP 402", busy(402), "QuotaError"],
      ["HTTP 403", busy(403), "PermissionError"],
      ["HTTP 404", busy(404), "NotFoundError"],
      ["HTTP 422", busy(422), "InvalidRequestError"],
      [
        "HTTP 429 with an empty account",
        json({ error: { message: "You exceeded your current quota", code: "insufficient_quota" } }, {
          status: 429,
          headers: { "retry-after": "1" }
        }),
        "QuotaError"
      ],
      [
        "HTTP 500 about a context overflow",
        busy(500, {}, "This model's maximum context length is 8192 tokens"),
        "ContextLengthError"
      ],
      ["an answer that is not a completion", reply("data: {nonsense}\n\n"), "MalformedResponseError"],
      ["an empty answer, for which the server may charge", reply(""), "TruncatedError"],
      ["a connection that breaks within an answer", bytes([": \n\n", reset()]), "TransportError"]
    ]
    for (const [name, response, tag] of rows) {
      it.effect(name, () =>
        Effect.map(retried(response), (received) => {
          failure(received, tag)
          assert.lengthOf(received.requests, 1)
        }))
    }

    for (
      const [name, ending] of [
        ["an error event", data({ error: { message: "overloaded", code: 503 } })],
        ["the end", ""],
        ["a reset", reset()]
      ] as const
    ) {
      it.effect(`a stream after its first delta, at ${name}`, () =>
        Effect.map(retried(bytes([says("Hi"), ending])), (received) => {
          assert.lengthOf(received.requests, 1)
          assert.strictEqual(received.outcome._tag, "Left")
          assert.deepStrictEqual(received.events.map((event) => event._tag), ["Begin", "TextDelta"])
        }))
    }

    it.effect("any error, with maxRetries 0", () =>
      Effect.map(retried(busy(503), { maxRetries: 0 }), (received) => {
        failure(received, "ServerError")
        assert.lengthOf(received.requests, 1)
      }))

    it.effect("a request that cannot be sent", () =>
      Effect.map(run(streamFrom([], { config: { maxRetries: 2 } })), (received) => {
        assert.include(failure(received, "InvalidRequestError").message, "http://server.test/v1")
        assert.lengthOf(received.requests, 1)
      }))
  })

  describe("the wait", () => {
    const alwaysFailing = (config: Asking["config"], response = busy(503)) =>
      run(streamFrom(() => response, { config: { ...config } }))

    it.effect("doubles from retryBaseDelay with every attempt, up to retryMaxDelay", () =>
      Effect.map(
        alwaysFailing({ maxRetries: 6, retryBaseDelay: "500 millis", retryMaxDelay: "8 seconds" }).pipe(
          withoutVariation
        ),
        (received) => {
          failure(received, "ServerError")
          assert.deepStrictEqual(times(received), [0, 500, 1500, 3500, 7500, 15_500, 23_500])
        }
      ))

    it.effect("varies by 20 % in both directions, by Random", () =>
      Effect.map(
        alwaysFailing({ maxRetries: 3, retryBaseDelay: "1 seconds" }).pipe(
          Effect.withRandom(Random.fixed([0, 1, 0.25]))
        ),
        (received) => assert.deepStrictEqual(times(received), [0, 800, 800 + 2400, 800 + 2400 + 3600])
      ))

    it.effect("is the same for the same seed, and always within 20 %", () =>
      Effect.gen(function*() {
        const once = Effect.suspend(() => alwaysFailing({ maxRetries: 4 }).pipe(Effect.withRandom(Random.make("seed"))))
        const waits = (at: ReadonlyArray<number>) => at.slice(1).map((time, i) => Math.round(time - (at[i] ?? 0)))
        const first = waits(times(yield* once))
        const second = waits(times(yield* once))
        const other = waits(
          times(yield* alwaysFailing({ maxRetries: 4 }).pipe(Effect.withRandom(Random.make("other"))))
        )
        assert.lengthOf(first, 4)
        assert.deepStrictEqual(second, first)
        assert.notDeepEqual(other, first)
        first.forEach((wait, i) => {
          assert.isAtLeast(wait, 0.8 * 500 * 2 ** i)
          assert.isAtMost(wait, 1.2 * 500 * 2 ** i)
        })
      }))

    const waits: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, number]> = [
      ["Retry-After in seconds", { "retry-after": "7" }, 7000],
      ["Retry-After in parts of a second", { "retry-after": "1.5" }, 1500],
      ["Retry-After as a date", { "retry-after": "Thu, 01 Jan 1970 00:00:09 GMT" }, 9000],
      ["retry-after-ms", { "retry-after-ms": "1234" }, 1234],
      ["retry-after-ms rather than Retry-After", { "retry-after-ms": "1234", "retry-after": "9" }, 1234],
      ["Retry-After if retry-after-ms is 0", { "retry-after-ms": "0", "retry-after": "1" }, 1000],
      ["exactly maxRetryAfter", { "retry-after": "60" }, 60_000]
    ]
    for (const [name, headers, millis] of waits) {
      it.effect(`is what the server asks for: ${name}`, () =>
        Effect.map(retried(busy(429, headers)), (received) => {
          assert.strictEqual(answer(received).text, "Hi")
          assert.deepStrictEqual(times(received), [0, millis])
        }))
    }

    it.effect("can be in the server's message or body", () =>
      Effect.gen(function*() {
        assert.deepStrictEqual(times(yield* retried(busy(429, {}, "Please try again in 6s."))), [0, 6000])
        const field = json({ error: { message: "slow", metadata: { retry_after_seconds: 3 } } }, { status: 429 })
        assert.deepStrictEqual(times(yield* retried(field)), [0, 3000])
      }))

    it.effect("is the library's own if the server asks for less", () =>
      Effect.forEach(
        [{ "retry-after": "0" }, { "retry-after-ms": "10" }, {
          "retry-after": "Thu, 01 Jan 1970 00:00:00 GMT"
        }],
        (headers) =>
          Effect.map(retried(busy(429, headers)), (received) => assert.deepStrictEqual(times(received), [0, 500]))
      ))

    it.effect("of the server is not reduced to retryMaxDelay", () =>
      Effect.map(retried(busy(503, { "retry-after": "20" }), { retryMaxDelay: "1 seconds" }), (received) => {
        assert.deepStrictEqual(times(received), [0, 20_000])
      }))

    it.effect("fails the call at once if it exceeds maxRetryAfter, and the error has it", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(
          streamFrom([busy(429, { "retry-after": "61" }), success], { config: { maxRetries: 2 } })
        )
        yield* TestClock.adjust(0)
        const received = yield* Fiber.join(fiber)
        assert.deepStrictEqual(failure(received, "RateLimitError").retryAfter, Duration.seconds(61))
        assert.lengthOf(received.requests, 1)
      }))

    it.effect("of the last error is in the error after the last retry", () =>
      Effect.map(
        run(
          streamFrom([busy(503), busy(500), busy(429, { "retry-after": "2" }, "third")], { config: { maxRetries: 2 } })
        ),
        (received) => {
          const error = failure(received, "RateLimitError")
          assert.strictEqual(error.message, "third")
          assert.deepStrictEqual(error.retryAfter, Duration.seconds(2))
        }
      ))
  })

  it.effect("the same request is sent each time, and a failed attempt leaves nothing open", () =>
    Effect.map(
      run(streamFrom([busy(503), reply(data({ error: "x" })), success], { config: { maxRetries: 2 } })),
      (received) => {
        const [first, ...rest] = received.requests.map((request) => request.text)
        assert.lengthOf(rest, 2)
        rest.forEach((text) => assert.strictEqual(text, first))
        assert.strictEqual(received.open, 0)
      }
    ))

  describe("with a real server", () => {
    const layer = ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer))

    const askServer = (respond: Parameters<typeof serve>[0], config: Asking["config"]) =>
      Effect.gen(function*() {
        const server = yield* serve(respond)
        const { outcome } = yield* collect({ config: { baseUrl: server.url, retryBaseDelay: "1 millis", ...config } })
        return { outcome, requests: server.requests() }
      }).pipe(Effect.scoped, Effect.provide(layer))

    const answered = (status: number, body: string) => ({
      status,
      headers: { "content-type": status === 200 ? "text/event-stream" : "application/json" },
      pieces: [encode(body)]
    })

    it.live("a call that never succeeds is sent maxRetries + 1 times", () =>
      Effect.map(askServer(() => answered(503, "{}"), { maxRetries: 3 }), ({ outcome, requests }) => {
        assert.strictEqual(outcome._tag, "Left")
        assert.strictEqual(requests, 4)
      }))

    it.live("a call is sent until it succeeds", () =>
      Effect.map(
        askServer((_, count) => count < 2 ? answered(500, "{}") : answered(200, says("Hi") + done), { maxRetries: 5 }),
        ({ outcome, requests }) => {
          assert.strictEqual(outcome._tag, "Right")
          assert.strictEqual(requests, 3)
        }
      ))

    it.live("a call that exceeds the quota is sent once", () =>
      Effect.map(
        askServer(() => answered(429, "{\"error\":{\"code\":\"insufficient_quota\",\"message\":\"no\"}}"), {
          maxRetries: 5
        }),
        ({ outcome, requests }) => {
          assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "QuotaError")
          assert.strictEqual(requests, 1)
        }
      ))

    it.live("a stream that breaks after its first delta is sent once", () =>
      Effect.map(
        askServer(() => answered(200, says("Hi") + data({ error: { message: "overloaded", code: 503 } })), {
          maxRetries: 5
        }),
        ({ outcome, requests }) => {
          assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "ServerError")
          assert.strictEqual(requests, 1)
        }
      ))

    it.live("a server that does not exist is a clear error", () =>
      Effect.gen(function*() {
        const { url } = yield* Effect.scoped(serve(() => answered(200, "")))
        const { outcome } = yield* collect({ config: { baseUrl: url, maxRetries: 1, retryBaseDelay: "1 millis" } })
        if (outcome._tag === "Right") return assert.fail("an answer")
        assert.strictEqual(outcome.left._tag, "TransportError")
        assert.include(outcome.left.message, "ECONNREFUSED")
        assert.include(outcome.left.message, url)
      }).pipe(Effect.provide(layer)))
  })
})
