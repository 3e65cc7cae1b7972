import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, complete, emittedText, failure, stream, streamFrom } from "../support/wire/ask.ts"
import { calls, choice, completion, data, delta, done, ends, says } from "../support/wire/say.ts"

const { bytes, delay, never, reset } = ScriptedHttpClient

/** A completion without a finish reason. */
const endless = { choices: [{ index: 0, message: { role: "assistant", content: "a" } }] }

describe("the end of an answer", () => {
  describe("an answer is complete with", () => {
    it.effect("a finish reason and [DONE]", () =>
      Effect.map(stream(says("a") + ends() + done), (received) => {
        assert.strictEqual(answer(received).finishReason, "stop")
        assert.strictEqual(answer(received).rawFinishReason, "stop")
        assert.strictEqual(received.open, 0)
      }))

    it.effect("a finish reason without [DONE]", () =>
      Effect.map(stream(says("a") + ends("length")), (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(answer(received).finishReason, "length")
      }))

    it.effect("[DONE] alone: the finish reason is stop, without a raw reason", () =>
      Effect.map(stream(says("a") + done), (received) => {
        assert.strictEqual(answer(received).finishReason, "stop")
        assert.isUndefined(answer(received).rawFinishReason)
      }))

    it.effect("[DONE] alone after tool calls: the finish reason is tool-calls", () =>
      Effect.map(
        stream(calls({ index: 0, id: "t1", function: { name: "f", arguments: "{}" } }) + done),
        (received) => assert.strictEqual(answer(received).finishReason, "tool-calls")
      ))

    it.effect("the finish reason of a document outside of the events", () =>
      Effect.map(stream(`id: 1\n\n ${JSON.stringify(completion({ content: "a" }))}`), (received) => {
        assert.strictEqual(answer(received).text, "a")
      }))

    it.effect("[DONE] after a document outside of the events, even if the document has no finish reason", () =>
      Effect.map(stream(`id: 1\n\n ${JSON.stringify(endless)}\n\n${done}`), (received) => {
        assert.strictEqual(answer(received).text, "a")
      }))

    it.effect("no usage", () =>
      Effect.map(stream(says("a") + ends() + done), (received) => assert.isUndefined(answer(received).usage)))

    it.effect("a reset connection after the finish reason", () =>
      Effect.map(streamFrom([bytes([says("a"), ends(), reset()])]), (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(received.open, 0)
      }))

    it.effect("an exceeded idle time after the finish reason", () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(
          streamFrom([bytes([says("a"), ends(), never])], { config: { idleTimeout: "10 seconds" } })
        )
        yield* TestClock.adjust("9999 millis")
        assert.isNull(fiber.unsafePoll())
        yield* TestClock.adjust("1 millis")
        const received = yield* Fiber.join(fiber)
        assert.strictEqual(answer(received).text, "a")
      }))

    it.effect("usage after the finish reason, which is part of it", () =>
      Effect.map(
        streamFrom([
          bytes([says("a"), ends(), delay("1 seconds"), data({ choices: [], usage: { prompt_tokens: 3 } }), done])
        ]).pipe(Effect.fork, Effect.tap(TestClock.adjust("1 seconds")), Effect.flatMap(Fiber.join)),
        (received) => assert.strictEqual(answer(received).usage?.inputTokens, 3)
      ))

    it.effect("the end of the body, if the config allows it", () =>
      Effect.map(stream(says("a"), { wire: { endOfStreamIsComplete: true } }), (received) => {
        assert.strictEqual(answer(received).text, "a")
        assert.strictEqual(answer(received).finishReason, "stop")
      }))

    it.effect("the end of the body only if the body is not empty, even if the config allows it", () =>
      Effect.map(stream("", { wire: { endOfStreamIsComplete: true } }), (received) => {
        failure(received, "TruncatedError")
      }))
  })

  describe("an answer is an error with", () => {
    it.effect("a document or a chunk outside of the events that has no finish reason", () =>
      Effect.forEach(
        [endless, choice({ delta: { content: "a" } })],
        (beside) =>
          Effect.map(stream(`id: 1\n\n ${JSON.stringify(beside)}`), (received) => {
            assert.strictEqual(failure(received, "TruncatedError").partial?.text, "a")
          })
      ))

    it.effect("neither a finish reason nor [DONE]: the error has the part that arrived and its usage", () =>
      Effect.map(
        stream(says("Hel") + data(delta({ content: "lo" }, { usage: { prompt_tokens: 5, completion_tokens: 2 } }))),
        (received) => {
          const error = failure(received, "TruncatedError")
          assert.strictEqual(error.partial?.text, "Hello")
          assert.strictEqual(error.partial?.finishReason, "error")
          assert.strictEqual(error.partial?.usage?.totalTokens, 7)
          assert.strictEqual(error.status, 200)
          assert.isTrue(error.isRetryable)
          assert.strictEqual(emittedText(received), "Hello")
        }
      ))

    it.effect("only finish reasons that are null", () =>
      Effect.map(stream(says("a") + ends(null)), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").partial?.text, "a")
      }))

    it.effect("a reset before the finish reason: a TransportError with the part that arrived", () =>
      Effect.map(streamFrom([bytes([says("a"), reset()])]), (received) => {
        const error = failure(received, "TransportError")
        assert.strictEqual(error.partial?.text, "a")
        assert.include(error.message, "ECONNRESET")
        assert.lengthOf(received.requests, 1)
      }))

    it.effect("a truncated tool call, which is only in the partial answer of the error", () =>
      Effect.map(
        stream(calls({ index: 0, id: "t1", function: { name: "f", arguments: "{\"a\":" } })),
        (received) => {
          const error = failure(received, "TruncatedError")
          assert.deepStrictEqual(error.partial?.toolCalls, [{ id: "t1", name: "f", arguments: "{\"a\":" }])
        }
      ))

    it.effect("a truncated function call, which is in the partial answer of the error", () =>
      Effect.map(stream(data(delta({ function_call: { name: "f", arguments: "{" } }))), (received) => {
        const error = failure(received, "TruncatedError")
        assert.deepStrictEqual(error.partial?.functionCall, { name: "f", arguments: "{" })
        assert.notInclude(error.message, "empty")
      }))

    it.effect("an empty body and status 200: a retryable TruncatedError", () =>
      Effect.map(stream(""), (received) => {
        const error = failure(received, "TruncatedError")
        assert.strictEqual(error.message, "The server sent an empty answer")
        assert.isTrue(error.isRetryable)
        assert.isUndefined(error.partial)
      }))

    it.effect("a blank body and status 200 without a stream", () =>
      Effect.map(complete(" \n \n"), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").message, "The server sent an empty answer")
      }))

    it.effect("nothing before [DONE]", () =>
      Effect.forEach(
        [done, `: keep-alive\n\n${done}`, data({ choices: [] }) + done],
        (body) =>
          Effect.map(stream(body), (received) => {
            assert.strictEqual(failure(received, "TruncatedError").message, "The server sent an empty answer")
          })
      ))

    it.effect("nothing but comments", () =>
      Effect.map(stream(": OPENROUTER PROCESSING\n\n: OPENROUTER PROCESSING\n\n"), (received) => {
        assert.strictEqual(failure(received, "TruncatedError").message, "The server sent an empty answer")
      }))

    it.effect("a document that is cut off", () =>
      Effect.map(complete(JSON.stringify(completion({ content: "hello" })).slice(0, -20)), (received) => {
        failure(received, "TruncatedError")
      }))

    it.effect("a reset within a document: a TransportError", () =>
      Effect.map(streamFrom([bytes(["{\"choices\":[", reset()])]), (received) => {
        failure(received, "TransportError")
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
        Effect.map(stream(says("a") + ends(raw) + done), (received) => {
          assert.strictEqual(answer(received).finishReason, reason)
          assert.strictEqual(answer(received).rawFinishReason, raw)
        }))
    }

    it.effect("length without text is an answer with that reason (a server that reports an overflow without an error)", () =>
      Effect.map(
        stream(ends("length") + data({ choices: [], usage: { prompt_tokens: 9, completion_tokens: 0 } }) + done),
        (received) => {
          assert.strictEqual(answer(received).text, "")
          assert.strictEqual(answer(received).finishReason, "length")
          assert.strictEqual(answer(received).usage?.inputTokens, 9)
          assert.strictEqual(answer(received).usage?.outputTokens, 0)
        }
      ))

    it.effect("an empty reason on every chunk is ignored until a real one arrives", () => {
      const chunk = (content: string, finish_reason: string) => data(choice({ delta: { content }, finish_reason }))
      return Effect.map(stream(chunk("a", "") + chunk("b", "") + chunk("c", "length")), (received) => {
        assert.strictEqual(answer(received).text, "abc")
        assert.strictEqual(answer(received).rawFinishReason, "length")
      })
    })

    it.effect("an empty reason at the end is ignored: the answer is truncated", () =>
      Effect.map(stream(says("a") + ends("")), (received) => {
        failure(received, "TruncatedError")
      }))

    it.effect("the text null is ignored", () =>
      Effect.map(stream(data(choice({ delta: { content: "a" }, finish_reason: "null" }))), (received) => {
        failure(received, "TruncatedError")
      }))

    it.effect("a repeated reason counts once", () =>
      Effect.map(stream(says("a") + ends() + ends() + data(choice({ delta: {} })) + done), (received) => {
        assert.strictEqual(answer(received).rawFinishReason, "stop")
      }))

    it.effect("the last of two different reasons is used", () =>
      Effect.map(stream(says("a") + ends("tool_calls") + ends("stop") + done), (received) => {
        assert.strictEqual(answer(received).rawFinishReason, "stop")
      }))

    it.effect("deltas after a reason still belong to the answer", () =>
      Effect.map(stream(says("a") + ends() + says("b") + ends() + done), (received) => {
        assert.strictEqual(answer(received).text, "ab")
      }))

    const failures = `error abort network_error insufficient_system_resource model_error invalid_tool_call
      invalid_request_error authentication_error`
    for (const raw of failures.split(/\s+/)) {
      it.effect(`${raw} is a failure with the part that arrived`, () =>
        Effect.map(stream(says("a") + ends(raw) + done), (received) => {
          const error = failure(received, "ServerError")
          assert.strictEqual(error.message, `The server ended the answer with "${raw}"`)
          assert.strictEqual(error.code, raw)
          assert.strictEqual(error.partial?.text, "a")
          assert.strictEqual(emittedText(received), "a")
        }))
    }

    it.effect("error is a failure even if nothing follows it", () =>
      Effect.map(stream(says("a") + ends("error")), (received) => {
        failure(received, "ServerError")
      }))

    it.effect("error is a failure even if the connection breaks after it", () =>
      Effect.map(streamFrom([bytes([says("a"), ends("error"), reset()])]), (received) => {
        assert.strictEqual(failure(received, "ServerError").code, "error")
      }))

    it.effect("no later reason turns a failure into a success", () =>
      Effect.map(stream(says("a") + ends("error") + ends("stop") + done), (received) => {
        failure(received, "ServerError")
      }))

    it.effect("the message after a failure is the message of the error", () =>
      Effect.map(
        stream(says("a") + ends("error") + data({ error: { message: "the GPU fell off", code: 500 } })),
        (received) => assert.strictEqual(failure(received, "ServerError").message, "the GPU fell off")
      ))

    it.effect("error in a document is a failure with the document's text", () =>
      Effect.map(
        complete(JSON.stringify({
          choices: [{ index: 0, message: { content: "half" }, finish_reason: "error" }]
        })),
        (received) => assert.strictEqual(failure(received, "ServerError").partial?.text, "half")
      ))
  })
})
