import { assert, describe, it } from "@effect/vitest"
import { Arbitrary, FastCheck } from "effect"
import * as CallOptions from "effect-chat/CallOptions"
import * as ChatMessage from "effect-chat/ChatMessage"
import { ChatResponse, type Usage } from "effect-chat/ChatResponse"
import { estimateInput, estimateUsage } from "../../../src/internal/request/estimate.ts"
import { estimateText } from "../../../src/tokens/TokenCounter.ts"

const messages = [ChatMessage.system("You are kind."), ChatMessage.user("Hello, who are you?")]

const usage = (inputTokens: number, outputTokens: number): Usage => ({
  inputTokens,
  outputTokens,
  totalTokens: inputTokens + outputTokens,
  reasoningTokens: 0,
  cachedTokens: 0,
  estimated: false,
  raw: { prompt_tokens: inputTokens, completion_tokens: outputTokens }
})

const response = (fields: Partial<ChatResponse> = {}): ChatResponse =>
  ChatResponse.make({
    text: "I am a model.",
    reasoning: "",
    refusal: "",
    toolCalls: [],
    finishReason: "stop",
    rawFinishReason: "stop",
    usage: undefined,
    id: "",
    model: "",
    ...fields
  })

describe("the estimate of a text", () => {
  it("is about one token for four letters, and one token for a Chinese character", () => {
    assert.strictEqual(estimateText(""), 0)
    assert.strictEqual(estimateText("a".repeat(400)), 100)
    assert.strictEqual(estimateText("你是一个严谨的助手"), 9)
  })
})

describe("the estimate of a request", () => {
  it("grows with every message, tool and response format", () => {
    const tool = CallOptions.tool({ name: "weather", parameters: ChatMessage.UserMessage })
    const plain = estimateInput(messages)

    assert.isAbove(plain, estimateInput(messages.slice(1)))
    assert.isAbove(estimateInput(messages, { tools: [tool] }), plain)
    assert.isAbove(
      estimateInput(messages, { responseFormat: { type: "json_schema", name: "answer", schema: { type: "object" } } }),
      plain
    )
    assert.strictEqual(estimateInput(messages, { temperature: 1 }), plain)
  })
})

describe("the usage of an answer", () => {
  it("is the server's if the server sent it with a complete answer", () => {
    const serverUsage = usage(20, 5)
    assert.deepStrictEqual(estimateUsage(messages, response({ usage: serverUsage })), serverUsage)
  })

  it("is an estimate with `estimated: true` if the server sent none", () => {
    const estimated = estimateUsage(messages, response({ reasoning: "They ask who I am." }))
    assert.isTrue(estimated.estimated)
    assert.isNull(estimated.raw)
    assert.strictEqual(estimated.inputTokens, estimateInput(messages))
    assert.isAbove(estimated.outputTokens, estimateText("I am a model."))
    assert.strictEqual(estimated.reasoningTokens, estimateText("They ask who I am."))
    assert.strictEqual(estimated.totalTokens, estimated.inputTokens + estimated.outputTokens)
  })

  it("counts tool calls, and reasoning without a text after it", () => {
    const toolCalls = [{ id: "1", name: "weather", arguments: "{\"city\":\"Hangzhou\"}" }]
    assert.isAtLeast(estimateUsage(messages, response({ text: "", toolCalls })).outputTokens, 8)
    assert.strictEqual(
      estimateUsage(messages, response({ text: "", reasoning: "x".repeat(40) })).outputTokens,
      10
    )
    assert.strictEqual(estimateUsage(messages, response({ text: "" })).outputTokens, 0)
  })

  for (const finishReason of ["interrupted", "error"] as const) {
    it(`uses the higher of the count so far and the estimate for a truncated answer (${finishReason})`, () => {
      const text = "word ".repeat(100)
      const partial = estimateUsage(messages, response({ finishReason, text, usage: usage(20, 1) }))
      assert.strictEqual(partial.inputTokens, 20)
      assert.isAtLeast(partial.outputTokens, estimateText(text))
      assert.isTrue(partial.estimated)
      assert.deepStrictEqual(partial.raw, { prompt_tokens: 20, completion_tokens: 1 })

      const counted = usage(20, 5000)
      assert.deepStrictEqual(estimateUsage(messages, response({ finishReason, text, usage: counted })), counted)
    })
  }

  it.prop(
    "is never negative, and its total is the sum of input and output",
    [FastCheck.array(Arbitrary.make(ChatMessage.ChatMessage), { maxLength: 5 }), Arbitrary.make(ChatResponse)],
    ([messages, response]) => {
      const withoutUsage = Object.assign({}, response, { usage: undefined })
      const { inputTokens, outputTokens, totalTokens } = estimateUsage(messages, withoutUsage)
      assert.isAtLeast(inputTokens, 3)
      assert.isAtLeast(outputTokens, 0)
      assert.strictEqual(totalTokens, inputTokens + outputTokens)
    },
    { fastCheck: { numRuns: 50 } }
  )
})
