import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { CallOptions, ChatMessage, Provider } from "effect-chat"
import { type Asking, complete, failure, stream } from "../support/wire/ask.ts"
import { completion, done } from "../support/wire/say.ts"

const sentRequest = (asking: Asking) =>
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
  describe("URL", () => {
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
      it.effect(`${JSON.stringify(baseUrl)} becomes ${url}`, () =>
        Effect.map(sentRequest({ config: { baseUrl } }), (request) => assert.strictEqual(request.url, url)))
    }
  })

  describe("API key", () => {
    it.effect("no Authorization header is sent without a key or with an empty one", () =>
      Effect.forEach(
        [undefined, "", "  "],
        (apiKey) =>
          Effect.map(sentRequest({ config: { apiKey } }), ({ headers }) => {
            assert.notProperty(headers, "authorization")
            assert.notProperty(headers, "api-key")
          })
      ))

    it.effect("a key is sent as a bearer token, without the white space around it", () =>
      Effect.map(sentRequest({ config: { apiKey: " sk-1234 \n" } }), ({ headers }) => {
        assert.strictEqual(headers["authorization"], "Bearer sk-1234")
      }))
  })

  describe("fields", () => {
    it.effect("a request for a stream asks for usage, and another one does not", () =>
      Effect.gen(function*() {
        const streamed = yield* sentRequest({})
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
      Effect.map(
        sentRequest({ wire: { streamOptions: false } }),
        ({ body }) => assert.notProperty(body, "stream_options")
      ))

    it.effect("only fields that are set or have a default are sent: no store, no n, no logprobs", () =>
      Effect.map(sentRequest({}), ({ body }) => {
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
        sentRequest({
          config: { temperature: null, topP: null, maxTokens: null, frequencyPenalty: null, presencePenalty: null }
        }),
        ({ body }) => assert.sameMembers(Object.keys(body), ["model", "messages", "stream", "stream_options"])
      ))

    it.effect("a field that the server refuses is never sent, even if a call sets it", () =>
      Effect.map(
        sentRequest({
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

    it.effect("neutral values are sent from a call but not from the config (cmd-pal#15)", () =>
      Effect.gen(function*() {
        const config = { topP: 1, frequencyPenalty: 0, presencePenalty: 0 }
        const names = ["top_p", "frequency_penalty", "presence_penalty"]
        const { body } = yield* sentRequest({ config })
        for (const name of names) assert.notProperty(body, name)
        const fromCall = yield* sentRequest({ options: config })
        assert.deepInclude(fromCall.body, { top_p: 1, frequency_penalty: 0, presence_penalty: 0 })
        const fromConfig = yield* sentRequest({ config: { topP: 0.5, frequencyPenalty: -1, presencePenalty: 1 } })
        assert.deepInclude(fromConfig.body, { top_p: 0.5, frequency_penalty: -1, presence_penalty: 1 })
      }))

    it.effect("a default temperature is not sent to OpenAI, Azure and Moonshot (vscode#323110, nofx#1415)", () =>
      Effect.forEach(
        [Provider.openai, Provider.azure({ resource: "r", deployment: "d" }), Provider.moonshot],
        (preset) =>
          Effect.gen(function*() {
            const config = { ...preset, model: "m" }
            assert.notProperty((yield* sentRequest({ config })).body, "temperature")
            assert.notProperty((yield* sentRequest({ config, options: { maxTokens: 5 } })).body, "temperature")
            assert.strictEqual((yield* sentRequest({ config: { ...config, temperature: 0.7 } })).body.temperature, 0.7)
            assert.strictEqual((yield* sentRequest({ config, options: { temperature: 0.7 } })).body.temperature, 0.7)
            assert.strictEqual((yield* sentRequest({ config, options: { temperature: 0 } })).body.temperature, 0)
          })
      ))

    it.effect("a default temperature is not sent to Claude with a topP, which it refuses (cmd-pal#15)", () =>
      Effect.gen(function*() {
        const config = { model: "claude-opus-4-5" }
        const plain = yield* sentRequest({ config })
        assert.deepInclude(plain.body, { temperature: 0.7 })
        assert.notProperty(plain.body, "top_p")
        const fromCall = yield* sentRequest({ config, options: { topP: 0.9 } })
        assert.strictEqual(fromCall.body.top_p, 0.9)
        assert.notProperty(fromCall.body, "temperature")
      }))

    it.effect("tool_choice and parallel_tool_calls are sent only with tools (openclaw#44229)", () =>
      Effect.gen(function*() {
        const options = { toolChoice: "auto", parallelToolCalls: false } as const
        for (const tools of [undefined, []]) {
          const { body } = yield* sentRequest({ options: { ...options, tools } })
          for (const name of ["tools", "tool_choice", "parallel_tool_calls"]) assert.notProperty(body, name)
        }
        const { body } = yield* sentRequest({ options: { ...options, tools: [{ name: "f" }] } })
        assert.deepInclude(body, { tool_choice: "auto", parallel_tool_calls: false })
        const extraBody = { parallel_tool_calls: false, tool_choice: "auto" }
        const bare = yield* sentRequest({ config: { extraBody } })
        for (const name of Object.keys(extraBody)) assert.notProperty(bare.body, name)
        const extra = yield* sentRequest({ config: { extraBody: { ...extraBody, tools: [{ type: "web_search" }] } } })
        assert.deepInclude(extra.body, extraBody)
      }))

    it.effect("a chosen tool is sent by name, or as the only tool if the server supports no names (llama.cpp, LM Studio)", () =>
      Effect.gen(function*() {
        const options = { tools: [{ name: "f" }, { name: "g" }], toolChoice: { name: "g" } }
        const byName = yield* sentRequest({ options })
        assert.deepStrictEqual(byName.body.tool_choice, { type: "function", function: { name: "g" } })
        assert.lengthOf(byName.body.tools, 2)
        for (const preset of [Provider.llamacpp, Provider.lmstudio]) {
          const { body } = yield* sentRequest({ config: { ...preset, model: "m" }, options })
          assert.strictEqual(body.tool_choice, "required")
          assert.lengthOf(body.tools, 1)
          assert.strictEqual(body.tools[0].function.name, "g")
        }
      }))

    it.effect("schemas of tools and answers have an object at the root and no $schema (qwen-code#1186, effect-smol#2540)", () =>
      Effect.map(
        sentRequest({
          options: {
            tools: [CallOptions.tool({ name: "f", parameters: Schema.Struct({}) })],
            responseFormat: { type: "json_schema", name: "an answer", schema: { $schema: "x", type: "object" } }
          }
        }),
        ({ body }) => {
          assert.deepStrictEqual(body.tools[0].function.parameters, { type: "object", properties: {} })
          assert.deepStrictEqual(body.response_format.json_schema, { name: "an_answer", schema: { type: "object" } })
        }
      ))

    it.effect("trace headers are sent only if the config says so (ollama#4388, #9801)", () =>
      Effect.gen(function*() {
        for (const name of ["traceparent", "b3"]) {
          assert.notProperty((yield* sentRequest({})).headers, name)
          assert.property((yield* sentRequest({ config: { tracePropagation: true } })).headers, name)
        }
      }))

    it.effect("a value that JSON cannot represent fails the request, and nothing is sent", () => {
      let deep: object = { type: "string" }
      for (let depth = 0; depth < 20_000; depth++) deep = { items: deep }
      return Effect.map(
        stream(done, { options: { tools: [{ name: "f", parameters: { ...deep } }] } }),
        (received) => {
          assert.include(failure(received, "InvalidRequestError").message, "JSON")
          assert.lengthOf(received.requests, 0)
        }
      )
    })

    it.effect("maxTokens is sent as max_completion_tokens if the config says so", () =>
      Effect.map(
        sentRequest({ wire: { maxTokensField: "max_completion_tokens" }, config: { maxTokens: 5 } }),
        ({ body }) => {
          assert.strictEqual(body.max_completion_tokens, 5)
          assert.notProperty(body, "max_tokens")
        }
      ))

    it.effect("the system message has the role system, or developer if the config says so", () =>
      Effect.forEach(
        ["system", "developer"] as const,
        (systemRole) =>
          Effect.map(sentRequest({ wire: { systemRole }, messages: lastTurn }), ({ body }) => {
            assert.deepStrictEqual(body.messages[0], { role: systemRole, content: "be brief" })
          })
      ))

    it.effect("the default role of the system message is system", () =>
      Effect.map(
        sentRequest({ messages: lastTurn }),
        ({ body }) => assert.strictEqual(body.messages[0].role, "system")
      ))
  })

  describe("history", () => {
    it.effect("earlier reasoning is not sent back by default (Mistral refuses it)", () =>
      Effect.map(sentRequest({ messages: lastTurn }), ({ body }) => {
        assert.deepStrictEqual(body.messages[2], { role: "assistant", content: "hello" })
      }))

    it.effect("earlier reasoning is sent back under the name that the server requires (DeepSeek)", () =>
      Effect.forEach(
        ["reasoning_content", "reasoning"] as const,
        (reasoningEcho) =>
          Effect.map(sentRequest({ wire: { reasoningEcho }, messages: lastTurn }), ({ body }) => {
            assert.deepStrictEqual(body.messages[2], {
              role: "assistant",
              content: "hello",
              [reasoningEcho]: "a greeting"
            })
          })
      ))

    it.effect("an assistant message that only calls tools has null as its content, and its calls have arguments", () => {
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
      return Effect.map(sentRequest({ messages, options: { tools: [{ name: "f" }] } }), ({ body }) => {
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

    it.effect("an empty answer adds no assistant message", () =>
      Effect.map(stream("data: {\"choices\":[{\"delta\":{\"content\":\" \\n\"}}]}\n\n" + done), ({ outcome }) => {
        if (outcome._tag === "Left") return assert.fail(outcome.left.message)
        assert.isUndefined(ChatMessage.fromResponse(outcome.right))
      }))
  })
})
