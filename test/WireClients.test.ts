import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { answer, complete, failure, stream, told } from "./wire/ask.ts"
import { calls, choice, completion, data, delta, done, ends, says } from "./wire/say.ts"

describe("what other clients lose", () => {
  it.effect("an answer cut after \"Hi\" is a failure that has the Hi, not a success", () =>
    Effect.map(stream(says("Hi")), (heard) => {
      assert.strictEqual(failure(heard, "TruncatedError").partial?.text, "Hi")
    }))

  it.effect("an answer with a finish reason and no [DONE] is an answer", () =>
    Effect.map(stream(says("Hi") + ends()), (heard) => assert.strictEqual(answer(heard).text, "Hi")))

  it.effect("an answer without a usage chunk is an answer", () =>
    Effect.map(stream(says("Hi") + ends() + done), (heard) => assert.strictEqual(answer(heard).text, "Hi")))

  it.effect("an error after \"Hi\" is that error, with the Hi", () =>
    Effect.map(stream(says("Hi") + data({ error: { message: "quota" } }) + done), (heard) => {
      const error = failure(heard, "ServerError")
      assert.strictEqual(error.message, "quota")
      assert.strictEqual(error.partial?.text, "Hi")
    }))

  it.effect("an error text alone is that error", () =>
    Effect.map(stream(data({ error: "model not found" })), (heard) => {
      assert.strictEqual(failure(heard, "NotFoundError").message, "model not found")
    }))

  it.effect("an object that calls itself error is an error", () =>
    Effect.map(stream(data({ object: "error", message: "it broke" })), (heard) => {
      assert.strictEqual(failure(heard, "ServerError").message, "it broke")
    }))

  it.effect("an error as JSON with status 200 is that error", () =>
    Effect.map(stream("{\"error\":{\"message\":\"it broke\"}}", { contentType: "application/json" }), (heard) => {
      assert.strictEqual(failure(heard, "ServerError").message, "it broke")
    }))

  it.effect("a completion as JSON where a stream was asked for is an answer", () =>
    Effect.map(stream(JSON.stringify(completion({ content: "Hi" })), { contentType: "application/json" }), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
      assert.strictEqual(told(heard), "Hi")
    }))

  it.effect("a keep-alive as data does not end the stream", () =>
    Effect.map(stream("data: : keepalive\n\n" + says("Hi") + ends() + done), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("empty data does not end the stream", () =>
    Effect.map(stream("data:\n\n" + says("Hi") + ends() + done), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("an empty role does not end the stream", () =>
    Effect.map(stream(data(delta({ role: "", content: "Hi" })) + ends() + done), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("the finish reason eos does not end the stream badly", () =>
    Effect.map(stream(says("Hi") + ends("eos") + done), (heard) => {
      assert.strictEqual(answer(heard).finishReason, "stop")
      assert.strictEqual(answer(heard).rawFinishReason, "eos")
    }))

  it.effect("a model without a slash in its name is a model", () =>
    Effect.map(stream(data(choice({ delta: { content: "Hi" } }, { model: "qwen3" })) + done), (heard) => {
      assert.strictEqual(answer(heard).model, "qwen3")
    }))

  it.effect("a tool call without an index is a tool call", () =>
    Effect.map(stream(calls({ id: "t1", function: { name: "f", arguments: "{}" } }) + ends("tool_calls")), (heard) => {
      assert.deepStrictEqual(answer(heard).toolCalls, [{ id: "t1", name: "f", arguments: "{}" }])
    }))

  it.effect("content as a list of parts keeps its text", () =>
    Effect.map(stream(data(delta({ content: [{ type: "text", text: "Hi" }] })) + ends()), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("reasoning_content is in the answer, apart from the text", () =>
    Effect.map(stream(data(delta({ reasoning_content: "hm" })) + says("Hi") + ends()), (heard) => {
      assert.strictEqual(answer(heard).reasoning, "hm")
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("a chunk without created is a chunk", () =>
    Effect.map(
      stream(data({ id: "c", model: "m", choices: [{ index: 0, delta: { content: "Hi" } }] }) + done),
      (heard) => assert.strictEqual(answer(heard).text, "Hi")
    ))

  it.effect("a 404 says why, as detail or as text", () =>
    Effect.forEach(
      [{ detail: "no model" }, { error: "no model" }],
      (body) =>
        Effect.map(stream(JSON.stringify(body), { status: 404, contentType: "application/json" }), (heard) => {
          assert.strictEqual(failure(heard, "NotFoundError").message, "no model")
        })
    ))

  it.effect("a 502 with a page says the page's title", () =>
    Effect.map(
      stream("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>nginx</body></html>", {
        status: 502,
        contentType: "text/html"
      }),
      (heard) => assert.strictEqual(failure(heard, "ServerError").message, "502 Bad Gateway")
    ))
})

describe("what other parsers of events lose", () => {
  it.effect("a retry field loses no chunk after it", () =>
    Effect.map(stream("retry: 10\n\n" + says("H") + "retry: 10\n\n" + says("i") + ends() + done), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("a last event without a blank line is heard", () =>
    Effect.map(stream(says("H") + says("i").trimEnd(), { wire: { endOfStreamIsComplete: true } }), (heard) => {
      assert.strictEqual(answer(heard).text, "Hi")
    }))

  it.effect("an event that is too long is an error that can be handled, and no defect", () =>
    Effect.map(stream(says("Hi") + says("x".repeat(200)), { config: { maxEventSize: 100 } }), (heard) => {
      failure(heard, "MalformedResponseError")
    }))

  it.effect("half a character at the end of a document is not lost without a trace", () =>
    Effect.map(complete([`{"error":"cut`, Uint8Array.of(0xe4, 0xb8)]), (heard) => {
      failure(heard, "TruncatedError")
    }))
})
