import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChatMessage } from "effect-chat"
import { type Asking, complete, stream } from "./wire/ask.ts"
import { completion, done } from "./wire/say.ts"

const sent = (asking: Asking) =>
  Effect.map(stream(done, asking), ({ requests }) => {
    const [request] = requests
    if (request === undefined) throw new Error("no request")
    return { ...request, body: JSON.parse(request.text) }
  })

const lastTurn: ReadonlyArray<ChatMessage.ChatMessage> = [
  ChatMessage.system("be brief"),
  ChatMessage.user("hi"),
  { role: "assistant", content: "hello", reasoning: "a greeting", finishReason: "stop", model: "m" },
  ChatMessage.user("again")
]

describe("requests", () => {
  describe("address", () => {
    const addresses: ReadonlyArray<readonly [string, string]> = [
      ["http://server.test/v1", "http://server.test/v1/chat/completions"],
      ["http://server.test/v1/", "http://server.test/v1/chat/completions"],
      ["http://server.test/v1//", "http://server.test/v1/chat/completions"],
      ["http://server.test/v1/chat/completions", "http://server.test/v1/chat/completions"],
      ["http://server.test/v1/chat/completions/", "http://server.test/v1/chat/completions"],
      ["http://server.test", "http://server.test/chat/completions"],
      [" http://server.test/v1 ", "http://server.test/v1/chat/completions"]
    ]
    for (const [baseUrl, url] of addresses) {
      it.effect(`${JSON.stringify(baseUrl)} leads to ${url}`, () =>
        Effect.map(sent({ config: { baseUrl } }), (request) => assert.strictEqual(request.url, url)))
    }
  })

  describe("key", () => {
    it.effect("none or an empty one sends no Authorization header, as local servers want it", () =>
      Effect.forEach([undefined, "", "  "], (apiKey) =>
        Effect.map(sent({ config: { apiKey } }), ({ headers }) => {
          assert.notProperty(headers, "authorization")
          assert.notProperty(headers, "api-key")
        })))

    it.effect("one is sent as a bearer, without the white space around it", () =>
      Effect.map(sent({ config: { apiKey: " sk-1234 \n" } }), ({ headers }) => {
        assert.strictEqual(headers["authorization"], "Bearer sk-1234")
      }))
  })

  describe("fields", () => {
    it.effect("a stream asks for its usage, and a document does not", () =>
      Effect.gen(function*() {
        const streamed = yield* sent({})
        assert.deepStrictEqual(streamed.body.stream_options, { include_usage: true })
        assert.isTrue(streamed.body.stream)
        assert.strictEqual(streamed.headers["accept"], "text/event-stream")
        const { requests: [request] } = yield* complete(JSON.stringify(completion({ content: "a" })))
        const body = JSON.parse(request?.text ?? "")
        assert.notProperty(body, "stream_options")
        assert.isFalse(body.stream)
        assert.strictEqual(request?.headers["accept"], "application/json")
        assert.strictEqual(request?.headers["content-type"], "application/json")
      }))

    it.effect("stream_options can be left out for a server that refuses it (Mistral)", () =>
      Effect.map(sent({ wire: { streamOptions: false } }), ({ body }) => assert.notProperty(body, "stream_options")))

    it.effect("only what is set or has a default is sent: no store, no n, no logprobs", () =>
      Effect.map(sent({}), ({ body }) => {
        assert.sameMembers(Object.keys(body), [
          "model",
          "messages",
          "temperature",
          "max_tokens",
          "stream",
          "stream_options"
        ])
      }))

    it.effect("a sampling field that is null is not sent", () =>
      Effect.map(
        sent({
          config: { temperature: null, topP: null, maxTokens: null, frequencyPenalty: null, presencePenalty: null }
        }),
        ({ body }) => assert.sameMembers(Object.keys(body), ["model", "messages", "stream", "stream_options"])
      ))

    it.effect("a field that the server refuses is never sent, also where a call has it", () =>
      Effect.map(
        sent({
          wire: { omit: ["temperature", "topP", "seed", "stop", "user", "parallelToolCalls", "maxTokens"] },
          options: { temperature: 1, seed: 1, stop: "x", user: "u", parallelToolCalls: true, maxTokens: 4 }
        }),
        ({ body }) =>
          assert.sameMembers(Object.keys(body), [
            "model",
            "messages",
            "stream",
            "stream_options"
          ])
      ))

    it.effect("max_tokens can be max_completion_tokens", () =>
      Effect.map(sent({ wire: { maxTokensField: "max_completion_tokens" }, config: { maxTokens: 5 } }), ({ body }) => {
        assert.strictEqual(body.max_completion_tokens, 5)
        assert.notProperty(body, "max_tokens")
      }))

    it.effect("the system message has the role system, and developer where the config says so", () =>
      Effect.forEach(
        ["system", "developer"] as const,
        (systemRole) =>
          Effect.map(sent({ wire: { systemRole }, messages: lastTurn }), ({ body }) => {
            assert.deepStrictEqual(body.messages[0], { role: systemRole, content: "be brief" })
          })
      ))

    it.effect("the default role of the system message is system", () =>
      Effect.map(sent({ messages: lastTurn }), ({ body }) => assert.strictEqual(body.messages[0].role, "system")))
  })

  describe("history", () => {
    it.effect("earlier reasoning is not sent back by default (Mistral refuses it)", () =>
      Effect.map(sent({ messages: lastTurn }), ({ body }) => {
        assert.deepStrictEqual(body.messages[2], { role: "assistant", content: "hello" })
      }))

    it.effect("earlier reasoning is sent back under the name that a server demands (DeepSeek)", () =>
      Effect.forEach(
        ["reasoning_content", "reasoning"] as const,
        (reasoningEcho) =>
          Effect.map(sent({ wire: { reasoningEcho }, messages: lastTurn }), ({ body }) => {
            assert.deepStrictEqual(body.messages[2], {
              role: "assistant",
              content: "hello",
              [reasoningEcho]: "a greeting"
            })
          })
      ))

    it.effect("an assistant message that only calls tools has null for its content, and calls have arguments", () => {
      const calling: ChatMessage.ChatMessage = {
        role: "assistant",
        content: "",
        toolCalls: [{ id: "t1", name: "f", arguments: "" }, { id: "t2", name: "g", arguments: "{\"a\":1}" }]
      }
      const messages = [
        ChatMessage.user("hi"),
        calling,
        ChatMessage.toolResult("t1", "1"),
        ChatMessage.toolResult("t2", "2")
      ]
      return Effect.map(sent({ messages, options: { tools: [{ name: "f" }] } }), ({ body }) => {
        assert.deepStrictEqual(body.messages.slice(1), [
          {
            role: "assistant",
            content: null,
            tool_calls: [
              { id: "t1", type: "function", function: { name: "f", arguments: "{}" } },
              { id: "t2", type: "function", function: { name: "g", arguments: "{\"a\":1}" } }
            ]
          },
          { role: "tool", tool_call_id: "t1", content: "1" },
          { role: "tool", tool_call_id: "t2", content: "2" }
        ])
      })
    })

    it.effect("an answer that says nothing becomes no assistant message", () =>
      Effect.map(stream("data: {\"choices\":[{\"delta\":{\"content\":\" \\n\"}}]}\n\n" + done), ({ outcome }) => {
        if (outcome._tag === "Left") return assert.fail(outcome.left.message)
        assert.isUndefined(ChatMessage.fromResponse(outcome.right))
      }))
  })
})
