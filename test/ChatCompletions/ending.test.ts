import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, complete, failure, stream, streamFrom, told } from "../support/wire/ask.ts"
import { calls, choice, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const { bytes, delay, never, reset } = ScriptedHttpClient

/** A completion that does not say why it ended. */
const endless = { choices: [{ index: 0, message: { role: "assistant", content: "a" } }] }

describe("the end of an answer", () => {
  describe("a complete answer has", () => {
    it.effect("a finish reason and [DONE]", () =>
      Effect.map(stream(says("a") + ends() + done), (heard) => {
        assert.strictEqual(answer(heard).finishReason, "stop")
        assert.strictEqual(answer(heard).rawFinishReason, "stop")
        assert.strictEqual(heard.open, 0)
      }))

    it.effect("a finish reason without [DONE]", () =>
      Effect.map(stream(says("a") + ends("length")), (heard) => {
        assert.strictEqual(answer(heard).text, "a")
        assert.strictEqual(answer(heard).finishReason, "length")
      }))

    it.effect("[DONE] without a finish reason, which is then stop without a raw reason", () =>
      Effect.map(stream(says("a") + done), (heard) => {
        assert.strictEqual(answer(heard).finishReason, "stop")
        assert.isUndefined(answer(heard).rawFinishReason)
      }))

    it.effect("[DONE] without a finish reason after tool calls, which is then tool-calls", () =>
      Effect.map(
        stream(calls({ index: 0, id: "t1", function: { name: "f", arguments: "{}" } }) + done),
        (heard) => assert.strictEqual(answer(heard).finishReason, "tool-calls")
      ))

    it.effect("the finish reason of a document beside events", () =>
      Effect.map(stream(`id: 1\n\n ${JSON.stringify(completion({ content: "a" }))}`), (heard) => {
        assert.strictEqual(answer(heard).text, "a")
      }))

    it.effect("[DONE] after a document beside events, whatever the document contains", () =>
      Effect.map(stream(`id: 1\n\n ${JSON.stringify(endless)}\n\n${done}`), (heard) => {
        assert.strictEqual(answer(heard).text, "a")
      }))

    it.effect("a stream without usage is complete", () =>
      Effect.map(stream(says("a") + ends() + done), (heard) => assert.isUndefined(answer(heard).usage)))

    it.effect("a connection that is reset after the finish reason", () =>
      Effect.map(streamFrom([bytes([says("a"), ends(), reset()])]), (heard) => {
        assert.strictEqual(answer(heard).text, "a")
        assert.strictEqual(heard.open, 0)
      }))

    it.effect("silence after the finish reason for the idle time", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(
          streamFrom([bytes([says("a"), ends(), never])], { config: { idleTimeout: "10 seconds" } })
        )
        yield* TestClock.adjust("9999 millis")
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust("1 millis")
        const heard = yield* Fiber.join(fiber)
        assert.strictEqual(answer(heard).text, "a")
      }))

    it.effect("usage that comes after the finish reason is part of it", () =>
      Effect.map(
        streamFrom([
          bytes([says("a"), ends(), delay("1 seconds"), data({ choices: [], usage: { prompt_tokens: 3 } }), done])
        ]).pipe(Effect.fork, Effect.tap(TestClock.adjust("1 seconds")), Effect.flatMap(Fiber.join)),
        (heard) => assert.strictEqual(answer(heard).usage?.inputTokens, 3)
      ))

    it.effect("the end of the body, if the config allows it", () =>
      Effect.map(stream(says("a"), { wire: { endOfStreamIsComplete: true } }), (heard) => {
        assert.strictEqual(answer(heard).text, "a")
        assert.strictEqual(answer(heard).finishReason, "stop")
      }))

    it.effect("an empty body is an error even then", () =>
      Effect.map(stream("", { wire: { endOfStreamIsComplete: true } }), (heard) => {
        failure(heard, "TruncatedError")
      }))
  })

  describe("a truncated answer has", () => {
    it.effect("a document or a chunk beside events without a finish reason", () =>
      Effect.forEach(
        [endless, choice({ delta: { content: "a" } })],
        (beside) =>
          Effect.map(stream(`id: 1\n\n ${JSON.stringify(beside)}`), (heard) => {
            assert.strictEqual(failure(heard, "TruncatedError").partial?.text, "a")
          })
      ))

    it.effect("neither a finish reason nor [DONE]: the error has the part that arrived, and its usage", () =>
      Effect.map(
        stream(says("Hel") + data(delta({ content: "lo" }, { usage: { prompt_tokens: 5, completion_tokens: 2 } }))),
        (heard) => {
          const error = failure(heard, "TruncatedError")
          assert.strictEqual(error.partial?.text, "Hello")
          assert.strictEqual(error.partial?.finishReason, "error")
          assert.strictEqual(error.partial?.usage?.totalTokens, 7)
          assert.strictEqual(error.status, 200)
          assert.isTrue(error.isRetryable)
          assert.strictEqual(told(heard), "Hello")
        }
      ))

    it.effect("a stream of finish reasons that are all null", () =>
      Effect.map(stream(says("a") + ends(null)), (heard) => {
        assert.strictEqual(failure(heard, "TruncatedError").partial?.text, "a")
      }))

    it.effect("a reset before the finish reason is a broken connection, with the part that arrived", () =>
      Effect.map(streamFrom([bytes([says("a"), reset()])]), (heard) => {
        const error = failure(heard, "TransportError")
        assert.strictEqual(error.partial?.text, "a")
        assert.include(error.message, "ECONNRESET")
        assert.lengthOf(heard.requests, 1)
      }))

    it.effect("a truncated tool call is in the error and in no answer", () =>
      Effect.map(
        stream(calls({ index: 0, id: "t1", function: { name: "f", arguments: "{\"a\":" } })),
        (heard) => {
          const error = failure(heard, "TruncatedError")
          assert.deepStrictEqual(error.partial?.toolCalls, [{ id: "t1", name: "f", arguments: "{\"a\":" }])
        }
      ))

    it.effect("a truncated function call is in the error too", () =>
      Effect.map(stream(data(delta({ function_call: { name: "f", arguments: "{" } }))), (heard) => {
        const error = failure(heard, "TruncatedError")
        assert.deepStrictEqual(error.partial?.functionCall, { name: "f", arguments: "{" })
        assert.notInclude(error.message, "empty")
      }))

    it.effect("an empty 200 is a truncated answer, which is retryable", () =>
      Effect.map(stream(""), (heard) => {
        const error = failure(heard, "TruncatedError")
        assert.strictEqual(error.message, "The server sent an empty answer")
        assert.isTrue(error.isRetryable)
        assert.isUndefined(error.partial)
      }))

    it.effect("an empty 200 without a stream is an empty answer too", () =>
      Effect.map(complete(" \n \n"), (heard) => {
        assert.strictEqual(failure(heard, "TruncatedError").message, "The server sent an empty answer")
      }))

    it.effect("[DONE] after nothing is an empty answer", () =>
      Effect.forEach(
        [done, `: keep-alive\n\n${done}`, data({ choices: [] }) + done],
        (body) =>
          Effect.map(stream(body), (heard) => {
            assert.strictEqual(failure(heard, "TruncatedError").message, "The server sent an empty answer")
          })
      ))

    it.effect("nothing but comments is an empty answer", () =>
      Effect.map(stream(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"), (heard) => {
        assert.strictEqual(failure(heard, "TruncatedError").message, "The server sent an empty answer")
      }))

    it.effect("a document that ends early is truncated", () =>
      Effect.map(complete(JSON.stringify(completion({ content: "hello" })).slice(0, -20)), (heard) => {
        failure(heard, "TruncatedError")
      }))

    it.effect("a reset within a document is a broken connection", () =>
      Effect.map(streamFrom([bytes(["{\"choices\":[", reset()])]), (heard) => {
        failure(heard, "TransportError")
      }))
  })

  describe("finish reasons", () => {
    const reasons: ReadonlyArray<readonly [string, string]> = [
      ["stop", "stop"],
      ["eos", "stop"],
      ["eos_token", "stop"],
      ["end_turn", "stop"],
      ["STOP", "stop"],
      ["length", "length"],
      ["max_tokens", "length"],
      ["MAX_TOKENS", "length"],
      ["model_length", "length"],
      ["model_context_window_exceeded", "length"],
      ["tool_calls", "tool-calls"],
      ["function_call", "tool-calls"],
      ["content_filter", "content-filter"],
      ["SAFETY", "content-filter"],
      ["content_filter: PROHIBITED_CONTENT", "content-filter"],
      ["guardrail_intervened", "content-filter"],
      ["refusal", "content-filter"],
      ["repetition", "other"],
      ["__proto__", "other"],
      ["constructor", "other"]
    ]
    for (const [raw, reason] of reasons) {
      it.effect(`${raw} is ${reason}, and the raw reason is kept`, () =>
        Effect.map(stream(says("a") + ends(raw) + done), (heard) => {
          assert.strictEqual(answer(heard).finishReason, reason)
          assert.strictEqual(answer(heard).rawFinishReason, raw)
        }))
    }

    it.effect("length without text is an answer with that reason (an overflow that the server does not report as an error)", () =>
      Effect.map(
        stream(ends("length") + data({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 0 } }) + done),
        (heard) => {
          assert.strictEqual(answer(heard).text, "")
          assert.strictEqual(answer(heard).finishReason, "length")
          assert.strictEqual(answer(heard).usage?.inputTokens, 9)
          assert.strictEqual(answer(heard).usage?.outputTokens, 0)
        }
      ))

    it.effect("an empty one on every chunk is ignored until a real one arrives", () => {
      const chunk = (content: string, finish_reason: string) => data(choice({ delta: { content }, finish_reason }))
      return Effect.map(stream(chunk("a", "") + chunk("b", "") + chunk("c", "length")), (heard) => {
        assert.strictEqual(answer(heard).text, "abc")
        assert.strictEqual(answer(heard).rawFinishReason, "length")
      })
    })

    it.effect("an empty one at the end is ignored: the answer is truncated", () =>
      Effect.map(stream(says("a") + ends("")), (heard) => {
        failure(heard, "TruncatedError")
      }))

    it.effect("the text null is ignored", () =>
      Effect.map(stream(data(choice({ delta: { content: "a" }, finish_reason: "null" }))), (heard) => {
        failure(heard, "TruncatedError")
      }))

    it.effect("a repeated one counts once", () =>
      Effect.map(stream(says("a") + ends() + ends() + data(choice({ delta: {} })) + done), (heard) => {
        assert.strictEqual(answer(heard).rawFinishReason, "stop")
      }))

    it.effect("the last of two that conflict counts", () =>
      Effect.map(stream(says("a") + ends("tool_calls") + ends("stop") + done), (heard) => {
        assert.strictEqual(answer(heard).rawFinishReason, "stop")
      }))

    it.effect("deltas after it still belong to the answer", () =>
      Effect.map(stream(says("a") + ends() + says("b") + ends() + done), (heard) => {
        assert.strictEqual(answer(heard).text, "ab")
      }))

    const failures = `error abort network_error insufficient_system_resource model_error invalid_tool_call
      invalid_request_error authentication_error`
    for (const raw of failures.split(/\s+/)) {
      it.effect(`${raw} is a failure, with the part that arrived`, () =>
        Effect.map(stream(says("a") + ends(raw) + done), (heard) => {
          const error = failure(heard, "ServerError")
          assert.strictEqual(error.message, `The server ended the answer with "${raw}"`)
          assert.strictEqual(error.code, raw)
          assert.strictEqual(error.partial?.text, "a")
          assert.strictEqual(told(heard), "a")
        }))
    }

    it.effect("error is a failure even if nothing follows it", () =>
      Effect.map(stream(says("a") + ends("error")), (heard) => {
        failure(heard, "ServerError")
      }))

    it.effect("error is a failure even if the connection breaks after it", () =>
      Effect.map(streamFrom([bytes([says("a"), ends("error"), reset()])]), (heard) => {
        assert.strictEqual(failure(heard, "ServerError").code, "error")
      }))

    it.effect("no later reason turns a failure into a success", () =>
      Effect.map(stream(says("a") + ends("error") + ends("stop") + done), (heard) => {
        failure(heard, "ServerError")
      }))

    it.effect("the message that follows a failure is the message of the error", () =>
      Effect.map(
        stream(says("a") + ends("error") + data({ error: { message: "the GPU fell off", code: 500 } })),
        (heard) => assert.strictEqual(failure(heard, "ServerError").message, "the GPU fell off")
      ))

    it.effect("error in a document is a failure with the document's text", () =>
      Effect.map(
        complete(JSON.stringify({
          choices: [{ index: 0, message: { content: "half" }, finish_reason: "error" }]
        })),
        (heard) => assert.strictEqual(failure(heard, "ServerError").partial?.text, "half")
      ))
  })
})
