import { assert, describe, it } from "@effect/vitest"
import { Schema } from "effect"
import { ChatMessage, ChatResponse } from "effect-chat"

const {
  assistant,
  audio,
  fileData,
  fileId,
  fromPrompt,
  fromResponse,
  imageData,
  imageUrl,
  system,
  text,
  toolResult,
  user
} = ChatMessage

const viaJson = <A, I>(schema: Schema.Schema<A, I>) => (value: A): A =>
  Schema.decodeUnknownSync(schema)(JSON.parse(JSON.stringify(Schema.encodeSync(schema)(value))))

const response = (more: Partial<typeof ChatResponse.ChatResponse.Type>) =>
  ChatResponse.ChatResponse.make({
    text: "",
    reasoning: "",
    refusal: "",
    toolCalls: [],
    finishReason: "stop",
    rawFinishReason: "stop",
    usage: undefined,
    id: "",
    model: "",
    ...more
  })

const call = { id: "c", name: "f", arguments: "{}" }

describe("messages as JSON", () => {
  it("are read back unchanged", () => {
    const messages = [
      system("S"),
      user("hi"),
      user([
        text("look"),
        imageUrl("https://host/a.png", "low"),
        imageData(new Uint8Array([1, 2, 3]), "image/png"),
        audio(new Uint8Array([4]), "wav"),
        fileId("file-1"),
        fileData(new Uint8Array([5]), "a.pdf", "application/pdf")
      ]),
      assistant("hello"),
      { ...user("hi"), name: "ada" },
      {
        ...assistant(""),
        toolCalls: [{ ...call, extra: { extra_content: { google: { thought_signature: "s" } } } }],
        opaque: { origin: "https://host", model: "m", fields: { reasoning_details: [{ data: "d" }] } }
      },
      { ...assistant(""), toolCalls: [call], finishReason: "tool-calls", usage: ChatResponse.emptyUsage } as const,
      toolResult("c", "42")
    ]

    assert.deepStrictEqual(messages.map(viaJson(ChatMessage.ChatMessage)), messages)
  })

  it.prop("are read back unchanged, whatever they contain", [ChatMessage.ChatMessage], ([message]) => {
    const encoded = Schema.encodeSync(ChatMessage.ChatMessage)(message)

    assert.deepStrictEqual(Schema.decodeUnknownSync(ChatMessage.ChatMessage)(encoded), message)
  })

  it("are refused where they are none", () => {
    const decode = Schema.decodeUnknownEither(ChatMessage.ChatMessage)
    const wrong = [null, {}, { role: "user" }, { role: "robot", content: "" }, { role: "tool", content: "x" }, "hi"]

    assert.deepStrictEqual(wrong.map((value) => decode(value)._tag), wrong.map(() => "Left"))
  })
})

describe("a part made of bytes", () => {
  it("is a data URL with the media type", () => {
    const bytes = new TextEncoder().encode("hi")

    assert.strictEqual(imageData(bytes, "image/png").url, "data:image/png;base64,aGk=")
    assert.strictEqual(fileData(bytes, "a.txt", "text/plain").data, "data:text/plain;base64,aGk=")
    assert.strictEqual(audio(bytes, "mp3").data, "aGk=")
  })
})

describe("a prompt", () => {
  it("that is a text is one user message", () => {
    assert.deepStrictEqual(fromPrompt("hi"), [user("hi")])
  })

  it("that is parts is one user message", () => {
    const parts = [text("look"), imageUrl("https://host/a.png")]

    assert.deepStrictEqual(fromPrompt(parts), [user(parts)])
  })

  it("that is a message, or messages, is these", () => {
    const results = [toolResult("a", "1"), toolResult("b", "2"), user("so?")]

    assert.deepStrictEqual(fromPrompt(user("hi")), [user("hi")])
    assert.deepStrictEqual(fromPrompt(toolResult("a", "1")), [toolResult("a", "1")])
    assert.deepStrictEqual(fromPrompt(results), results)
  })
})

describe("the message of an answer", () => {
  it("has the members of the answer, and no others", () => {
    assert.deepStrictEqual(fromResponse(response({ text: "hi" })), {
      role: "assistant",
      content: "hi",
      finishReason: "stop"
    })
    assert.deepStrictEqual(
      fromResponse(response({
        text: "hi",
        reasoning: "hm",
        refusal: "no",
        toolCalls: [call],
        model: "m",
        usage: ChatResponse.emptyUsage
      })),
      {
        role: "assistant",
        content: "hi",
        reasoning: "hm",
        refusal: "no",
        toolCalls: [call],
        finishReason: "stop",
        model: "m",
        usage: ChatResponse.emptyUsage
      }
    )
  })

  it("is undefined if the answer is empty, even if the model sent reasoning", () => {
    for (const blank of [{}, { text: " \n\t" }, { refusal: " " }, { reasoning: "long thoughts" }]) {
      assert.isUndefined(fromResponse(response(blank)))
    }
  })

  it("is defined if there is only a refusal, or only a tool call", () => {
    assert.isDefined(fromResponse(response({ refusal: "no" })))
    const opaque = { origin: "https://host", model: "m", fields: { audio: { id: "audio_1" } } }
    assert.deepStrictEqual(fromResponse(response({ opaque }))?.opaque, opaque)
    assert.isUndefined(fromResponse(response({ opaque: { ...opaque, fields: {} } })))
    assert.isDefined(fromResponse(response({ toolCalls: [call] })))
  })
})

describe("usages", () => {
  const some = { ...ChatResponse.emptyUsage, inputTokens: 1, outputTokens: 2, totalTokens: 3, reasoningTokens: 4 }

  it("add up count by count, and the sum has no object of a server", () => {
    const sum = ChatResponse.addUsage({ ...some, raw: { a: 1 } }, { ...some, cachedTokens: 5, estimated: true })

    assert.deepStrictEqual(sum, {
      inputTokens: 2,
      outputTokens: 4,
      totalTokens: 6,
      reasoningTokens: 8,
      cachedTokens: 5,
      estimated: true,
      raw: null
    })
  })

  it.prop("add up in any order", [ChatResponse.Usage, ChatResponse.Usage], ([one, two]) => {
    assert.deepStrictEqual(ChatResponse.addUsage(one, two), ChatResponse.addUsage(two, one))
  })
})
