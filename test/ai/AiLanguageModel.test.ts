import { type AiError, LanguageModel, Model, type Prompt, Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Cause, Chunk, ConfigProvider, Effect, Fiber, Layer, Option, Schema, Stream, TestClock } from "effect"
import {
  ChatCompletions,
  ChatError,
  type ChatEvent,
  ChatResponse,
  Fallback,
  Limits,
  LLMConfig,
  Provider
} from "effect-chat"
import { AiLanguageModel } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"
import { type Part, parts, types, withModel } from "../support/ai.ts"
import { answer, held, nothing, requests, sent, usage } from "../support/chats.ts"
import { spansOf } from "../support/spans.ts"

const finishOf = (content: ReadonlyArray<Part>) => content.find((part) => part.type === "finish")

describe("generateText", () => {
  it.effect("sends only the prompt, without the system prompt of the config and without tool fields", () =>
    Effect.gen(function*() {
      const { text } = yield* LanguageModel.generateText({ prompt: "Hello" })

      assert.strictEqual(text, "Hi!")
      const [request] = yield* requests
      assert.deepStrictEqual(sent(request), ["user: Hello"])
      assert.doesNotHaveAnyKeys(request?.body, ["tools", "tool_choice", "response_format"])
    }).pipe(withModel([answer("Hi!")], { systemPrompt: "not sent" })))

  it.effect("returns metadata, reasoning, text and finish, in this order", () =>
    Effect.gen(function*() {
      const { content, finishReason, reasoningText, text } = yield* LanguageModel.generateText({ prompt: "?" })

      assert.deepStrictEqual(types(content), ["response-metadata", "reasoning", "text", "finish"])
      assert.strictEqual(reasoningText, "thinking")
      assert.strictEqual(text, "yes")
      assert.strictEqual(finishReason, "stop")
      const [metadata] = content
      assert(metadata?.type === "response-metadata")
      assert.deepStrictEqual(metadata.id, Option.some("chatcmpl-1"))
      assert.deepStrictEqual(metadata.modelId, Option.some("m-1"))
      assert.isTrue(Option.isSome(metadata.timestamp))
    }).pipe(withModel([
      ScriptedHttpClient.json({
        id: "chatcmpl-1",
        model: "m-1",
        choices: [{ message: { content: "yes", reasoning_content: "thinking" }, finish_reason: "stop" }]
      })
    ])))

  it.effect("returns cached and reasoning tokens", () =>
    Effect.gen(function*() {
      const { usage } = yield* LanguageModel.generateText({ prompt: "?" })

      assert.deepInclude(usage, {
        inputTokens: 100,
        outputTokens: 20,
        totalTokens: 120,
        cachedInputTokens: 80,
        reasoningTokens: 15
      })
    }).pipe(withModel([
      answer("yes", {
        usage: {
          ...usage(100, 20),
          prompt_tokens_details: { cached_tokens: 80 },
          completion_tokens_details: { reasoning_tokens: 15 }
        }
      })
    ])))

  it.effect("returns no usage if the server sends none", () =>
    Effect.gen(function*() {
      const { usage } = yield* LanguageModel.generateText({ prompt: "?" })
      assert.isUndefined(usage.inputTokens)
      assert.isUndefined(usage.totalTokens)
    }).pipe(withModel([answer("yes")])))

  for (
    const [raw, reason] of [
      ["stop", "stop"],
      ["length", "length"],
      ["content_filter", "content-filter"],
      ["something_new", "other"]
    ]
  ) {
    it.effect(`returns the finish reason ${reason} for ${raw}, and the original reason in the metadata`, () =>
      Effect.gen(function*() {
        const { content, finishReason } = yield* LanguageModel.generateText({ prompt: "?" })
        assert.strictEqual(finishReason, reason)
        assert.strictEqual(finishOf(content)?.metadata["effect-chat"]?.["rawFinishReason"], raw)
      }).pipe(withModel([
        ScriptedHttpClient.json({ choices: [{ message: { content: "yes" }, finish_reason: raw }] })
      ])))
  }

  it.effect("returns a refusal as a marked text", () =>
    Effect.gen(function*() {
      const { content, text } = yield* LanguageModel.generateText({ prompt: "?" })
      assert.strictEqual(text, "I will not.")
      assert.isTrue(content.some((part) => part.metadata["effect-chat"]?.["refusal"] === true))
    }).pipe(withModel([
      ScriptedHttpClient.json({
        choices: [{ message: { content: null, refusal: "I will not." }, finish_reason: "stop" }]
      })
    ])))

  it.effect("returns cited URLs as sources, and images as files", () =>
    Effect.gen(function*() {
      const { content } = yield* LanguageModel.generateText({ prompt: "?" })

      assert.deepStrictEqual(types(content), ["response-metadata", "text", "source", "file", "finish"])
      const source = content.find((part) => part.type === "source")
      assert(source?.sourceType === "url")
      assert.strictEqual(source.url.href, "https://effect.website/")
      assert.strictEqual(source.title, "Effect")
      const file = content.find((part) => part.type === "file")
      assert.strictEqual(file?.mediaType, "image/png")
      assert.deepStrictEqual(file?.data, new Uint8Array([1, 2, 3]))
    }).pipe(withModel([
      ScriptedHttpClient.json({
        choices: [{
          message: {
            content: "yes",
            annotations: [
              { type: "url_citation", url_citation: { url: "https://effect.website/", title: "Effect" } },
              { type: "url_citation", url_citation: { url: "no address" } }
            ],
            images: [
              { type: "image_url", image_url: { url: "data:image/png;base64,AQID" } },
              { type: "image_url", image_url: { url: "https://images.test/1.png" } }
            ]
          },
          finish_reason: "stop"
        }]
      })
    ])))
})

describe("streamText", () => {
  it.effect("begins with the id and the model of the response, and ends each part", () =>
    Effect.gen(function*() {
      const all = yield* parts({ prompt: "?" })

      assert.deepStrictEqual(types(all), [
        "response-metadata",
        "reasoning-start",
        "reasoning-delta",
        "reasoning-delta",
        "reasoning-end",
        "text-start",
        "text-delta",
        "text-end",
        "finish"
      ])
      const [metadata] = all
      assert(metadata?.type === "response-metadata")
      assert.deepStrictEqual(metadata.id, Option.some("c1"))
      assert.deepStrictEqual(metadata.modelId, Option.some("m1"))
      const ids = all.flatMap((part) => "id" in part && typeof part.id === "string" ? [part.id] : [])
      assert.lengthOf(new Set(ids), 2)
    }).pipe(withModel([
      ScriptedHttpClient.sse([
        { id: "c1", model: "m1", choices: [{ delta: { reasoning_content: "th" } }] },
        { id: "c1", model: "m1", choices: [{ delta: { reasoning_content: "ink" } }] },
        { id: "c1", model: "m1", choices: [{ delta: { content: "yes" } }] },
        { id: "c1", model: "m1", choices: [{ delta: {}, finish_reason: "stop" }] },
        "[DONE]"
      ])
    ])))

  it.effect("emits each network chunk as it arrives", () =>
    Effect.gen(function*() {
      const sizes = yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        Stream.chunks,
        Stream.map(Chunk.size),
        Stream.runCollect
      )
      // Metadata with the first text, two more texts, the end of the text, and the finish.
      assert.deepStrictEqual(Chunk.toReadonlyArray(sizes), [3, 1, 1, 1, 1])
    }).pipe(withModel([ScriptedHttpClient.tokens(["a", "b", "c"])])))

  it.effect("emits only metadata and finish for an empty answer", () =>
    Effect.gen(function*() {
      assert.deepStrictEqual(types(yield* parts({ prompt: "?" })), ["response-metadata", "finish"])
    }).pipe(withModel([ScriptedHttpClient.tokens([])])))

  it.effect("emits the usage with finish", () =>
    Effect.gen(function*() {
      const all = yield* parts({ prompt: "?" })
      const finish = all.find((part) => part.type === "finish")
      assert.strictEqual(finish?.usage.totalTokens, 3)
    }).pipe(withModel([ScriptedHttpClient.tokens(["a"], { usage: usage(1, 2) })])))

  it.effect("closes the connection when its consumer stops reading", () =>
    Effect.gen(function*() {
      yield* LanguageModel.streamText({ prompt: "?" }).pipe(Stream.take(2), Stream.runDrain)
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withModel([ScriptedHttpClient.tokens(["a", "b"], { ending: ScriptedHttpClient.never })])))

  it.effect("closes the connection when its fiber is interrupted", () =>
    Effect.gen(function*() {
      const fiber = yield* Effect.fork(parts({ prompt: "?" }))
      yield* TestClock.adjust(0)
      assert.deepStrictEqual(yield* held, { ...nothing, open: 1 })
      yield* Fiber.interrupt(fiber)
      assert.deepStrictEqual(yield* held, nothing)
    }).pipe(withModel([ScriptedHttpClient.tokens(["a"], { ending: ScriptedHttpClient.never })])))

  it.effect("marks a refusal", () =>
    Effect.gen(function*() {
      const all = yield* parts({ prompt: "?" })
      const start = all.find((part) => part.type === "text-start")
      assert.deepStrictEqual(start?.metadata["effect-chat"], { refusal: true })
    }).pipe(withModel([
      ScriptedHttpClient.sse([
        { choices: [{ delta: { refusal: "No." } }] },
        { choices: [{ delta: {}, finish_reason: "stop" }] },
        "[DONE]"
      ])
    ])))
})

describe("generateObject", () => {
  const Person = Schema.Struct({ name: Schema.String, age: Schema.NumberFromString })

  it.effect("sends the JSON Schema, and decodes the answer", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "who?", schema: Person, objectName: "person" })

      assert.deepStrictEqual(value, { name: "Ada", age: 36 })
      assert.deepNestedInclude((yield* requests)[0]?.body, {
        "response_format.type": "json_schema",
        "response_format.json_schema.name": "person",
        "response_format.json_schema.strict": true
      })
    }).pipe(withModel([answer("{\"name\":\"Ada\",\"age\":\"36\"}")])))

  it.effect("finds the value in a code fence or between sentences", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({ prompt: "who?", schema: Person })
      assert.deepStrictEqual(value, { name: "Ada", age: 36 })
    }).pipe(withModel([answer("Here it is:\n```json\n{\"name\":\"Ada\",\"age\":\"36\"}\n```\nDone.")])))

  it.effect("sends the Schema as an instruction to servers that accept no schema", () =>
    Effect.gen(function*() {
      const { value } = yield* LanguageModel.generateObject({
        prompt: [{ role: "system", content: "Be brief." }, { role: "user", content: "who?" }],
        schema: Person
      })

      assert.deepStrictEqual(value, { name: "Ada", age: 36 })
      const [request] = yield* requests
      assert.match(sent(request)[0] ?? "", /^system: Be brief\.\n\nAnswer with JSON alone/)
      assert.deepNestedInclude(request?.body, { "response_format.type": "json_object" })
    }).pipe(withModel([answer("{\"name\":\"Ada\",\"age\":\"36\"}")], {
      wire: Provider.Wire.make({ structuredOutput: "json_object" })
    })))

  it.effect("fails with MalformedOutput if the value does not decode", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "who?", schema: Person }))
      assert.strictEqual(error._tag, "MalformedOutput")
    }).pipe(withModel([answer("{\"name\":\"Ada\"}")])))

  it.effect("fails before a request if the Schema cannot be converted to JSON Schema", () =>
    Effect.gen(function*() {
      const schema = Schema.Struct({ a: Schema.BigIntFromSelf })
      const error = yield* Effect.flip(LanguageModel.generateObject({ prompt: "who?", schema }))
      assert.strictEqual(error._tag, "MalformedInput")
      assert.lengthOf(yield* requests, 0)
    }).pipe(withModel([])))
})

describe("an error", () => {
  const failing = (response: ScriptedHttpClient.ScriptedResponse) => [response]

  const all = [
    [401, "AuthenticationError"],
    [404, "NotFoundError"],
    [429, "RateLimitError"],
    [503, "ServerError"]
  ] as const
  for (const [status, tag] of all) {
    it.effect(`with status ${status} is HttpResponseError, caused by ${tag}`, () =>
      Effect.gen(function*() {
        for (const call of [LanguageModel.generateText({ prompt: "?" }), parts({ prompt: "?" })]) {
          const error = yield* Effect.flip<unknown, AiError.AiError, LanguageModel.LanguageModel>(call)
          assert(error._tag === "HttpResponseError")
          assert.strictEqual(error.response.status, status)
          assert(ChatError.isChatError(error.cause))
          assert.strictEqual(error.cause._tag, tag)
          assert.include(error.message, "the server's words")
        }
      }).pipe(withModel(() => ScriptedHttpClient.json({ error: { message: "the server's words" } }, { status }))))
  }

  it.effect("of the connection is HttpRequestError", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "?" }))
      assert(error._tag === "HttpRequestError")
      assert(ChatError.isChatError(error.cause))
      assert.strictEqual(error.cause._tag, "TransportError")
      assert.strictEqual(error.request.url, "http://scripted.test/v1/chat/completions")
    }).pipe(withModel(failing(ScriptedHttpClient.connectionError()))))

  it.effect("of a truncated stream is MalformedOutput with the partial answer, after the received parts", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const error = yield* LanguageModel.streamText({ prompt: "?" }).pipe(
        Stream.tap((part) => Effect.sync(() => seen.push(part.type))),
        Stream.runDrain,
        Effect.flip
      )
      assert.deepStrictEqual(seen, ["response-metadata", "text-start", "text-delta"])
      assert(error._tag === "MalformedOutput")
      assert(ChatError.isChatError(error.cause))
      assert.strictEqual(error.cause._tag, "TruncatedError")
      assert.strictEqual(error.cause.partial?.text, "half")
    }).pipe(withModel(failing(ScriptedHttpClient.tokens(["half"], { ending: "truncated" })))))

  it.effect("of a server without a status is UnknownError", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(parts({ prompt: "?" }))
      assert(error._tag === "UnknownError")
      assert(ChatError.isChatError(error.cause))
      assert.strictEqual(error.cause._tag, "ServerError")
    }).pipe(withModel(failing(ScriptedHttpClient.sse([
      { choices: [{ delta: { content: "a" } }] },
      { error: { message: "overloaded", type: "server_error" } }
    ])))))

  it.effect("never contains the key", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "?" }))
      assert.include(error.message, "bad key <redacted>")
      assert.notInclude(Cause.pretty(Cause.fail(error)) + JSON.stringify(error), "sk-secret-0123456789")
    }).pipe(withModel(
      failing(ScriptedHttpClient.json({ error: { message: "bad key sk-secret-0123456789" } }, { status: 401 })),
      { apiKey: "sk-secret-0123456789" }
    )))

  it.effect("of an invalid setting names the setting when the layer is built", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(AiLanguageModel.layer({ baseUrl: "ftp://x", model: "m" })))
      assert.include(error.message, "baseUrl")
    }).pipe(Effect.scoped, Effect.provide(ScriptedHttpClient.layer([]))))
})

describe("settings", () => {
  it.effect("apply to calls in their context, and inner settings override outer ones", () =>
    Effect.gen(function*() {
      yield* LanguageModel.generateText({ prompt: "?" }).pipe(
        AiLanguageModel.withSettings({ temperature: 0, seed: 2 }),
        AiLanguageModel.withSettings({ temperature: 1, model: "other", extraBody: { top_k: 4 } })
      )
      yield* LanguageModel.generateText({ prompt: "?" })

      const [chosen, plain] = yield* requests
      assert.deepInclude(chosen?.body, { temperature: 0, seed: 2, model: "other", top_k: 4 })
      assert.deepInclude(plain?.body, { model: "m" })
      assert.doesNotHaveAnyKeys(plain?.body, ["seed", "top_k"])
    }).pipe(withModel(() => answer("yes"))))

  it.effect("also apply to streams", () =>
    Effect.gen(function*() {
      yield* parts({ prompt: "?" }).pipe(AiLanguageModel.withSettings({ seed: 7 }))
      assert.deepInclude((yield* requests)[0]?.body, { seed: 7, stream: true })
    }).pipe(withModel([ScriptedHttpClient.tokens(["a"])])))
})

describe("fromCompletions", () => {
  const config = LLMConfig.make({ baseUrl: "http://scripted.test/v1", model: "m", maxRetries: 0 })

  it.effect("applies the limits of the service", () =>
    Effect.gen(function*() {
      const completions = yield* Limits.make({ concurrency: 1 }).over(yield* ChatCompletions.make)
      const model = yield* AiLanguageModel.fromCompletions(completions, config)
      const first = yield* Effect.fork(model.generateText({ prompt: "?" }))
      const second = yield* Effect.fork(model.generateText({ prompt: "?" }))
      yield* Effect.yieldNow().pipe(Effect.repeatN(50))

      assert.lengthOf(yield* requests, 1)
      yield* Fiber.interrupt(first)
      yield* Effect.yieldNow().pipe(Effect.repeatN(50))
      assert.lengthOf(yield* requests, 2)
      yield* Fiber.interrupt(second)
    }).pipe(
      Effect.scoped,
      Effect.provide(ScriptedHttpClient.layer(() => ScriptedHttpClient.delayed("1 hour", answer("yes"))))
    ))

  it.effect("emits complete parts if the service emits no Begin and sends the name of a tool late", () =>
    Effect.gen(function*() {
      const toolCalls = [{ id: "1", name: "Now", arguments: "{}" }]
      const response = new ChatResponse.ChatResponse({
        id: "c1",
        model: "m1",
        text: "",
        reasoning: "",
        refusal: "",
        toolCalls,
        finishReason: "tool-calls",
        rawFinishReason: undefined,
        usage: undefined
      })
      const events: ReadonlyArray<ChatEvent.ChatEvent> = [
        { _tag: "ToolCallDelta", index: 0, id: "", name: "", arguments: "{" },
        { _tag: "ToolCallDelta", index: 0, id: "1", name: "Now", arguments: "}" },
        { _tag: "Finish", reason: "tool-calls", rawReason: undefined, response }
      ]
      const model = yield* AiLanguageModel.fromCompletions({
        complete: () => Effect.succeed(response),
        stream: () => Stream.fromIterable(events)
      }, config)
      const toolkit = Toolkit.make(Tool.make("Now", { success: Schema.String }))

      const all = yield* model.streamText({ prompt: "?", toolkit, disableToolCallResolution: true }).pipe(
        Stream.runCollect,
        Effect.provide(toolkit.toLayer({ Now: () => Effect.succeed("noon") }))
      )

      const [start, delta, metadata, end, call, finish] = Chunk.toReadonlyArray(all)
      assert.deepInclude(start, { type: "tool-params-start", id: "1", name: "Now" })
      assert.deepInclude(delta, { type: "tool-params-delta", id: "1", delta: "{}" })
      assert.deepInclude(metadata, { type: "response-metadata", modelId: Option.some("m1") })
      assert.strictEqual(end?.type, "tool-params-end")
      assert.deepInclude(call, { type: "tool-call", id: "1", params: {} })
      assert.strictEqual(finish?.type, "finish")
    }))

  it.effect("uses the fallback of the service", () =>
    Effect.gen(function*() {
      const other = LLMConfig.make({ baseUrl: "http://other.test/v1", model: "m2", maxRetries: 0 })
      const completions = yield* Fallback.make({ configs: [other] }).over(yield* ChatCompletions.make)
      const model = yield* AiLanguageModel.fromCompletions(completions, config)

      const { content, text } = yield* model.generateText({ prompt: "?" })

      assert.strictEqual(text, "yes")
      assert.strictEqual(finishOf(content)?.metadata["effect-chat"]?.["provider"], "http://other.test")
    }).pipe(Effect.provide(
      ScriptedHttpClient.layer(({ url }) =>
        url.startsWith("http://other") ? answer("yes") : ScriptedHttpClient.json({}, { status: 503 })
      )
    )))
})

describe("files", () => {
  const bytes = new Uint8Array([1, 2, 3])
  const file = (mediaType: string, data: string | Uint8Array | URL, more?: object): Prompt.UserMessagePartEncoded => ({
    type: "file",
    mediaType,
    data,
    ...more
  })

  for (
    const [title, part, expected] of [
      ["bytes of an image", file("image/png", bytes), {
        type: "image_url",
        image_url: { url: "data:image/png;base64,AQID" }
      }],
      ["base64 of an image", file("image/*", "AQID"), {
        type: "image_url",
        image_url: { url: "data:image/jpeg;base64,AQID" }
      }],
      ["the URL of an image", file("image/png", new URL("https://images.test/1.png")), {
        type: "image_url",
        image_url: { url: "https://images.test/1.png" }
      }],
      ["an image with its detail", file("image/png", bytes, { options: { "effect-chat": { detail: "low" } } }), {
        type: "image_url",
        image_url: { url: "data:image/png;base64,AQID", detail: "low" }
      }],
      ["a recording", file("audio/mpeg", bytes), { type: "input_audio", input_audio: { data: "AQID", format: "mp3" } }],
      ["a document", file("application/pdf", bytes, { fileName: "a.pdf" }), {
        type: "file",
        file: { filename: "a.pdf", file_data: "data:application/pdf;base64,AQID" }
      }],
      ["an uploaded file", file("application/pdf", "file-123"), { type: "file", file: { file_id: "file-123" } }]
    ] as const
  ) {
    it.effect(`are sent: ${title}`, () =>
      Effect.gen(function*() {
        yield* LanguageModel.generateText({
          prompt: [{ role: "user", content: [{ type: "text", text: "See" }, part] }]
        })
        const [request] = yield* requests
        assert.deepNestedPropertyVal(request?.body, "messages[0].content[0]", { type: "text", text: "See" })
        assert.deepNestedPropertyVal(request?.body, "messages[0].content[1]", expected)
      }).pipe(withModel([answer("yes")])))
  }

  for (
    const [title, part] of [
      ["audio of another type", file("audio/ogg", bytes)],
      ["the URL of a recording", file("audio/wav", new URL("https://audio.test/1.wav"))]
    ] as const
  ) {
    it.effect(`are refused before a request: ${title}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(LanguageModel.generateText({ prompt: [{ role: "user", content: [part] }] }))
        assert.strictEqual(error._tag, "MalformedInput")
        assert.lengthOf(yield* requests, 0)
      }).pipe(withModel([])))
  }
})

describe("a span", () => {
  it.effect("has the generative AI attributes for answers and streams", () =>
    Effect.gen(function*() {
      const spans = yield* spansOf(Effect.zipRight(
        LanguageModel.generateText({ prompt: "?" }).pipe(
          AiLanguageModel.withSettings({ temperature: 0.5, stop: "END" })
        ),
        parts({ prompt: "?" })
      ))
      for (const name of ["LanguageModel.generateText", "LanguageModel.streamText"]) {
        const span = spans.find((span) => span.name === name)
        assert.deepInclude(Object.fromEntries(span?.attributes ?? []), {
          "gen_ai.system": "openai-compatible",
          "gen_ai.operation.name": "chat",
          "gen_ai.request.model": "m",
          "gen_ai.response.model": "scripted",
          "gen_ai.response.finish_reasons": ["stop"],
          "gen_ai.usage.input_tokens": 1,
          "gen_ai.usage.output_tokens": 2
        })
      }
      assert.deepInclude(Object.fromEntries(spans[0]?.attributes ?? []), {
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.stop_sequences": ["END"]
      })
    }).pipe(withModel([
      answer("yes", { usage: usage(1, 2) }),
      ScriptedHttpClient.tokens(["a"], { usage: usage(1, 2) })
    ])))
})

describe("other constructors", () => {
  const script = ScriptedHttpClient.layer([answer("yes")])

  it.effect("include layerConfig, which reads the environment", () =>
    Effect.gen(function*() {
      const { text } = yield* LanguageModel.generateText({ prompt: "?" })
      assert.strictEqual(text, "yes")
      const [request] = yield* requests
      assert.strictEqual(request?.url, "http://environment.test/v1/chat/completions")
      assert.deepInclude(request?.body, { model: "m-env" })
    }).pipe(
      Effect.provide(Layer.provideMerge(AiLanguageModel.layerConfig, script)),
      Effect.withConfigProvider(ConfigProvider.fromMap(
        new Map([["LLM_BASE_URL", "http://environment.test/v1"], ["LLM_MODEL", "m-env"]])
      ))
    ))

  it.effect("include model, which has the name of the provider", () =>
    Effect.gen(function*() {
      const { text } = yield* LanguageModel.generateText({ prompt: "?" })
      assert.strictEqual(text, "yes")
      assert.strictEqual(yield* Model.ProviderName, "ollama")
    }).pipe(
      Effect.provide(Layer.provide(AiLanguageModel.model(LLMConfig.make({ ...Provider.ollama, model: "m" })), script))
    ))
})
