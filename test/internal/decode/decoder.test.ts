import { assert, describe, it } from "@effect/vitest"
import { type ChatEvent, LLMConfig } from "effect-chat"
import { Decoder } from "../../../src/internal/decode/decoder.ts"
import { bytes, completion, done, ends, says } from "../../support/wire/say.ts"

const make = () =>
  new Decoder(
    LLMConfig.make({ baseUrl: "http://server.test/v1", maxEventSize: 1000, maxBodySize: 1000 }),
    () => undefined
  )

describe("decoder", () => {
  it("is complete with the finish reason, and done with [DONE]", () => {
    const decoder = make()
    const out: Array<ChatEvent.ChatEvent> = []
    decoder.push(bytes(says("a")), out)
    assert.isFalse(decoder.isComplete)
    decoder.push(bytes(ends()), out)
    assert.isTrue(decoder.isComplete)
    assert.isFalse(decoder.isDone)
    decoder.push(bytes(done), out)
    assert.isTrue(decoder.isDone)
    assert.deepStrictEqual(out.map((event) => event._tag), ["Begin", "TextDelta", "Finish"])
  })

  it("reads events with a repeated data:, and [done] in lower case", () => {
    const decoder = make()
    const out: Array<ChatEvent.ChatEvent> = []
    const body = (says("a") + ends()).replaceAll("data: ", "data: data: ")
    assert.isUndefined(decoder.push(bytes(`${body}data: data:[done]\n\n`), out))
    assert.isTrue(decoder.isDone)
    assert.deepStrictEqual(out.map((event) => event._tag), ["Begin", "TextDelta", "Finish"])
  })

  it("returns the message of a failed generation", () => {
    const decoder = make()
    const choice = { index: 0, delta: {}, finish_reason: "MALFORMED_FUNCTION_CALL", finish_message: "No arguments" }
    const problem = decoder.push(bytes(`data: ${JSON.stringify({ choices: [choice] })}\n\n${done}`), [])
    assert.strictEqual(problem?._tag, "ReportedError")
    assert.include(JSON.stringify(problem), "No arguments")
  })

  it("emits nothing after its end", () => {
    const decoder = make()
    const out: Array<ChatEvent.ChatEvent> = []
    decoder.push(bytes(says("a") + done), out)
    assert.isUndefined(decoder.push(bytes(says("b") + "data: {nonsense}\n\n"), out))
    assert.isUndefined(decoder.end(out))
    assert.lengthOf(out, 3)
  })

  it("recognizes a document by its first character, and is not complete before its end", () => {
    const decoder = make()
    const out: Array<ChatEvent.ChatEvent> = []
    decoder.push(bytes(" \n"), out)
    assert.isFalse(decoder.isDocument)
    const body = JSON.stringify(completion({ content: "a" }))
    decoder.push(bytes(body.slice(0, 1)), out)
    assert.isTrue(decoder.isDocument)
    decoder.push(bytes(body.slice(1)), out)
    assert.isFalse(decoder.isComplete)
    assert.lengthOf(out, 0)
    assert.isUndefined(decoder.end(out))
    assert.strictEqual(out.at(-1)?._tag, "Finish")
  })

  it("has no partial answer before the first data", () => {
    const decoder = make()
    const initial = decoder.partial
    decoder.push(bytes(says("a")), [])
    const partial = decoder.partial
    assert.isUndefined(initial)
    assert.strictEqual(partial?.text, "a")
    assert.strictEqual(partial?.finishReason, "error")
  })

  it("distinguishes a field name from other text as soon as possible", () => {
    for (const start of ["data:", ":", "event:", "id:", "retry:", "error:"]) {
      const decoder = make()
      decoder.push(bytes(`${start} `), [])
      assert.isFalse(decoder.isDocument, start)
    }
    for (const start of ["database", "Intern", "{", "[", "<", "\""]) {
      const decoder = make()
      decoder.push(bytes(start), [])
      assert.isTrue(decoder.isDocument, start)
    }
  })
})
