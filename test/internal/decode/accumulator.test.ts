import { assert, describe, it } from "@effect/vitest"
import type { ChatEvent } from "effect-chat"
import { Accumulator, type Options } from "../../../src/internal/decode/accumulator.ts"

const delta = (content: string) => ({ choices: [{ index: 0, delta: { content } }] })

const make = (options: Partial<Options> = {}) =>
  new Accumulator({ provider: undefined, origin: "http://localhost", model: "m", thinkTags: false, ...options })

describe("accumulator", () => {
  it("turns chunks into events and a response", () => {
    const accumulator = make()
    const out: Array<ChatEvent.ChatEvent> = []
    accumulator.add({ ...delta("a"), id: "c1", model: "m1" }, false, out)
    accumulator.add(delta("b"), false, out)
    assert.deepStrictEqual(out, [
      { _tag: "Begin", id: "c1", model: "m1" },
      { _tag: "TextDelta", text: "a" },
      { _tag: "TextDelta", text: "b" }
    ])
    const response = accumulator.response("interrupted")
    assert.strictEqual(response.text, "ab")
    assert.strictEqual(response.id, "c1")
    assert.strictEqual(response.model, "m1")
    assert.strictEqual(response.finishReason, "interrupted")
  })

  it("buffers a high surrogate at the end of a call's arguments", () => {
    const accumulator = make()
    const out: Array<ChatEvent.ChatEvent> = []
    const callDelta = (text: string) => ({
      choices: [{ delta: { tool_calls: [{ index: 0, id: "c", function: { name: "f", arguments: text } }] } }]
    })
    accumulator.add(callDelta("{\"a\":\"\ud83d"), false, out)
    accumulator.add(callDelta("\ude00\"}\ud83d"), false, out)
    accumulator.flush(out)
    const deltas = out.flatMap((event) => event._tag === "ToolCallDelta" ? [event.arguments] : [])
    assert.deepStrictEqual(deltas, ["{\"a\":\"", "\ud83d\ude00\"}", "\ud83d"])
    assert.strictEqual(accumulator.response().toolCalls[0]?.arguments, "{\"a\":\"\ud83d\ude00\"}\ud83d")
  })

  it("has no partial answer before anything arrived", () => {
    const accumulator = make()
    accumulator.add({ id: "c1", choices: [{ delta: { role: "assistant", content: "" } }] }, false, [])
    assert.isUndefined(accumulator.partial())
  })

  it("has a partial answer after usage or a function call", () => {
    const usage = make()
    usage.add({ usage: { prompt_tokens: 1 } }, false, [])
    assert.strictEqual(usage.partial()?.usage?.inputTokens, 1)
    const call = make()
    call.add({ choices: [{ delta: { function_call: { name: "f" } } }] }, false, [])
    assert.strictEqual(call.partial()?.functionCall?.name, "f")
  })

  it("keeps the first failure and the last reason", () => {
    const accumulator = make()
    for (const finish_reason of ["abort", "error", "stop"]) accumulator.add({ choices: [{ finish_reason }] }, false, [])
    assert.strictEqual(accumulator.failure, "abort")
    assert.strictEqual(accumulator.response().rawFinishReason, "stop")
  })

  it("emits buffered text at the end", () => {
    const accumulator = make({ thinkTags: true })
    const out: Array<ChatEvent.ChatEvent> = []
    accumulator.add(delta("<thi"), false, out)
    assert.lengthOf(out, 0)
    accumulator.flush(out)
    assert.deepStrictEqual(out, [{ _tag: "Begin", id: "", model: "" }, { _tag: "TextDelta", text: "<thi" }])
    assert.strictEqual(accumulator.response().text, "<thi")
  })

  const events = (...chunks: ReadonlyArray<Record<string, unknown>>) => {
    const answer = make()
    const out: Array<ChatEvent.ChatEvent> = []
    for (const chunk of chunks) answer.add(chunk, false, out)
    return { answer, out }
  }

  it("emits Begin once, before the first delta, with the usage that arrived earlier", () => {
    const { out } = events(
      { id: "c1", model: "m1", choices: [{ delta: { role: "assistant", content: "" } }] },
      { usage: { prompt_tokens: 1 } },
      { usage: { prompt_tokens: 2 } },
      delta("a"),
      delta("b")
    )
    assert.deepStrictEqual(out.map((event) => event._tag), ["Begin", "UsageUpdate", "TextDelta", "TextDelta"])
    assert.deepStrictEqual(out[0], { _tag: "Begin", id: "c1", model: "m1" })
    assert.strictEqual(out[1]?._tag === "UsageUpdate" ? out[1].usage.inputTokens : 0, 2)
  })

  it("emits Begin with Finish if there was no delta", () => {
    const { answer, out } = events({ choices: [{ delta: {}, finish_reason: "stop" }] })
    answer.finish(out)
    assert.deepStrictEqual(out.map((event) => event._tag), ["Begin", "Finish"])
  })

  it("holds back a high surrogate until its low surrogate arrives", () => {
    const { answer, out } = events(delta("Hi \ud83d"), delta("\udc69"), delta("!\ud83d"))
    const texts = () => out.flatMap((event) => event._tag === "TextDelta" ? [event.text] : [])
    assert.deepStrictEqual(texts(), ["Hi ", "\ud83d\udc69", "!"])
    answer.flush(out)
    assert.deepStrictEqual(texts(), ["Hi ", "\ud83d\udc69", "!", "\ud83d"])
    assert.strictEqual(answer.response().text, texts().join(""))
  })

  const numbered = (index: number, content: string) => ({ choices: [{ index, delta: { content } }] })

  it("reads choices whose index counts the tokens", () => {
    for (const start of [0, 1]) {
      const { answer, out } = events(numbered(start, "a"), numbered(start + 1, "b"), numbered(start + 2, "c"))
      answer.end(out)
      assert.strictEqual(answer.response().text, "abc")
    }
  })

  it("reads the only choice, whatever its index", () => {
    const { answer, out } = events(numbered(1, "a"))
    answer.end(out)
    assert.strictEqual(answer.response().text, "a")
    assert.strictEqual(events(numbered(2, "a"), numbered(2, "b")).answer.response().text, "ab")
  })

  it("ignores other choices, in any order", () => {
    for (const chunks of [[numbered(0, ""), numbered(1, "")], [numbered(1, "x"), numbered(0, "")]]) {
      const { answer } = events(...chunks, numbered(0, "a"), numbered(1, "y"), numbered(0, "b"))
      assert.strictEqual(answer.response().text, "ab")
    }
  })

  it("has reasoning once if it arrives in tags and in a field", () => {
    const answer = make({ thinkTags: true })
    const out: Array<ChatEvent.ChatEvent> = []
    answer.add({ choices: [{ delta: { content: "<think>I see.", reasoning_content: "I see." } }] }, false, out)
    answer.add(delta("</think>Hi"), false, out)
    answer.finish(out)
    assert.deepStrictEqual([answer.response().reasoning, answer.response().text], ["I see.", "Hi"])
  })

  it("ends calls with the reason tool-calls, even if the server sends stop", () => {
    const call = { index: 0, id: "a", function: { name: "f", arguments: "{}" } }
    const { answer } = events({ choices: [{ delta: { tool_calls: [call] }, finish_reason: "stop" }] })
    assert.strictEqual(answer.response().finishReason, "tool-calls")
    assert.strictEqual(answer.response().rawFinishReason, "stop")
  })
})
