import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, ChatMessage, LLMConfig } from "effect-chat"
import { toBody } from "../../../src/internal/request/body.ts"

const config = LLMConfig.make({ baseUrl: "http://server.test/v1" })

const sentMessages = (messages: ReadonlyArray<ChatMessage.ChatMessage>, options: CallOptions.CallOptions = {}) =>
  JSON.parse(JSON.stringify(toBody(config, messages, options, false)))

describe("request", () => {
  it("sends a refusal back as text, which every server accepts", () => {
    const [message] = sentMessages([{ role: "assistant", content: "", refusal: "no" }]).messages
    assert.deepStrictEqual(message, { role: "assistant", content: "no" })
  })

  it("does not send members that only the history has", () => {
    const [message] = sentMessages([
      { role: "assistant", content: "a", finishReason: "interrupted", model: "m", toolCalls: [], reasoning: "hm" }
    ]).messages
    assert.deepStrictEqual(message, { role: "assistant", content: "a" })
  })

  it("keeps the order of messages", () => {
    const roles = ["system", "user", "assistant", "tool", "user"]
    const messages = sentMessages([
      ChatMessage.system("s"),
      ChatMessage.user("u"),
      { role: "assistant", content: "", toolCalls: [{ id: "t", name: "f", arguments: "{}" }] },
      ChatMessage.toolResult("t", "1"),
      ChatMessage.user("u")
    ], { tools: [{ name: "f" }] }).messages
    assert.deepStrictEqual(messages.map((message: { readonly role: string }) => message.role), roles)
  })

  it("sends description and strict of a schema only if they are set", () => {
    const schema = { type: "object" }
    const format = (members: object) =>
      sentMessages([], { responseFormat: { type: "json_schema", name: "n", schema, ...members } }).response_format
        .json_schema
    assert.deepStrictEqual(format({}), { name: "n", schema })
    assert.deepStrictEqual(format({ description: "d", strict: false }), {
      name: "n",
      schema,
      description: "d",
      strict: false
    })
  })
})
