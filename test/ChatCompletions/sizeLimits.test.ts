import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Inspectable, Layer, Redacted } from "effect"
import { ChatCompletions } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { serve } from "../support/playback.ts"
import {
  answer,
  collect,
  complete,
  completeFrom,
  emittedText,
  failure,
  stream,
  streamFrom
} from "../support/wire/ask.ts"
import { bytes as encode, calls, choice, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const { bytes, connectionError, reset } = ScriptedHttpClient

const nested = (depth: number): string => "[".repeat(depth) + "]".repeat(depth)

describe("size limits", () => {
  describe("of events", () => {
    const longText = says("x".repeat(5000))

    it.effect("an event that is too long fails with the part that arrived", () =>
      Effect.map(stream(says("a") + longText + ends() + done, { config: { maxEventSize: 1000 } }), (received) => {
        const error = failure(received, "MalformedResponseError")
        assert.strictEqual(error.partial?.text, "a")
        assert.include(error.message, "1000")
        assert.strictEqual(emittedText(received), "a")
      }))

    it.effect("an event that arrives in several chunks fails before its end", () =>
      Effect.map(
        streamFrom([
          bytes([says("a"), "data: ", ...Array.from({ length: 3000 }, () => "y"), ScriptedHttpClient.never])
        ], { config: { maxEventSize: 1000 } }),
        (received) => {
          failure(received, "MalformedResponseError")
          assert.strictEqual(received.open, 0)
        }
      ))

    it.effect("an event of many lines fails too", () =>
      Effect.map(stream("data: x\n".repeat(2000), { config: { maxEventSize: 1000 } }), (received) => {
        failure(received, "MalformedResponseError")
      }))

    it.effect("a comment that is too long fails too", () =>
      Effect.map(stream([`:${"z".repeat(5000)}`], { config: { maxEventSize: 1000 } }), (received) => {
        failure(received, "MalformedResponseError")
      }))

    it.effect("events are not added up", () =>
      Effect.map(stream(says("a").repeat(500) + ends(), { config: { maxEventSize: 1000 } }), (received) => {
        assert.lengthOf(answer(received).text, 500)
      }))

    it.effect("an event of 4 MiB is within the default", () =>
      Effect.map(stream(says("x".repeat(4 * 1024 * 1024)) + ends()), (received) => {
        assert.lengthOf(answer(received).text, 4 * 1024 * 1024)
      }))
  })

  describe("of documents", () => {
    const body = JSON.stringify(completion({ content: "é".repeat(1000) }))

    it.effect("a document that is too long fails", () =>
      Effect.map(complete(body, { config: { maxBodySize: 1000 } }), (received) => {
        assert.include(failure(received, "MalformedResponseError").message, "1000 bytes")
      }))

    it.effect("the limit is exact, in bytes", () =>
      Effect.gen(function*() {
        const size = encode(body).length
        answer(yield* complete(body, { config: { maxBodySize: size } }))
        failure(yield* complete(body, { config: { maxBodySize: size - 1 } }), "MalformedResponseError")
      }))

    it.effect("an endless document is not read further than the limit", () =>
      Effect.map(
        completeFrom([bytes(["{", ...Array.from({ length: 3000 }, () => "1"), ScriptedHttpClient.never])], {
          config: { maxBodySize: 1000 }
        }),
        (received) => {
          failure(received, "MalformedResponseError")
          assert.strictEqual(received.open, 0)
        }
      ))

    const many = JSON.stringify({ ...completion({ content: "a" }), list: Array.from({ length: 20_000 }, () => 0) })

    it.effect("a document with too many keys and values for its limit fails before it is parsed", () =>
      Effect.gen(function*() {
        const error = failure(yield* complete(many, { config: { maxBodySize: 1_000_000 } }), "MalformedResponseError")
        assert.include(error.message, "more than 10000 keys and values")
        assert.strictEqual(answer(yield* complete(many)).text, "a")
      }))

    it.effect("an event with too many keys and values for its limit fails in the same way", () =>
      Effect.gen(function*() {
        const events = `data: ${many}\n\n`
        const error = failure(yield* stream(events, { config: { maxEventSize: 1_000_000 } }), "MalformedResponseError")
        assert.include(error.message, "more than 10000 keys and values")
        assert.strictEqual(answer(yield* stream(events)).text, "a")
      }))

    it.effect("the members of a document have a lower limit than nested values", () =>
      Effect.gen(function*() {
        const entries = Array.from({ length: 30_000 }, (_, n) => [`k${n}`, n])
        const message = { content: "a", ...Object.fromEntries(entries) }
        const error = failure(yield* complete(JSON.stringify(completion(message))), "MalformedResponseError")
        assert.include(error.message, "keys and values")
        assert.strictEqual(
          answer(yield* complete(JSON.stringify(completion({ content: "a", list: entries })))).text,
          "a"
        )
      }))

    it.effect("a few thousand tool calls are too many, but not as many deltas of arguments", () =>
      Effect.gen(function*() {
        const newCall = (n: number) => calls({ index: n, id: `c${n}`, function: { name: "f", arguments: "{}" } })
        const argumentsDelta = (n: number) =>
          calls({ index: 0, id: "c", function: { name: "f", arguments: `w${n % 10} ` } })
        failure(yield* stream(Array.from({ length: 10_000 }, (_, n) => newCall(n)).join("")), "MalformedResponseError")
        const received = yield* stream(Array.from({ length: 50_000 }, (_, n) => argumentsDelta(n)).join("") + ends())
        assert.lengthOf(answer(received).toolCalls[0]?.arguments ?? "", 150_000)
      }))

    it.effect("an answer that exceeds the limit only in its last chunk is an answer", () =>
      Effect.map(
        streamFrom([bytes([says("a".repeat(2000)) + ends() + done])], { config: { maxBodySize: 1000 } }),
        (received) => assert.lengthOf(answer(received).text, 2000)
      ))

    it.effect("a stream has no limit except that of its events", () =>
      Effect.map(stream(says("a").repeat(500) + ends(), { config: { maxBodySize: 1000 } }), (received) => {
        assert.lengthOf(answer(received).text, 500)
      }))
  })

  describe("of errors", () => {
    it.effect("the body and the message have at most 8192 characters", () =>
      Effect.map(stream("no ".repeat(20_000), { status: 500, contentType: "text/plain" }), (received) => {
        const error = failure(received, "ServerError")
        assert.strictEqual(error.body?.length, 8192)
        assert.strictEqual(error.message.length, 8192)
      }))

    it.effect("an endless body is not read further than needed", () =>
      Effect.map(
        streamFrom([
          bytes([...Array.from({ length: 100 }, () => "e".repeat(1024)), ScriptedHttpClient.never], {
            status: 500
          })
        ], { config: { maxRetries: 0 } }),
        (received) => {
          failure(received, "ServerError")
          assert.strictEqual(received.open, 0)
        }
      ))

    it.live("the connection of an endless error is closed", () =>
      Effect.gen(function*() {
        const chunks = Array.from({ length: 40 }, () => encode("no ".repeat(1024)))
        const server = yield* serve(() => ({ status: 500, headers: {}, pieces: chunks, ending: "stall" }))
        const { outcome } = yield* collect({ config: { baseUrl: server.url } })
        assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "ServerError")
        // The server stalls, so only the client can end the answer. `collect` returns before the server notices it.
        yield* Effect.repeat(Effect.sleep("5 millis"), { until: () => server.left() > 0 })
        assert.strictEqual(server.left(), server.requests())
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))))
  })
})

describe("hostile answers", () => {
  const depths = [1000, 200_000]

  for (const depth of depths) {
    it.effect(`JSON nested ${depth} deep is a typed error, at any place`, () =>
      Effect.forEach(
        [
          `data: ${nested(depth)}\n\n`,
          `data: {"error":${nested(depth)}}\n\n`,
          `data: {"choices":[{"delta":{"content":${nested(depth)}}}]}\n\n`,
          `data: {"choices":[{"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":${
            nested(depth)
          }}}]}}]}\n\n`,
          nested(depth),
          `{"error":${nested(depth)}}`,
          `{"choices":[{"message":{"function_call":{"name":"f","arguments":${nested(depth)}}}}]}`
        ],
        (body) =>
          Effect.map(stream(body), (received) =>
            assert.include(failure(received, "MalformedResponseError").message, "is nested too deeply"))
      ))
  }

  it.effect("keys such as __proto__ are ordinary keys", () =>
    Effect.map(
      stream(
        "data: {\"__proto__\":{\"choices\":[]},\"constructor\":1,\"choices\":[{\"delta\":{\"content\":\"a\",\"__proto__\":{\"x\":1}},\"finish_reason\":\"toString\"}],\"usage\":{\"__proto__\":1,\"prompt_tokens\":1}}\n\n"
      ),
      (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(answer(received).finishReason, "other")
        assert.isUndefined(Reflect.get({}, "x"))
      }
    ))

  it.effect("a field of a wrong type is ignored", () =>
    Effect.forEach([null, 1, true, "x", [], {}, [[]], [null]], (value) =>
      Effect.map(
        stream(
          data({
            choices: [{ delta: { role: value, reasoning: {}, refusal: [], function_call: value, tool_calls: [value] } }]
          }) +
            data(choice({ delta: { content: "a" } }, { id: value, model: value, usage: value, x_groq: value })) +
            data({ choices: [value] }) + ends()
        ),
        (received) => assert.strictEqual(answer(received).text, "a")
      )))

  it.effect("control characters and escapes of a terminal stay unchanged", () =>
    Effect.map(stream(says("\u001b[2J\u0007") + ends()), (received) => {
      assert.strictEqual(answer(received).text, "\u001b[2J\u0007")
    }))
})

describe("the API key", () => {
  const key = "sk-very-secret-key-1234"
  const config = { apiKey: key, headers: { "x-proxy": Redacted.make("Bearer proxy-secret-99") } }

  const shown = (value: unknown): string =>
    `${JSON.stringify(value)} ${String(value)} ${Inspectable.toStringUnknown(value)} ${
      value instanceof Error ? `${value.message} ${value.stack} ${shown(value.cause)}` : ""
    }`

  const scripts: Readonly<Record<string, ScriptedHttpClient.ScriptedResponse>> = {
    "an error body": ScriptedHttpClient.json({ error: { message: `bad key ${key}`, code: key, type: key } }, {
      status: 401
    }),
    "an error body with the value of a header": ScriptedHttpClient.json({ error: "not proxy-secret-99" }, {
      status: 400
    }),
    "a request id": ScriptedHttpClient.json({}, { status: 500, headers: { "x-request-id": `id-${key}` } }),
    "a redirect": ScriptedHttpClient.text("", { status: 307, headers: { location: `http://other.test/?key=${key}` } }),
    "an error event": bytes([data({ error: { message: `bad key ${key}` } })]),
    "a broken event": bytes([`data: {${key}\n\n`]),
    "a refused connection": connectionError({ cause: new Error(`invalid header ${key}`) }),
    "a broken connection": bytes([says("a"), reset(`reset by ${key}`)]),
    "a long error body": ScriptedHttpClient.text("x".repeat(8185) + key, { status: 500 })
  }
  for (const [name, response] of Object.entries(scripts)) {
    it.effect(`is not in the error for ${name}`, () =>
      Effect.map(streamFrom([response], { config }), ({ outcome }) => {
        if (outcome._tag === "Right") return assert.fail("an answer")
        assert.notInclude(shown(outcome.left), key)
        assert.notInclude(shown(outcome.left), "sk-very")
        assert.notInclude(shown(outcome.left), "proxy-secret-99")
      }))
  }

  it.effect("is redacted even if the config has white space around it", () =>
    Effect.map(
      streamFrom([ScriptedHttpClient.json({ error: key }, { status: 401 })], {
        config: { apiKey: Redacted.make(`  ${key}\n`) }
      }),
      (received) => assert.strictEqual(failure(received, "AuthenticationError").message, "<redacted>")
    ))

  it.effect("is not redacted in the text of the model", () =>
    Effect.map(
      stream(
        calls({ index: 0, id: "t", function: { name: "f", arguments: "{}" } }) + data(delta({ content: key })) + ends(),
        { config }
      ),
      (received) => {
        assert.strictEqual(answer(received).text, key)
      }
    ))
})
