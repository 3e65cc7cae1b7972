import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import { answer, complete, emittedText, failure, reply, stream, streamFrom } from "../support/wire/ask.ts"
import { completion, data, delta, done, ends, says } from "../support/wire/say.ts"

interface Shape {
  readonly body: string
  readonly message: string
  readonly code?: string
  readonly type?: string
}

const shapes: Readonly<Record<string, Shape>> = {
  "an error object": {
    body: data({ error: { message: "it broke", type: "server_error", code: "boom" } }),
    message: "it broke",
    code: "boom",
    type: "server_error"
  },
  "an error object with a number for its code": {
    body: data({ error: { message: "it broke", code: 502 } }),
    message: "it broke",
    code: "502"
  },
  "an error text": { body: data({ error: "it broke" }), message: "it broke" },
  "an event with the object error": {
    body: data({ object: "error", message: "it broke", type: "BadRequestError", code: 500 }),
    message: "it broke",
    code: "500",
    type: "BadRequestError"
  },
  "an event with the type error": {
    body: data({ type: "error", error: { type: "overloaded_error", message: "it broke" } }),
    message: "it broke",
    type: "overloaded_error"
  },
  "an error object with the message outside of it (LM Studio)": {
    body: data({ error: { message: "it broke" }, message: "it broke" }),
    message: "it broke"
  },
  "an event named error": {
    body: `event: error\n${data({ error: { message: "it broke", code: "boom" } })}`,
    message: "it broke",
    code: "boom"
  },
  "an event named error whose data is the error itself": {
    body: `event: error\n${data({ message: "it broke", code: "boom" })}`,
    message: "it broke",
    code: "boom"
  },
  "an event named error whose data is plain text": { body: "event: error\ndata: it broke\n\n", message: "it broke" },
  "a field named error (llama.cpp of 2025)": {
    body: "error: {\"code\":500,\"message\":\"it broke\",\"type\":\"server_error\"}\n\n",
    message: "it broke",
    code: "500",
    type: "server_error"
  },
  "an error in a list": { body: data([{ error: { message: "it broke" } }]), message: "it broke" },
  "an error in the choice": {
    body: data({
      choices: [{ index: 0, delta: {}, finish_reason: "error", error: { message: "it broke", code: 502 } }]
    }),
    message: "it broke",
    code: "502"
  },
  "an error and choices": {
    body: data({
      choices: [{ index: 0, delta: { content: "" }, finish_reason: "error" }],
      error: { message: "it broke", code: 502 }
    }),
    message: "it broke",
    code: "502"
  },
  "a flat message and code": {
    body: data({ message: "it broke", type: "server_error", code: "boom" }),
    message: "it broke",
    code: "boom",
    type: "server_error"
  },
  "a detail": { body: data({ detail: "it broke" }), message: "it broke" },
  "an error in Groq's own member": {
    body: data({ choices: [], x_groq: { id: "r1", error: "it broke" } }),
    message: "it broke"
  },
  "an error in Groq's own member and a finish reason": {
    body: data({ choices: [{ index: 0, delta: {}, finish_reason: "stop" }], x_groq: { id: "r1", error: "it broke" } }),
    message: "it broke"
  },
  "an event named error whose message has an unknown name": {
    body: "event: error\ndata: {\"reason_code\":\"E1\",\"words\":\"it broke\"}\n\n",
    message: "{\"reason_code\":\"E1\",\"words\":\"it broke\"}"
  },
  "a text and an error code (FastChat)": {
    body: data({ text: "it broke", error_code: 50001 }),
    message: "it broke",
    code: "50001"
  },
  "words that say error": { body: "data: error: it broke\n\n", message: "error: it broke" },
  "a line of JSON without data": {
    body: "{\"error\":{\"message\":\"it broke\",\"code\":\"boom\"}}\n\n",
    message: "it broke",
    code: "boom"
  },
  "an error within an incomplete event": {
    body: "data: {\"choices\":[{\"delta\":{\"con\ndata: {\"error\":{\"message\":\"it broke\"}}\n\n",
    message: "it broke"
  },
  "an error object over several lines without data": {
    body: "{\n  \"error\": {\n    \"message\": \"it broke\"\n  }\n}\n",
    message: "it broke"
  }
}

describe("an error inside a 200", () => {
  for (const [name, shape] of Object.entries(shapes)) {
    const isError = (received: Parameters<typeof failure>[0], text: string | undefined) => {
      const error = failure(received, "ServerError")
      assert.strictEqual(error.message, shape.message)
      assert.strictEqual(error.code, shape.code)
      assert.strictEqual(error.type, shape.type)
      assert.strictEqual(error.status, 200)
      assert.strictEqual(error.partial?.text, text)
      assert.strictEqual(emittedText(received), text ?? "")
    }

    it.effect(`${name}, before any delta, is an error`, () =>
      Effect.map(stream(shape.body), (received) => isError(received, undefined)))

    it.effect(`${name}, after a delta, is an error with the part that arrived`, () =>
      Effect.map(stream(says("Hi") + shape.body), (received) => isError(received, "Hi")))

    it.effect(`${name}, then [DONE], is an error`, () =>
      Effect.map(stream(says("Hi") + shape.body + done), (received) => isError(received, "Hi")))

    it.effect(`${name}, after comments, is an error`, () =>
      Effect.map(stream(`: OPENROUTER PROCESSING\n\n${shape.body}`), (received) => isError(received, undefined)))

    it.effect(`${name}, before any delta, is retried`, () =>
      Effect.gen(function*() {
        const fiber = yield* Effect.fork(
          streamFrom([reply(shape.body), reply(says("Hi") + ends() + done)], { config: { maxRetries: 1 } })
        )
        yield* TestClock.adjust("10 seconds")
        const received = yield* Fiber.join(fiber)
        assert.strictEqual(answer(received).text, "Hi")
        assert.lengthOf(received.requests, 2)
      }))

    it.effect(`${name}, after a delta, is not retried`, () =>
      Effect.map(
        streamFrom([reply(says("Hi") + shape.body), reply(says("Hi") + done)], { config: { maxRetries: 3 } }),
        (received) => {
          isError(received, "Hi")
          assert.lengthOf(received.requests, 1)
        }
      ))
  }

  it.effect("usage before the error does not prevent a retry, and is not emitted twice", () =>
    Effect.gen(function*() {
      const usage = data({ choices: [], usage: { prompt_tokens: 1 } })
      const fiber = yield* Effect.fork(streamFrom(
        [reply([usage, data({ error: "it broke" })]), reply([usage, says("Hi"), done])],
        { config: { maxRetries: 1 } }
      ))
      yield* TestClock.adjust("10 seconds")
      const received = yield* Fiber.join(fiber)
      assert.strictEqual(answer(received).text, "Hi")
      assert.lengthOf(received.events.filter((event) => event._tag === "UsageUpdate"), 1)
    }))

  it.effect("a rate limit inside a 200 is a RateLimitError with its wait", () =>
    Effect.map(
      stream(data({ error: { message: "Rate limit reached, try again in 20s", code: 429, type: "rate_limit" } })),
      (received) => {
        const error = failure(received, "RateLimitError")
        assert.strictEqual(error.retryAfter?.toString(), "Duration(20s)")
      }
    ))

  it.effect("an exceeded quota inside a 200 after a delta is a QuotaError", () =>
    Effect.map(
      stream(says("Hi") + data({ error: { message: "You exceeded your current quota", code: "insufficient_quota" } })),
      (received) => assert.strictEqual(failure(received, "QuotaError").partial?.text, "Hi")
    ))

  it.effect("an error field that is null, false or empty is not an error", () =>
    Effect.forEach([null, false, "", {}, { message: "", type: "", param: null, code: 0 }], (error) =>
      Effect.map(
        stream(data(delta({ content: "Hi" }, { error })) + ends() + done),
        (received) => assert.strictEqual(answer(received).text, "Hi")
      )))
})

describe("JSON as the answer to a request for a stream", () => {
  const document = JSON.stringify(completion({ content: "Hello" }, { usage: { prompt_tokens: 2 } }))

  for (const contentType of ["application/json", "text/event-stream", "text/plain", ""]) {
    it.effect(`a completion labelled "${contentType}" is an answer: its text is emitted, then Finish`, () =>
      Effect.map(stream(document, { contentType }), (received) => {
        assert.strictEqual(answer(received).text, "Hello")
        assert.strictEqual(answer(received).usage?.inputTokens, 2)
        assert.deepStrictEqual(received.events.map((event) => event._tag), [
          "Begin",
          "TextDelta",
          "UsageUpdate",
          "Finish"
        ])
      }))

    it.effect(`an error labelled "${contentType}" is an error with its message`, () =>
      Effect.map(stream("{\"error\":{\"message\":\"no such model\",\"code\":\"model_not_found\"}}", { contentType }), (
        received
      ) => assert.strictEqual(failure(received, "NotFoundError").message, "no such model")))
  }

  for (const contentType of ["application/json", "text/plain", "application/octet-stream", ""]) {
    it.effect(`a stream labelled "${contentType}" is a stream`, () =>
      Effect.map(stream([says("Hel"), says("lo"), ends(), done], { contentType }), (received) => {
        assert.strictEqual(answer(received).text, "Hello")
        assert.strictEqual(emittedText(received), "Hello")
      }))
  }

  it.effect("a stream in place of a document is an answer", () =>
    Effect.map(complete(says("Hel") + says("lo") + ends() + done, { contentType: "text/event-stream" }), (received) => {
      assert.strictEqual(answer(received).text, "Hello")
    }))

  it.effect("white space before JSON is ignored", () =>
    Effect.map(complete([" \n", "\n\n   ", `\r\n${document}`]), (received) => {
      assert.strictEqual(answer(received).text, "Hello")
    }))

  it.effect("a BOM before JSON is ignored", () =>
    Effect.map(complete(`\uFEFF${document}`), (received) => assert.strictEqual(answer(received).text, "Hello")))

  it.effect("comments before JSON are ignored", () =>
    Effect.map(complete(`: OPENROUTER PROCESSING\n\n${document}\n`), (received) => {
      assert.strictEqual(answer(received).text, "Hello")
    }))

  it.effect("JSON on several lines is one document", () =>
    Effect.map(complete(JSON.stringify(JSON.parse(document), null, 2)), (received) => {
      assert.strictEqual(answer(received).text, "Hello")
    }))

  it.effect("a completion in a list of one, or in the envelope of a gateway, is an answer", () =>
    Effect.forEach(
      [
        `[${document}]`,
        `{"code":200,"msg":"success","data":${document}}`,
        `{"result":${document},"success":true,"errors":[],"messages":[]}`
      ],
      (body) => Effect.map(complete(body), (received) => assert.strictEqual(answer(received).text, "Hello"))
    ))

  it.effect("JSON that is not a completion is malformed, and its body is kept", () =>
    Effect.map(complete("{\"id\":\"x\",\"object\":\"list\",\"model\":\"m\"}"), (received) => {
      assert.include(failure(received, "MalformedResponseError").body, "list")
    }))

  it.effect("an HTML page with status 200 is an error with the page's title", () =>
    Effect.map(
      stream("<!DOCTYPE html><html><head><title>Please sign in</title></head></html>", { contentType: "text/html" }),
      (received) => assert.strictEqual(failure(received, "ServerError").message, "Please sign in")
    ))

  it.effect("plain text with status 200 is an error with this text", () =>
    Effect.forEach(
      ["text/plain", "text/event-stream"],
      (contentType) =>
        Effect.map(stream("upstream is resting\n", { contentType }), (received) => {
          assert.strictEqual(failure(received, "ServerError").message, "upstream is resting")
        })
    ))
})

describe("events that are not part of the answer", () => {
  const namedEvent = (event: string, value: unknown) => `event: ${event}\n${data(value)}`
  const reports = {
    "progress with a message": namedEvent("x.progress", { message: "half of it" }),
    "progress with a tool's error": namedEvent("hermes.tool.progress", { status: "failed", error: "no such file" }),
    "a message in an event with an unknown name": namedEvent("gateway", { message: "cache miss" }),
    "text in an event with an unknown name": "event: status\ndata: waiting for a free slot\n\n",
    "an object whose type is progress": data({ type: "tool.progress", message: "half of it" }),
    "an object whose status is a progress state": data({ status: "processing", message: "half of it" })
  }
  for (const [name, report] of Object.entries(reports)) {
    it.effect(`are ignored: ${name}`, () =>
      Effect.map(stream(report + says("Hi") + report + says("!") + report + ends() + done), (received) => {
        assert.strictEqual(answer(received).text, "Hi!")
      }))
  }

  it.effect("do not include an error in an event with an unknown name", () =>
    Effect.map(stream(namedEvent("gateway", { error: { message: "it broke" } })), (received) => {
      assert.strictEqual(failure(received, "ServerError").message, "it broke")
    }))
})

describe("the error for llama.cpp's full cache", () => {
  const full = data({ error: { code: 500, message: "Context size has been exceeded.", type: "server_error" } })

  it.effect("is retried before the answer begins", () =>
    Effect.gen(function*() {
      const asking = yield* Effect.fork(
        streamFrom([reply(full), reply(says("Hi") + ends() + done)], { config: { maxRetries: 1 } })
      )
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(answer(yield* Fiber.join(asking)).text, "Hi")
    }))

  it.effect("is a ServerError with the part that arrived", () =>
    Effect.map(stream(says("Hi") + full), (received) => {
      assert.strictEqual(failure(received, "ServerError").partial?.text, "Hi")
    }))
})

describe("the texts of a server in an error", () => {
  it.effect("are bounded: message, body, code, type and request id", () =>
    Effect.gen(function*() {
      const longMessage = "l".repeat(1_000_000)
      const error = failure(
        yield* stream(data({ error: { message: longMessage, code: longMessage, type: longMessage } }), {
          headers: { "x-request-id": longMessage }
        }),
        "ServerError"
      )
      for (const text of [error.message, error.body]) assert.strictEqual(text?.length, 8192)
      for (const text of [error.code, error.type, error.requestId]) assert.strictEqual(text?.length, 256)
    }))
})
