import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect } from "effect"
import type { ChatError } from "effect-chat"
import { failure, type Sending, stream } from "../support/wire/ask.ts"

type Tag = ChatError.ChatError["_tag"]

/** A response with an error status. */
const refused = (status: number, body: unknown, sending: Sending = {}) =>
  stream(typeof body === "string" ? body : JSON.stringify(body), {
    contentType: "application/json",
    ...sending,
    status
  })

const expectError = (status: number, body: unknown, tag: Tag, message: string) =>
  Effect.map(refused(status, body), (received) => {
    const error = failure(received, tag)
    assert.strictEqual(error.message, message)
    assert.strictEqual(error.status, status)
    return error
  })

describe("error bodies", () => {
  it.effect("{error: {message, type, code}}", () =>
    Effect.map(
      expectError(
        404,
        { error: { message: "no model", type: "invalid_request_error", code: "model_not_found" } },
        "NotFoundError",
        "no model"
      ),
      (error) => {
        assert.strictEqual(error.code, "model_not_found")
        assert.strictEqual(error.type, "invalid_request_error")
      }
    ))

  const shapes: ReadonlyArray<readonly [string, unknown]> = [
    ["[{error: {message}}]", [{ error: { message: "no" } }]],
    ["{error: text}", { error: "no" }],
    ["{message}", { message: "no" }],
    ["{object: error, message}", { object: "error", message: "no", code: 40001 }],
    ["{detail: text}", { detail: "no" }],
    ["{detail: [{msg}]}", { detail: [{ loc: ["body", "n"], msg: "no", type: "value_error" }] }],
    ["{message: {detail: [{msg}]}}", { object: "error", message: { detail: [{ msg: "no" }] } }],
    ["{errors: [{message}]}", { errors: [{ message: "no" }] }],
    ["{error_msg}", { error_code: 1, error_msg: "no" }],
    ["plain text", "no"],
    ["the title of HTML", "<html><head><title>no</title></head><body>long advice</body></html>"]
  ]
  for (const [name, body] of shapes) {
    it.effect(`${name} is read, and the body is kept`, () =>
      Effect.map(expectError(400, body, "InvalidRequestError", "no"), (error) => assert.include(error.body, "no")))
  }

  const upstream = JSON.stringify({ error: { message: "the key is invalid", code: "invalid_api_key" } })
  const rows: ReadonlyArray<readonly [string, number, unknown, Tag, string]> = [
    [
      "a name in error and the message in message",
      500,
      { error: "TypeError", message: "x is undefined", status: 500 },
      "ServerError",
      "x is undefined"
    ],
    [
      "Portkey's HTML page of its upstream",
      502,
      { "html-message": "<html><title>502 Bad Gateway</title></html>" },
      "ServerError",
      "502 Bad Gateway"
    ],
    [
      "Portkey's status and message",
      400,
      { status: "failure", message: "no provider is set" },
      "InvalidRequestError",
      "no provider is set"
    ],
    ["a mock server's message", 404, { message: "Not Found", ok: false }, "NotFoundError", "Not Found"],
    [
      "an upstream's JSON within the message",
      400,
      { error: { message: upstream } },
      "AuthenticationError",
      "the key is invalid"
    ],
    [
      "llama.cpp's overflow of one request",
      400,
      {
        error: {
          code: 400,
          message: "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
          type: "exceed_context_size_error"
        }
      },
      "ContextLengthError",
      "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"
    ],
    [
      "llama.cpp's full cache, which is temporary",
      500,
      { error: { code: 500, message: "Context size has been exceeded.", type: "server_error" } },
      "ServerError",
      "Context size has been exceeded."
    ],
    [
      "llama.cpp's 500 that a retry cannot fix",
      500,
      {
        error: {
          code: 500,
          message: "image input is not supported - hint: you may need to provide the mmproj",
          type: "server_error"
        }
      },
      "InvalidRequestError",
      "image input is not supported - hint: you may need to provide the mmproj"
    ]
  ]
  for (const [name, status, body, tag, message] of rows) {
    it.effect(`${name} is ${tag}`, () => expectError(status, body, tag, message))
  }

  it.effect("OpenRouter's metadata.raw, the error of the upstream server, decides the class of the error", () => {
    const raw = JSON.stringify({
      error: { message: "maximum context length is 8 tokens", code: "context_length_exceeded" }
    })
    return expectError(
      400,
      { error: { message: "Provider returned error", code: 400, metadata: { raw, provider_name: "X" } } },
      "ContextLengthError",
      "Provider returned error"
    )
  })

  it.effect("an empty body gives a message that describes the status", () =>
    expectError(503, "", "ServerError", "Service unavailable (HTTP 503)"))

  it.effect("Cloudflare's page is reduced to its title", () =>
    expectError(
      502,
      "<!DOCTYPE html><html><head><title>api | 502: Bad gateway</title><style>x</style></head>",
      "ServerError",
      "api | 502: Bad gateway"
    ))

  it.effect("JSON labelled octet-stream is read as JSON", () =>
    Effect.map(refused(400, { error: { message: "no" } }, { contentType: "application/octet-stream" }), (received) => {
      assert.strictEqual(failure(received, "InvalidRequestError").message, "no")
    }))

  it.effect("a code may be a number, numeric text or null", () =>
    Effect.forEach(
      [[400, "400"], ["1261", "1261"], [null, undefined]] as const,
      ([code, expected]) =>
        Effect.map(refused(413, { error: { message: "no", code } }), (received) => {
          if (received.outcome._tag === "Left") assert.strictEqual(received.outcome.left.code, expected)
          else assert.fail("no error")
        })
    ))

  describe("the class of an error", () => {
    const rows: ReadonlyArray<readonly [string, number, unknown, Tag]> = [
      ["401", 401, { error: { message: "Incorrect API key provided" } }, "AuthenticationError"],
      ["403", 403, { error: { message: "not for you" } }, "PermissionError"],
      ["404", 404, "no", "NotFoundError"],
      ["400", 400, "no", "InvalidRequestError"],
      ["422", 422, "no", "InvalidRequestError"],
      ["408", 408, "no", "ServerError"],
      ["409", 409, "no", "ServerError"],
      ["500", 500, "no", "ServerError"],
      ["529", 529, "no", "ServerError"],
      ["429", 429, { error: { message: "slow down" } }, "RateLimitError"],
      ["402", 402, { error: { message: "pay" } }, "QuotaError"],
      ["429 with insufficient_quota", 429, { error: { message: "no", code: "insufficient_quota" } }, "QuotaError"],
      [
        "429 with credit_balance_exhausted",
        429,
        { error: { message: "Your credit balance is too low" } },
        "QuotaError"
      ],
      ["400 with an overflow in words", 400, {
        error: { message: "This model's maximum context length is 8192 tokens" }
      }, "ContextLengthError"],
      ["429 that says too many tokens (Bedrock throttling)", 429, {
        message: "Too many tokens, please wait before trying again."
      }, "RateLimitError"],
      ["400 from a content filter", 400, { error: { message: "x", code: "content_filter" } }, "ContentFilterError"]
    ]
    for (const [name, status, body, tag] of rows) {
      it.effect(`${name} is ${tag}`, () => Effect.map(refused(status, body), (received) => void failure(received, tag)))
    }
  })

  describe("other fields of errors", () => {
    const waits: ReadonlyArray<readonly [string, Readonly<Record<string, string>>, number | undefined]> = [
      ["retry-after in seconds", { "retry-after": "7" }, 7000],
      ["retry-after-ms", { "retry-after-ms": "1500" }, 1500],
      ["retry-after-ms of 0 and retry-after (Azure)", { "retry-after-ms": "0", "retry-after": "1" }, 1000],
      ["retry-after as a date (the Clock is at 0)", { "retry-after": "Thu, 01 Jan 1970 00:00:09 GMT" }, 9000],
      ["nothing", {}, undefined]
    ]
    for (const [name, headers, millis] of waits) {
      it.effect(`${name} is the retryAfter of the error`, () =>
        Effect.map(refused(429, { error: { message: "slow" } }, { headers }), (received) => {
          const { retryAfter } = failure(received, "RateLimitError")
          assert.strictEqual(retryAfter === undefined ? undefined : Duration.toMillis(retryAfter), millis)
        }))
    }

    it.effect("retryAfter is read for a 400 and a 500 too", () =>
      Effect.forEach(
        [400, 500],
        (status) =>
          Effect.map(refused(status, "no", { headers: { "retry-after": "2" } }), ({ outcome }) => {
            if (outcome._tag === "Right") return assert.fail("no error")
            assert.deepStrictEqual(outcome.left.retryAfter, Duration.seconds(2))
          })
      ))

    it.effect("requestId is the id in the provider's header", () =>
      Effect.map(refused(500, "no", { headers: { "x-request-id": "req_7" } }), (received) => {
        assert.strictEqual(failure(received, "ServerError").requestId, "req_7")
      }))
  })
})
