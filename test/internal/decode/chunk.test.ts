import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import {
  anyChoice,
  contentOf,
  firstChoice,
  reasoningOf,
  textOf,
  toFinishReason,
  toolCallsOf,
  usageOf
} from "../../../src/internal/decode/chunk.ts"
import { isRecord } from "../../../src/internal/json.ts"

describe("delta", () => {
  it("of names for reasoning the first that says something counts", () => {
    assert.strictEqual(reasoningOf({ reasoning_content: "a", reasoning: "b" }), "a")
    assert.strictEqual(reasoningOf({ reasoning_content: null, reasoning: "", reasoning_text: "c" }), "c")
    assert.strictEqual(reasoningOf({ reasoning_details: [{ summary: "d" }, { data: "x" }, null] }), "d")
    assert.isUndefined(reasoningOf({ reasoning: {}, reasoning_details: {} }))
  })

  it("text is a text or the texts of parts", () => {
    assert.strictEqual(textOf({ content: "a" }), "a")
    assert.strictEqual(
      textOf({ content: [{ type: "text", text: "a" }, { text: "b" }, { type: "output_text", text: "c" }] }),
      "abc"
    )
    assert.isUndefined(textOf({ content: [{ type: "image_url" }, { type: "thinking", thinking: "x" }] }))
    assert.isUndefined(textOf({ content: "" }))
    assert.isUndefined(textOf({}))
  })

  it("a stream reads the delta first, a document the message", () => {
    const both = { delta: { content: "d" }, message: { content: "m" } }
    assert.deepStrictEqual(contentOf(both, false, false), { content: "d" })
    assert.deepStrictEqual(contentOf(both, true, false), { content: "m" })
    assert.deepStrictEqual(contentOf({ message: { content: "m" } }, false, false), { content: "m" })
    assert.isUndefined(contentOf({ message: { content: "m" } }, false, true))
    assert.deepStrictEqual(contentOf({ text: "t" }, false, false), { content: "t" })
  })

  it("the first choice is the one with index 0 or none", () => {
    assert.deepStrictEqual(firstChoice({ choices: [{ index: 1 }, { index: 0, a: 1 }] }), { index: 0, a: 1 })
    assert.deepStrictEqual(firstChoice({ choices: [null, { a: 1 }] }), { a: 1 })
    assert.isUndefined(firstChoice({ choices: [{ index: 1 }] }))
    assert.isUndefined(firstChoice({}))
    assert.deepStrictEqual(anyChoice({ choices: [null, { index: 1 }] }), { index: 1 })
  })

  it("usage that says nothing is none", () => {
    assert.isUndefined(usageOf({ usage: {} }, undefined))
    assert.isUndefined(usageOf({ usage: null }, {}))
    assert.strictEqual(usageOf({ usage: { input_tokens: 1, output_tokens: 2 } }, undefined)?.totalTokens, 3)
  })

  it("a finish reason is read in any case, and an unknown one is other", () => {
    assert.strictEqual(toFinishReason("Tool_Calls"), "tool-calls")
    assert.strictEqual(toFinishReason("hasOwnProperty"), "other")
  })

  it.prop("nothing that JSON can hold makes a reader throw", [fc.json()], ([json]) => {
    const value: unknown = JSON.parse(json)
    const record = isRecord(value) ? value : { content: value, choices: value, tool_calls: value, usage: value }
    textOf(record)
    reasoningOf(record)
    toolCallsOf(record)
    usageOf(record, record)
    firstChoice(record)
  })
})
