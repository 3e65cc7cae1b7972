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

describe("limits", () => {
  describe("of an event", () => {
    const long = says("x".repeat(5000))

    it.effect("one that is too long fails with the part that arrived", () =>
      Effect.map(stream(says("a") + long + ends() + done, { config: { maxEventSize: 1000 } }), (received) => {
        const error = failure(received, "MalformedResponseError")
        assert.strictEqual(error.partial?.text, "a")
        assert.include(error.message, "1000")
        assert.strictEqual(emittedText(received), "a")
      }))

    it.effect("one that arrives in pieces fails before its end", () =>
      Effect.map(
        streamFrom([
          bytes([says("a"), "data: ", ...Array.from({ length: 3000 }, () => "y"), ScriptedHttpClient.never])
        ], { config: { maxEventSize: 1000 } }),
        (received) => {
          failure(received, "MalformedResponseError")
          assert.strictEqual(received.open, 0)
        }
      ))

    it.effect("one of many lines fails too", () =>
      Effect.map(stream("data: x\n".repeat(2000), { config: { maxEventSize: 1000 } }), (received) => {
        failure(received, "MalformedResponseError")
      }))

    it.effect("a comment that is too long fails too", () =>
      Effect.map(stream([`:${"z".repeat(5000)}`], { config: { maxEventSize: 1000 } }), (received) => {
        failure(received, "MalformedResponseError")
      }))

    it.effect("many that are short enough do not count together", () =>
      Effect.map(stream(says("a").repeat(500) + ends(), { config: { maxEventSize: 1000 } }), (received) => {
        assert.lengthOf(answer(received).text, 500)
      }))

    it.effect("one of 4 MiB is within the default", () =>
      Effect.map(stream(says("x".repeat(4 * 1024 * 1024)) + ends()), (received) => {
        assert.lengthOf(answer(received).text, 4 * 1024 * 1024)
      }))
  })

  describe("of a document", () => {
    const body = JSON.stringify(completion({ content: "é".repeat(1000) }))

    it.effect("one that is too long fails", () =>
      Effect.map(complete(body, { config: { maxBodySize: 1000 } }), (received) => {
        assert.include(failure(received, "MalformedResponseError").message, "1000 bytes")
      }))

    it.effect("it counts bytes, to the last", () =>
      Effect.gen(function*() {
        const size = encode(body).length
        answer(yield* complete(body, { config: { maxBodySize: size } }))
        failure(yield* complete(body, { config: { maxBodySize: size - 1 } }), "MalformedResponseError")
      }))

    it.effect("one without an end is not read to it", () =>
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

    it.effect("one with too many keys and values for its limit fails, before it is parsed", () =>
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

    it.effect("members of a document are too many before values are", () =>
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

    it.effect("calls beyond a few thousand are too many, pieces of their arguments are not", () =>
      Effect.gen(function*() {
        const piece = (n: number) => calls({ index: n, id: `c${n}`, function: { name: "f", arguments: "{}" } })
        const short = (n: number) => calls({ index: 0, id: "c", function: { name: "f", arguments: `w${n % 10} ` } })
        failure(yield* stream(Array.from({ length: 10_000 }, (_, n) => piece(n)).join("")), "MalformedResponseError")
        const received = yield* stream(Array.from({ length: 50_000 }, (_, n) => short(n)).join("") + ends())
        assert.lengthOf(answer(received).toolCalls[0]?.arguments ?? "", 150_000)
      }))

    it.effect("an answer that ends in the chunk in which it gets too long is an answer", () =>
      Effect.map(
        streamFrom([bytes([says("a".repeat(2000)) + ends() + done])], { config: { maxBodySize: 1000 } }),
        (received) => assert.lengthOf(answer(received).text, 2000)
      ))

    it.effect("a stream has no limit but that of its events", () =>
      Effect.map(stream(says("a").repeat(500) + ends(), { config: { maxBodySize: 1000 } }), (received) => {
        assert.lengthOf(answer(received).text, 500)
      }))
  })

  describe("of an error", () => {
    it.effect("its body and its message are kept up to 8192 characters", () =>
      Effect.map(stream("no ".repeat(20_000), { status: 500, contentType: "text/plain" }), (received) => {
        const error = failure(received, "ServerError")
        assert.strictEqual(error.body?.length, 8192)
        assert.strictEqual(error.message.length, 8192)
      }))

    it.effect("its body is not read without end", () =>
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
        const pieces = Array.from({ length: 40 }, () => encode("no ".repeat(1024)))
        const server = yield* serve(() => ({ status: 500, headers: {}, pieces, ending: "stall" }))
        const { outcome } = yield* collect({ config: { baseUrl: server.url } })
        assert.strictEqual(outcome._tag === "Left" ? outcome.left._tag : "", "ServerError")
      }).pipe(Effect.scoped, Effect.provide(ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer)))))
  })
})

describe("hostile answers", () => {
  const depths = [1000, 200_000]

  for (const depth of depths) {
    it.effect(`JSON nested ${depth} deep is an error that can be handled, wherever it is`, () =>
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
        (body) => Effect.map(Effect.exit(stream(body)), (exit) => assert.strictEqual(exit._tag, "Success", "no defect"))
      ))
  }

  it.effect("keys that name a prototype are keys", () =>
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
    Effect.forEach([null, 1, true, "x", [], {}, [[]], [null]], (odd) =>
      Effect.map(
        stream(
          data({
            choices: [{ delta: { role: odd, reasoning: {}, refusal: [], function_call: odd, tool_calls: [odd] } }]
          }) +
            data(choice({ delta: { content: "a" } }, { id: odd, model: odd, usage: odd, x_groq: odd })) +
            data({ choices: [odd] }) + ends()
        ),
        (received) => assert.strictEqual(answer(received).text, "a")
      )))

  it.effect("control characters and escapes of a terminal stay unchanged", () =>
    Effect.map(stream(says("\u001b[2J\u0007") + ends()), (received) => {
      assert.strictEqual(answer(received).text, "\u001b[2J\u0007")
    }))
})

describe("the key", () => {
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
    it.effect(`is in no part of the error for ${name}`, () =>
      Effect.map(streamFrom([response], { config }), ({ outcome }) => {
        if (outcome._tag === "Right") return assert.fail("an answer")
        assert.notInclude(shown(outcome.left), key)
        assert.notInclude(shown(outcome.left), "sk-very")
        assert.notInclude(shown(outcome.left), "proxy-secret-99")
      }))
  }

  it.effect("is scrubbed even if the config has white space around it", () =>
    Effect.map(
      streamFrom([ScriptedHttpClient.json({ error: key }, { status: 401 })], {
        config: { apiKey: Redacted.make(`  ${key}\n`) }
      }),
      (received) => assert.strictEqual(failure(received, "AuthenticationError").message, "<redacted>")
    ))

  it.effect("does not change the text of the model", () =>
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
