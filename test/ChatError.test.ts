import { assert, describe, it } from "@effect/vitest"
import { Cause, Duration, Effect, Either, Schema } from "effect"
import { ChatError, ChatResponse } from "effect-chat"

const partial = ChatResponse.ChatResponse.make({
  text: "so far",
  reasoning: "",
  refusal: "",
  toolCalls: [],
  finishReason: "error",
  rawFinishReason: undefined,
  usage: { ...ChatResponse.emptyUsage, outputTokens: 2 },
  id: "1",
  model: "m"
})

const details = {
  message: "it broke",
  status: 429,
  code: "c",
  type: "t",
  requestId: "r",
  body: "{}",
  retryAfter: Duration.seconds(3),
  partial
}

const retryable = [
  new ChatError.RateLimitError(details),
  new ChatError.ServerError(details),
  new ChatError.TransportError(details),
  new ChatError.TimeoutError({ ...details, phase: "idle", limit: Duration.seconds(5) }),
  new ChatError.TruncatedError(details),
  new ChatError.HistoryStoreError({ ...details, conversationId: "ada" }),
  new ChatError.ConflictError({ ...details, conversationId: "ada", expectedVersion: 1, actualVersion: 2 }),
  new ChatError.BusyError(details)
]

const final = [
  new ChatError.AuthenticationError(details),
  new ChatError.PermissionError(details),
  new ChatError.NotFoundError(details),
  new ChatError.InvalidRequestError(details),
  new ChatError.ContextLengthError(details),
  new ChatError.ContentFilterError(details),
  new ChatError.QuotaError(details),
  new ChatError.MalformedResponseError(details)
]

const viaJson = (error: ChatError.ChatError): ChatError.ChatError =>
  Schema.decodeUnknownSync(ChatError.ChatError)(
    JSON.parse(JSON.stringify(Schema.encodeSync(ChatError.ChatError)(error)))
  )

/** The members of an instance, without its class. */
const members = (instance: object): object => Object.assign({}, instance)

describe("an error", () => {
  for (const error of [...retryable, ...final]) {
    it(`is an Error with its message and its name: ${error._tag}`, () => {
      assert.instanceOf(error, Error)
      assert.strictEqual(error.message, "it broke")
      assert.strictEqual(error.name, error._tag)
      assert.isTrue(ChatError.isChatError(error))
      assert.include(Cause.pretty(Cause.fail(error)), "it broke")
    })

    it(`is read back from JSON unchanged: ${error._tag}`, () => {
      const decoded = viaJson(error)

      assert.strictEqual(decoded.constructor, error.constructor)
      assert.deepStrictEqual(members(decoded), members(error))
      assert.strictEqual(decoded.isRetryable, error.isRetryable)
      assert.instanceOf(decoded.partial, ChatResponse.ChatResponse)
    })
  }

  it("says whether the same call can succeed later", () => {
    assert.deepStrictEqual(
      retryable.map((error) => [error._tag, error.isRetryable]),
      retryable.map(({ _tag }) => [_tag, true])
    )
    assert.deepStrictEqual(
      final.map((error) => [error._tag, error.isRetryable]),
      final.map(({ _tag }) => [_tag, false])
    )
  })

  it("is read back with the message of its cause", () => {
    const decoded = viaJson(new ChatError.TransportError({ message: "m", cause: new Error("ECONNREFUSED") }))

    assert.include(String(decoded.cause), "ECONNREFUSED")
  })

  it("needs nothing but a message", () => {
    const error = new ChatError.ServerError({ message: "m" })

    assert.deepStrictEqual(members(viaJson(error)), members(error))
    assert.isUndefined(error.status)
  })

  it.effect("is caught by its tag", () =>
    Effect.gen(function*() {
      const failing: Effect.Effect<string, ChatError.ChatError> = Effect.fail(new ChatError.QuotaError(details))

      const caught = yield* Effect.either(
        Effect.catchTag(failing, "QuotaError", (error) => Effect.succeed(error.message))
      )

      assert.deepStrictEqual(caught, Either.right("it broke"))
    }))

  it("is distinguished from values that only look like one", () => {
    assert.isFalse(ChatError.isChatError(new Error("it broke")))
    assert.isFalse(ChatError.isChatError({ _tag: "ServerError", message: "it broke" }))
    assert.isFalse(ChatError.isChatError(undefined))
  })
})

describe("toPublic", () => {
  it("gives one sentence for every value that is no ChatError", () => {
    const others = [new Error("at /srv/app.js"), { _tag: "ServerError", message: "secret" }, "secret", undefined]

    assert.deepStrictEqual(others.map(ChatError.toPublic), others.map(() => "Something went wrong. Try again later."))
  })

  const all = [...retryable, ...final]

  it("has a sentence for each tag", () => {
    const sentences = new Map(all.map((error) => [error._tag, ChatError.toPublic(error)]))
    assert.strictEqual(new Set(sentences.values()).size, sentences.size)
    for (const sentence of sentences.values()) assert.match(sentence, /^[A-Z][^.]+\.( Try again( later)?\.)?$/)
  })

  it("contains no text of the error", () => {
    const error = new ChatError.ServerError({ ...details, message: "10.0.0.7 sk-1234 org-5", code: "c7", body: "b8" })
    assert.strictEqual(ChatError.toPublic(error), ChatError.toPublic(new ChatError.ServerError({ message: "" })))
  })
})

describe("infinite durations", () => {
  it("become JSON that can be read again", () => {
    const error = new ChatError.TimeoutError({
      message: "late",
      phase: "total",
      limit: Duration.infinity,
      retryAfter: Duration.infinity
    })
    const json: unknown = JSON.parse(JSON.stringify(Schema.encodeSync(ChatError.ChatError)(error)))
    const decoded = Schema.decodeUnknownSync(ChatError.ChatError)(json)
    assert.strictEqual(Duration.toMillis(decoded.retryAfter ?? 0), Number.MAX_SAFE_INTEGER)
  })
})
