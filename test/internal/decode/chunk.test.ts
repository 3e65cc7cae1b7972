import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import {
  anyChoice,
  contentOf,
  finishReasonOf,
  firstChoice,
  mergeUsage,
  reasoningOf,
  textOf,
  toFinishReason,
  toolCallsOf,
  usageOf
} from "../../../src/internal/decode/chunk.ts"
import { isRecord } from "../../../src/internal/json.ts"

describe("the readers of a chunk", () => {
  it("read reasoning under the first name that is not empty", () => {
    assert.strictEqual(reasoningOf({ reasoning_content: "a", reasoning: "b" }), "a")
    assert.strictEqual(reasoningOf({ reasoning_content: null, reasoning: "", reasoning_text: "c" }), "c")
    assert.strictEqual(reasoningOf({ reasoning_details: [{ summary: "d" }, { data: "x" }, null] }), "d")
    assert.isUndefined(reasoningOf({ reasoning: {}, reasoning_details: {} }))
  })

  it("read content as a text, or as a list of parts", () => {
    assert.strictEqual(textOf({ content: "a" }), "a")
    assert.strictEqual(
      textOf({ content: [{ type: "text", text: "a" }, { text: "b" }, { type: "output_text", text: "c" }] }),
      "abc"
    )
    assert.isUndefined(textOf({ content: [{ type: "image_url" }, { type: "thinking", thinking: "x" }] }))
    assert.isUndefined(textOf({ content: "" }))
    assert.isUndefined(textOf({}))
  })

  it("prefer the delta in a stream, and the message in a document", () => {
    const deltaAndMessage = { delta: { content: "d" }, message: { content: "m" } }
    assert.deepStrictEqual(contentOf(deltaAndMessage, false, false), { content: "d" })
    assert.deepStrictEqual(contentOf(deltaAndMessage, true, false), { content: "m" })
    assert.deepStrictEqual(contentOf({ message: { content: "m" } }, false, false), { content: "m" })
    assert.isUndefined(contentOf({ message: { content: "m" } }, false, true))
    assert.deepStrictEqual(contentOf({ text: "t" }, false, false), { content: "t" })
  })

  it("take the choice with the index 0, or without an index, as the first", () => {
    assert.deepStrictEqual(firstChoice({ choices: [{ index: 1 }, { index: 0, a: 1 }] }), { index: 0, a: 1 })
    assert.deepStrictEqual(firstChoice({ choices: [null, { a: 1 }] }), { a: 1 })
    assert.isUndefined(firstChoice({ choices: [{ index: 1 }] }))
    assert.isUndefined(firstChoice({}))
    assert.deepStrictEqual(anyChoice({ choices: [null, { index: 1 }] }), { index: 1 })
  })

  it("ignore empty usage", () => {
    assert.isUndefined(usageOf({ usage: {} }, undefined))
    assert.isUndefined(usageOf({ usage: null }, {}))
    assert.strictEqual(usageOf({ usage: { input_tokens: 1, output_tokens: 2 } }, undefined)?.totalTokens, 3)
  })

  it("add cached tokens to the input if the server's input excludes them", () => {
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

  it("read usage with Gemini's names, and add thoughts to the output", () => {
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

  it("add reasoning to the total if the server's output excludes it", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 1, completion_tokens_details: { reasoning_tokens: 5 } }
    assert.strictEqual(usageOf({ usage }, undefined)?.totalTokens, 16)
  })

  it("read reasoning as a text, an object or a list", () => {
    for (
      const value of ["hm", { text: "hm", signature: "s" }, { reasoningText: { text: "hm" } }, [{ text: "h" }, "m"]]
    ) {
      assert.strictEqual(reasoningOf({ reasoning_content: value }), "hm")
    }
  })

  it("read a finish reason of a failed generation as an error", () => {
    for (
      const reason of ["MALFORMED_FUNCTION_CALL", "function_call_filter: MALFORMED_FUNCTION_CALL", "network_error"]
    ) {
      assert.strictEqual(toFinishReason(reason), "error")
    }
  })

  it("read an unknown finish reason with a word for a failure as an error", () => {
    for (
      const reason of ["internal_server_error", "upstream-error", "rateLimited", "kv_cache_exhausted", "exception"]
    ) {
      assert.strictEqual(toFinishReason(reason), "error")
    }
  })

  it("read a finish reason in any spelling", () => {
    for (const reason of ["FinishReason.STOP", "endTurn", "<|im_end|>", "stop_str", "eos_token_id"]) {
      assert.strictEqual(toFinishReason(reason), "stop")
    }
    for (const reason of ["FINISH_REASON_MAX_TOKENS", "max-tokens"]) {
      assert.strictEqual(toFinishReason(reason), "length")
    }
    for (const reason of ["toolUse", "tool-calls"]) assert.strictEqual(toFinishReason(reason), "tool-calls")
    assert.strictEqual(toFinishReason("content-filter"), "content-filter")
  })

  it("read a finish reason as a text, or as an object with a type", () => {
    assert.strictEqual(finishReasonOf({ finish_reason: { type: "length", length: 4 } }), "length")
    assert.strictEqual(finishReasonOf({ finish_reason: "stop" }), "stop")
    assert.isUndefined(finishReasonOf({ finish_reason: null }))
  })

  it("keep earlier counts that a later usage lacks", () => {
    const read = (...usages: ReadonlyArray<object>) => {
      const [first, ...rest] = usages.flatMap((usage) => usageOf({ usage }, undefined) ?? [])
      const usage = first && rest.reduce(mergeUsage, first)
      return [usage?.inputTokens, usage?.outputTokens, usage?.totalTokens]
    }
    const zeros = { prompt_tokens: 0, completion_tokens: 0, total_tokens: 0 }
    const counts = { prompt_tokens: 100, completion_tokens: 10, total_tokens: 110 }
    assert.deepStrictEqual(read(counts, zeros), [100, 10, 110])
    assert.deepStrictEqual(read(zeros, counts), [100, 10, 110])
    assert.deepStrictEqual(read({ prompt_tokens: 100 }, { completion_tokens: 10 }), [100, 10, 110])
    assert.deepStrictEqual(read({ ...counts, completion_tokens: 1, total_tokens: 101 }, counts), [100, 10, 110])
  })

  it("read usage in the delta, and cached tokens under two names", () => {
    const usage = { prompt_tokens: 10, completion_tokens: 1, prompt_tokens_details: { cache_read_tokens: 4 } }
    assert.strictEqual(usageOf({}, { delta: { usage } })?.cachedTokens, 4)
  })

  it("read a tool call alone or in a list, with a number as its id, and with parameters as its arguments", () => {
    const call = { index: 0, id: 7, function: { name: "f", parameters: { a: 1 } } }
    for (const tool_calls of [call, [call]]) {
      assert.deepStrictEqual(toolCallsOf({ tool_calls }), [
        { index: 0, id: "7", name: "f", arguments: "{\"a\":1}", extra: undefined }
      ])
    }
  })

  it("read a finish reason in any case, and an unknown one as other", () => {
    assert.strictEqual(toFinishReason("Tool_Calls"), "tool-calls")
    assert.strictEqual(toFinishReason("hasOwnProperty"), "other")
  })

  /** Any JSON, or objects with members that the functions read, whose values are of any kind. */
  const { value: anyValue } = fc.letrec<{ value: unknown }>((tie) => ({
    value: fc.oneof(
      { depthSize: "small" },
      fc.jsonValue(),
      fc.array(tie("value"), { maxLength: 3 }),
      fc.dictionary(
        fc.constantFrom("type", "text", "thinking", "index", "id", "function", "name", "arguments", "delta", "summary"),
        tie("value"),
        { maxKeys: 4 }
      )
    )
  }))
  const members = ["content", "reasoning", "reasoning_content", "reasoning_details", "tool_calls", "choices", "usage"]

  it.prop("give a value of their own type or nothing, for any JSON", [
    fc.dictionary(fc.constantFrom(...members), anyValue, { minKeys: 1 })
  ], ([record]) => {
    for (const text of [textOf(record), reasoningOf(record)]) {
      if (text !== undefined) assert.isString(text)
    }
    for (const call of toolCallsOf(record)) {
      for (const text of [call.id, call.name, call.arguments]) if (text !== undefined) assert.isString(text)
    }
    const choice = firstChoice(record)
    if (choice !== undefined) assert.isTrue(isRecord(choice))
    for (const count of Object.values(usageOf(record, record) ?? {})) {
      if (typeof count === "number") assert.isAtLeast(count, 0)
    }
  }, { fastCheck: { numRuns: 500 } })
})
