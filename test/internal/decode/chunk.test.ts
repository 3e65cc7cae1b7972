import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import {
  anyChoice,
  contentOf,
  finishReasonOf,
  firstChoice,
  laterUsage,
  reasoningOf,
  textOf,
  toFinishReason,
  toolCallsOf,
  usageOf
} from "../../../src/internal/decode/chunk.ts"
import { isRecord } from "../../../src/internal/json.ts"

describe("delta", () => {
  it("the first name for reasoning that is not empty counts", () => {
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

  it("empty usage is ignored", () => {
    assert.isUndefined(usageOf({ usage: {} }, undefined))
    assert.isUndefined(usageOf({ usage: null }, {}))
    assert.strictEqual(usageOf({ usage: { input_tokens: 1, output_tokens: 2 } }, undefined)?.totalTokens, 3)
  })

  it("cached tokens that are counted beside the input are part of it", () => {
    const read = (usage: object) => {
      const { cachedTokens, inputTokens, totalTokens } = usageOf({ usage }, undefined) ?? {}
      return [inputTokens, cachedTokens, totalTokens]
    }
    const anthropic = { cache_read_input_tokens: 90, cache_creation_input_tokens: 5 }
    assert.deepStrictEqual(read({ input_tokens: 10, output_tokens: 1, ...anthropic }), [105, 90, 106])
    assert.deepStrictEqual(read({ prompt_tokens: 10, completion_tokens: 1, total_tokens: 106, ...anthropic }), [
      105,
      90,
      106
    ])
    assert.deepStrictEqual(read({ prompt_tokens: 105, completion_tokens: 1, total_tokens: 106, ...anthropic }), [
      105,
      90,
      106
    ])
    const openai = { prompt_tokens_details: { cached_tokens: 90 } }
    assert.deepStrictEqual(read({ prompt_tokens: 100, completion_tokens: 1, ...openai }), [100, 90, 101])
  })

  it("usage can have the names of Gemini, with thoughts beside the output", () => {
    const usage = {
      promptTokenCount: 100,
      candidatesTokenCount: 5,
      thoughtsTokenCount: 20,
      totalTokenCount: 125,
      cachedContentTokenCount: 60
    }
    const expected = { inputTokens: 100, outputTokens: 25, reasoningTokens: 20, totalTokens: 125, cachedTokens: 60 }
    for (const chunk of [{ usageMetadata: usage }, { usage_metadata: usage }, { usage }]) {
      assert.deepInclude(usageOf(chunk, undefined), expected)
    }
  })

  it("reasoning that is counted beside the output is part of the total", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 5 } }
    assert.strictEqual(usageOf({ usage }, undefined)?.totalTokens, 16)
  })

  it("reasoning is a text, an object or a list", () => {
    for (
      const value of ["hm", { text: "hm", signature: "s" }, { reasoningText: { text: "hm" } }, [{ text: "h" }, "m"]]
    ) {
      assert.strictEqual(reasoningOf({ reasoning_content: value }), "hm")
    }
  })

  it("a finish reason that names a failed generation is an error", () => {
    for (
      const reason of ["MALFORMED_FUNCTION_CALL", "function_call_filter: MALFORMED_FUNCTION_CALL", "network_error"]
    ) {
      assert.strictEqual(toFinishReason(reason), "error")
    }
  })

  it("a finish reason that ends like a failure is an error", () => {
    for (
      const reason of ["internal_server_error", "upstream-error", "rateLimited", "kv_cache_exhausted", "exception"]
    ) {
      assert.strictEqual(toFinishReason(reason), "error")
    }
  })

  it("a finish reason is read in any spelling", () => {
    for (const reason of ["FinishReason.STOP", "endTurn", "<|im_end|>", "stop_str", "eos_token_id"]) {
      assert.strictEqual(toFinishReason(reason), "stop")
    }
    for (const reason of ["FINISH_REASON_MAX_TOKENS", "max-tokens"]) {
      assert.strictEqual(toFinishReason(reason), "length")
    }
    for (const reason of ["toolUse", "tool-calls"]) assert.strictEqual(toFinishReason(reason), "tool-calls")
    assert.strictEqual(toFinishReason("content-filter"), "content-filter")
  })

  it("a finish reason is a text, or an object with a type", () => {
    assert.strictEqual(finishReasonOf({ finish_reason: { type: "length", length: 4 } }), "length")
    assert.strictEqual(finishReasonOf({ finish_reason: "stop" }), "stop")
    assert.isUndefined(finishReasonOf({ finish_reason: null }))
  })

  it("a later usage keeps the counts that it does not have", () => {
    const read = (...usages: ReadonlyArray<object>) => {
      const [first, ...rest] = usages.flatMap((usage) => usageOf({ usage }, undefined) ?? [])
      const usage = first && rest.reduce(laterUsage, first)
      return [usage?.inputTokens, usage?.outputTokens, usage?.totalTokens]
    }
    const zeros = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    const whole = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 }
    assert.deepStrictEqual(read(whole, zeros), [100, 10, 110])
    assert.deepStrictEqual(read(zeros, whole), [100, 10, 110])
    assert.deepStrictEqual(read({ prompt_tokens: 100 }, { completion_tokens: 10 }), [100, 10, 110])
    assert.deepStrictEqual(read({ ...whole, completion_tokens: 1, total_tokens: 101 }, whole), [100, 10, 110])
  })

  it("usage is read in the delta, and cached tokens under either name", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 1, prompt_tokens_details: { cache_read_tokens: 4 } }
    assert.strictEqual(usageOf({}, { delta: { usage } })?.cachedTokens, 4)
  })

  it("a tool call is read alone or in a list, with a number as its id, and with parameters as its arguments", () => {
    const call = { index: 0, id: 7, function: { name: "f", parameters: { a: 1 } } }
    for (const tool_calls of [call, [call]]) {
      assert.deepStrictEqual(toolCallsOf({ tool_calls }), [
        { index: 0, id: "7", name: "f", arguments: "{\"a\":1}", extra: undefined }
      ])
    }
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
