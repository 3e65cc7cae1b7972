import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, TestClock } from "effect"
import type { ChatError } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { gzipSync } from "node:zlib"
import { key, type Row, rows } from "../support/clientRows.ts"
import { answer, complete, emittedText, failure, type Received, stream } from "../support/wire/ask.ts"
import { says } from "../support/wire/say.ts"

const bodyOf = ({ body, gzip, stalls }: Row) => {
  if (gzip !== undefined) return [gzipSync(body)]
  return stalls ? [body, ScriptedHttpClient.never] : body
}

/** Streams the answer of a row. If its server stalls, an hour passes. */
const ask = (row: Row) =>
  Effect.gen(function*() {
    const { contentType, status } = row
    const asking = yield* Effect.fork(
      stream(bodyOf(row), { contentType, status, config: { apiKey: key }, wire: { thinkTags: true } })
    )
    if (row.stalls) yield* TestClock.adjust("1 hour")
    return yield* Fiber.join(asking)
  })

/** Asserts that the result of a call has the meaning of the row. */
const expectMeaning = (row: Row, received: Received): void => {
  const { meaning } = row
  if (meaning._tag === "Answer") {
    const { reasoning, text, toolCalls } = answer(received)
    assert.strictEqual(text, meaning.text)
    assert.strictEqual(reasoning, meaning.reasoning ?? "")
    assert.deepStrictEqual(toolCalls, meaning.toolCalls ?? [])
    return
  }
  const error = refused(received)
  assert.strictEqual(error.partial?.text ?? "", meaning.text ?? "")
  if (meaning._tag === "Error") assert.strictEqual(withoutDetails(error.message), meaning.message)
}

/** A message without the redacted key and without the words around a finish reason. */
const withoutDetails = (message: string): string =>
  message.replace(": <redacted>", "").replace(/^The server ended the answer with "(.*)"$/, "$1")

const refused = ({ outcome }: Received): ChatError.ChatError =>
  outcome._tag === "Left" ? outcome.left : assert.fail("a success")

describe("bytes that clients read differently", () => {
  // Redirects are tested in redirects.test.ts.
  for (const row of Object.values<Row>(rows).filter(({ redirect }) => redirect === undefined)) {
    it.effect(`${row.title} is read correctly`, () => Effect.map(ask(row), (received) => expectMeaning(row, received)))
  }
})

describe("data that other clients lose", () => {
  it.effect("an answer that is cut off after \"Hi\" is an error with the partial answer \"Hi\"", () =>
    Effect.map(ask(rows.cut), (received) => {
      assert.strictEqual(failure(received, "TruncatedError").partial?.text, "Hi")
    }))

  it.effect("an answer with a finish reason and no [DONE] is an answer", () =>
    Effect.map(ask(rows.noDone), (received) => assert.strictEqual(answer(received).text, "Hi")))

  it.effect("an answer without a usage chunk is an answer", () =>
    Effect.map(ask(rows.noUsage), (received) => assert.strictEqual(answer(received).text, "Hi")))

  it.effect("an error after \"Hi\" is that error, with the partial answer \"Hi\"", () =>
    Effect.map(ask(rows.late), (received) => {
      const error = failure(received, "ServerError")
      assert.strictEqual(error.message, "quota")
      assert.strictEqual(error.partial?.text, "Hi")
    }))

  it.effect("a stream with only an error text is that error", () =>
    Effect.map(ask(rows.errorText), (received) => {
      assert.strictEqual(failure(received, "NotFoundError").message, "model not found")
    }))

  it.effect("an event with the object \"error\" is an error", () =>
    Effect.map(ask(rows.objectError), (received) => {
      assert.strictEqual(failure(received, "ServerError").message, "it broke")
    }))

  it.effect("an error as JSON with status 200 is that error", () =>
    Effect.map(ask(rows.errorJson), (received) => {
      assert.strictEqual(failure(received, "ServerError").message, "it broke")
    }))

  it.effect("a completion as JSON in place of a stream is an answer", () =>
    Effect.map(ask(rows.answerJson), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
      assert.strictEqual(emittedText(received), "Hi")
    }))

  it.effect("a keep-alive as data does not end the stream", () =>
    Effect.map(ask(rows.keepAlive), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("empty data does not end the stream", () =>
    Effect.map(ask(rows.emptyData), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("an empty role does not end the stream", () =>
    Effect.map(ask(rows.emptyRole), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("the finish reason eos ends the stream successfully", () =>
    Effect.map(ask(rows.eos), (received) => {
      assert.strictEqual(answer(received).finishReason, "stop")
      assert.strictEqual(answer(received).rawFinishReason, "eos")
    }))

  it.effect("a model without a slash in its name is a model", () =>
    Effect.map(ask(rows.model), (received) => {
      assert.strictEqual(answer(received).model, "qwen3")
    }))

  it.effect("a tool call without an index is a tool call", () =>
    Effect.map(ask(rows.noIndex), (received) => {
      assert.deepStrictEqual(answer(received).toolCalls, [{ id: "t1", name: "f", arguments: "{}" }])
    }))

  it.effect("content as a list of parts keeps its text", () =>
    Effect.map(ask(rows.parts), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("reasoning_content is in the answer, separate from the text", () =>
    Effect.map(ask(rows.reasoning), (received) => {
      assert.strictEqual(answer(received).reasoning, "hm")
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("a chunk without created is a chunk", () =>
    Effect.map(
      ask(rows.noCreated),
      (received) => assert.strictEqual(answer(received).text, "Hi")
    ))

  it.effect("a 404 has the server's message, from detail or from text", () =>
    Effect.forEach([rows.detail404, rows.text404], (row) =>
      Effect.map(ask(row), (received) => {
        assert.strictEqual(failure(received, "NotFoundError").message, "no model")
      })))

  it.effect("a 502 with an HTML page has the page's title as its message", () =>
    Effect.map(ask(rows.page502), (received) => {
      assert.strictEqual(failure(received, "ServerError").message, "502 Bad Gateway")
    }))
})

describe("data that other event parsers lose", () => {
  it.effect("a retry field loses no chunk after it", () =>
    Effect.map(ask(rows.retryField), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("a last event without a blank line is read", () =>
    Effect.map(stream(says("H") + says("i").trimEnd(), { wire: { endOfStreamIsComplete: true } }), (received) => {
      assert.strictEqual(answer(received).text, "Hi")
    }))

  it.effect("an event that is too long is a typed error, not a defect", () =>
    Effect.map(stream(says("Hi") + says("x".repeat(200)), { config: { maxEventSize: 100 } }), (received) => {
      failure(received, "MalformedResponseError")
    }))

  it.effect("an incomplete character at the end of a document is not lost silently", () =>
    Effect.map(complete([`{"error":"cut`, Uint8Array.of(0xe4, 0xb8)]), (received) => {
      failure(received, "TruncatedError")
    }))
})
