import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ChatEvent, ChatResponse } from "effect-chat"

describe("events as JSON", () => {
  it("are read back unchanged", () => {
    const usage = { ...ChatResponse.emptyUsage, inputTokens: 3, raw: { prompt_tokens: 3 } }
    const response = ChatResponse.ChatResponse.make({
      text: "hi",
      reasoning: "hm",
      refusal: "",
      toolCalls: [{ id: "c", name: "f", arguments: "{}" }],
      functionCall: { name: "f", arguments: "{}" },
      finishReason: "other",
      rawFinishReason: "weird",
      usage,
      id: "1",
      model: "m"
    })
    const events: ReadonlyArray<ChatEvent.ChatEvent> = [
      { _tag: "TextDelta", text: "a" },
      { _tag: "ReasoningDelta", text: "a" },
      { _tag: "RefusalDelta", text: "a" },
      { _tag: "ToolCallDelta", index: 0, id: "c", name: "f", arguments: "{" },
      { _tag: "UsageUpdate", usage },
      { _tag: "Finish", reason: "other", rawReason: "weird", response }
    ]
    const { decodeUnknownSync, encodeSync } = Schema
    const json = JSON.stringify(events.map((event) => encodeSync(ChatEvent.ChatEvent)(event)))

    const back = decodeUnknownSync(Schema.Array(ChatEvent.ChatEvent))(JSON.parse(json))

    assert.deepStrictEqual(back, events)
    const last = back.at(-1)
    assert.isTrue(last?._tag === "Finish" && last.response instanceof ChatResponse.ChatResponse)
  })

  it.prop("are read back unchanged, whatever they contain", [ChatEvent.ChatEvent], ([event]) => {
    const encoded = Schema.encodeSync(ChatEvent.ChatEvent)(event)

    assert.deepStrictEqual(Schema.decodeUnknownSync(ChatEvent.ChatEvent)(encoded), event)
  })

  it.prop("have an answer that is read back unchanged", [ChatResponse.ChatResponse], ([response]) => {
    const encoded = Schema.encodeSync(ChatResponse.ChatResponse)(response)

    assert.deepStrictEqual(Schema.decodeUnknownSync(ChatResponse.ChatResponse)(encoded), response)
  })

  it("survive JSON if the server sent neither reason nor usage", () => {
    const finish = {
      _tag: "Finish",
      reason: "interrupted",
      rawReason: undefined,
      response: ChatResponse.ChatResponse.make({
        text: "",
        reasoning: "",
        refusal: "",
        toolCalls: [],
        finishReason: "interrupted",
        rawFinishReason: undefined,
        usage: undefined,
        id: "",
        model: ""
      })
    } as const

    const json = JSON.parse(JSON.stringify(Schema.encodeSync(ChatEvent.ChatEvent)(finish)))

    assert.deepStrictEqual(Schema.decodeUnknownSync(ChatEvent.ChatEvent)(json), finish)
  })
})

describe("the guards of events", () => {
  it("find Finish and text among the events", () => {
    const text: ChatEvent.ChatEvent = { _tag: "TextDelta", text: "a" }
    const thought: ChatEvent.ChatEvent = { _tag: "ReasoningDelta", text: "a" }

    assert.deepStrictEqual([text, thought].map(ChatEvent.isTextDelta), [true, false])
    assert.deepStrictEqual([text, thought].map(ChatEvent.isFinish), [false, false])
  })
})
