import { FetchHttpClient, HttpClient, HttpClientRequest, HttpServer } from "@effect/platform"
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Duration, Effect, Exit, Fiber, Layer, Option, Redacted, Schedule, Scope, Stream } from "effect"
import { LocalServer } from "effect-chat/testing"
import { createServer } from "node:http"
import * as OpenAI from "openai"
import { runs } from "../support/runs.ts"

const serve = (options?: LocalServer.Options) =>
  LocalServer.layer(options).pipe(
    Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1", backlog: 4096 }))
  )

const base = Layer.merge(serve(), FetchHttpClient.layer)

const server = LocalServer.LocalServer

const openai = (apiKey = "none") =>
  Effect.map(server, ({ url }) => new OpenAI.OpenAI({ apiKey, baseURL: url, maxRetries: 0 }))

const run = <A>(request: () => PromiseLike<A>) => Effect.promise(async () => request())

const fails = <A>(request: () => PromiseLike<A>) =>
  run(() => request().then((): unknown => assert.fail("it did not fail"), (error: unknown) => error))

type Params = OpenAI.OpenAI.ChatCompletionCreateParamsNonStreaming

const user = (content: string) => ({ role: "user" as const, content })
const assistant = (content: string) => ({ role: "assistant" as const, content })

const create = (params: Partial<Params>) =>
  Effect.flatMap(
    openai(),
    (client) => run(() => client.chat.completions.create({ model: "any", messages: [user("hello")], ...params }))
  )

const chunks = (params: Partial<Params>, options?: { readonly includeUsage?: boolean }) =>
  Effect.flatMap(openai(), (client) =>
    run(async () => {
      const stream = await client.chat.completions.create({
        model: "any",
        messages: [user("hello")],
        ...params,
        stream: true,
        ...(options?.includeUsage ? { stream_options: { include_usage: true } } : {})
      })
      const all: Array<OpenAI.OpenAI.ChatCompletionChunk> = []
      for await (const chunk of stream) all.push(chunk)
      return all
    }))

const joinedText = (all: ReadonlyArray<OpenAI.OpenAI.ChatCompletionChunk>) =>
  all.map((chunk) => chunk.choices[0]?.delta.content ?? "").join("")

const hello = "You said: “hello”. This is turn 1. No model is inside this server."

/** Sends a request whose `body` is not changed. */
const raw = (method: "GET" | "POST", path: string, body?: string) =>
  Effect.gen(function*() {
    const { url } = yield* server
    const client = yield* HttpClient.HttpClient
    const request = HttpClientRequest.make(method)(url + path)
    return yield* client.execute(
      body === undefined ? request : HttpClientRequest.bodyText(request, body, "application/json")
    )
  })

const post = (body: object | string) =>
  raw("POST", "/chat/completions", typeof body === "string" ? body : JSON.stringify(body))

const refusal = (body: object | string) =>
  Effect.gen(function*() {
    const response = yield* post(body)
    return [response.status, yield* response.json] as const
  })

const refused = (param: string | null, code: string | null, message: string) =>
  [400, { error: { message, type: "invalid_request_error", param, code } }] as const

type Refusal = [title: string, body: object | string, param: string | null, code: string | null, message: string]

const postStream = (model: string, content = "hello") => post({ model, messages: [user(content)], stream: true })

const eventually = <E, R>(check: Effect.Effect<boolean, E, R>) =>
  Effect.repeat(check, { until: (ok) => ok, schedule: Schedule.spaced("10 millis") }).pipe(Effect.timeout("10 seconds"))

const activeAnswers = Effect.flatMap(server, (service) => service.activeAnswers)

layer(base, { excludeTestServices: true })("LocalServer", (it) => {
  describe("driven by the openai package", () => {
    it.effect("answers without a stream", () =>
      Effect.gen(function*() {
        const completion = yield* create({ model: "some-model" })
        const [choice] = completion.choices
        assert.strictEqual(choice?.message.content, hello)
        assert.strictEqual(choice?.message.role, "assistant")
        assert.strictEqual(choice?.finish_reason, "stop")
        assert.strictEqual(completion.model, "some-model")
        assert.strictEqual(completion.object, "chat.completion")
        assert.isAbove(completion.created, 1_700_000_000)
        assert.match(completion._request_id ?? "", /^req_\d+$/)
        assert.strictEqual(completion.id, `chatcmpl-${completion._request_id}`)
      }))

    it.effect("streams the same answer in a chunk for the role, one for each token, and one for the finish", () =>
      Effect.gen(function*() {
        const all = yield* chunks({})
        assert.strictEqual(joinedText(all), hello)
        assert.deepStrictEqual(all[0]?.choices[0]?.delta, { role: "assistant", content: "", refusal: null })
        assert.strictEqual(all[1]?.choices[0]?.delta.content, "You")
        assert.strictEqual(all[2]?.choices[0]?.delta.content, " said:")
        assert.deepStrictEqual(all.at(-1)?.choices[0]?.delta, {})
        assert.strictEqual(all.at(-1)?.choices[0]?.finish_reason, "stop")
        assert.isTrue(all.slice(0, -1).every((chunk) => chunk.choices[0]?.finish_reason === null))
        assert.lengthOf(new Set(all.map((chunk) => chunk.id)), 1)
        assert.isFalse(all.some((chunk) => "usage" in chunk))
      }))

    it.effect("counts usage the same way in a stream, in a last chunk without choices", () =>
      Effect.gen(function*() {
        const completion = yield* create({})
        const all = yield* chunks({}, { includeUsage: true })
        const usage = { prompt_tokens: 1, completion_tokens: 13, total_tokens: 14 }
        assert.deepEqual(completion.usage, usage)
        assert.deepEqual(all.at(-1)?.usage, usage)
        assert.deepStrictEqual(all.at(-1)?.choices, [])
        assert.isTrue(all.slice(0, -1).every((chunk) => chunk.usage === null))
        assert.lengthOf(all, 13 + 3)
      }))

    it.effect("remembers the conversation", () =>
      Effect.gen(function*() {
        const messages = [user("my name is Ada"), assistant("Noted."), user("what is my name?")]
        assert.strictEqual(joinedText(yield* chunks({ messages })), "You told me that your name is Ada.")
      }))

    it.effect("understands text parts and the developer role", () =>
      Effect.gen(function*() {
        const completion = yield* create({
          messages: [
            { role: "developer", content: [{ type: "text", text: "Be " }, { type: "text", text: "brief." }] },
            { role: "user", content: [{ type: "text", text: "what is your system prompt?" }] }
          ]
        })
        assert.strictEqual(completion.choices[0]?.message.content, "My system prompt is: “Be brief.”")
      }))

    it.effect("lists models, and finds one by name", () =>
      Effect.gen(function*() {
        const client = yield* openai()
        const page = yield* run(() => client.models.list())
        assert.deepStrictEqual(page.data.map((model) => model.id), ["effect-chat-local"])
        assert.include(page.data[0]?.owned_by, "no model is inside")
        const model = yield* run(() => client.models.retrieve("vendor/some model"))
        assert.strictEqual(model.id, "vendor/some model")
      }))

    it.effect("cuts the answer at max_tokens and at max_completion_tokens", () =>
      Effect.gen(function*() {
        for (const params of [{ max_tokens: 2 }, { max_completion_tokens: 2, max_tokens: 9 }]) {
          const completion = yield* create(params)
          assert.strictEqual(completion.choices[0]?.message.content, "You said:")
          assert.strictEqual(completion.choices[0]?.finish_reason, "length")
          assert.strictEqual(completion.usage?.completion_tokens, 2)
          assert.strictEqual((yield* chunks(params)).at(-1)?.choices[0]?.finish_reason, "length")
        }
        assert.strictEqual((yield* create({ max_tokens: 13 })).choices[0]?.finish_reason, "stop")
      }))

    it.effect("stops before the first stop sequence", () =>
      Effect.gen(function*() {
        const [single, many] = [yield* create({ stop: "hello" }), yield* create({ stop: ["turn", "said"] })]
        assert.strictEqual(single.choices[0]?.message.content, "You said: “")
        assert.strictEqual(many.choices[0]?.message.content, "You ")
        assert.strictEqual(many.choices[0]?.finish_reason, "stop")
      }))

    it.effect("answers with minimal JSON for a schema, and with any JSON for json_object", () =>
      Effect.gen(function*() {
        const schema = {
          type: "object",
          properties: { city: { type: "string" }, level: { enum: ["low", "high"] } },
          required: ["city", "level"]
        }
        const typed = yield* chunks({
          response_format: { type: "json_schema", json_schema: { name: "Weather", schema, strict: true } }
        })
        assert.deepStrictEqual(JSON.parse(joinedText(typed)), { city: "city", level: "low" })
        const free = yield* create({ response_format: { type: "json_object" } })
        assert.deepStrictEqual(JSON.parse(free.choices[0]?.message.content ?? ""), { answer: hello })
      }))
  })

  it.effect("answers with the text of the program, whatever the request asks for, or by itself without one", () =>
    Effect.gen(function*() {
      const schema = { type: "object", properties: { city: { type: "string" } }, required: ["city"] }
      const typed = { response_format: { type: "json_schema" as const, json_schema: { name: "Weather", schema } } }
      const requests = [
        typed,
        { response_format: { type: "json_object" as const } },
        { tools: [{ type: "function" as const, function: { name: "f" } }], tool_choice: "required" as const }
      ]
      for (const request of requests) {
        const { choices: [choice] } = yield* create({ ...request, model: "text" })
        assert.strictEqual(choice?.message.content, "{\"city\":\"Oslo\"}")
      }
      const { choices: [own] } = yield* create({ ...typed, model: "own" })
      assert.strictEqual(own?.message.content, "{\"city\":\"city\"}")
    }).pipe(
      Effect.provide(Layer.merge(
        serve({ answer: ({ model }) => model === "text" ? "{\"city\":\"Oslo\"}" : undefined }),
        FetchHttpClient.layer
      ))
    ))

  it.effect("answers with the calls and errors that the program gives", () =>
    Effect.gen(function*() {
      const all = yield* chunks({ tools: [{ type: "function", function: { name: "f" } }] })
      const deltas = all.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? [])
      const names = deltas.flatMap((call) => call.function?.name ?? [])
      const written = [0, 1].map((index) =>
        deltas.filter((call) => call.index === index).map((call) => call.function?.arguments ?? "").join("")
      )
      assert.deepStrictEqual([names, written], [["f", "g"], ["{\"a\":1}", "{}"]])
      const unlimited = yield* create({})
      assert.lengthOf(unlimited.choices[0]?.message.tool_calls ?? [], 2)
      const client = yield* openai()
      const failure = yield* fails(() => client.chat.completions.create({ model: "any", messages: [user("fail")] }))
      assert.include(String(failure), "429 slow down")
    }).pipe(Effect.provide(Layer.merge(
      serve({
        answer: ({ messages }) =>
          messages.at(-1)?.content === "fail"
            ? { error: { status: 429, message: "slow down", code: "rate_limit_exceeded" } }
            : { toolCalls: [{ name: "f", arguments: { a: 1 } }, { name: "g" }] }
      }),
      FetchHttpClient.layer
    ))))

  describe("tools", () => {
    const tool = (name: string) => ({
      type: "function" as const,
      function: {
        name,
        parameters: {
          type: "object",
          properties: { city: { type: "string", minLength: 12 }, days: { type: "integer" } },
          required: ["city", "days"]
        }
      }
    })
    const tools = [tool("weather"), tool("news")]
    const args = { city: "cityxxxxxxxx", days: 0 }

    it.effect("calls the first tool when a call is required, and the named one when one is named", () =>
      Effect.gen(function*() {
        const first = yield* create({ tools, tool_choice: "required" })
        const byName = yield* create({ tools, tool_choice: { type: "function", function: { name: "news" } } })
        const calls = [first, byName].map((completion) => completion.choices[0]?.message.tool_calls?.[0])
        const names = calls.map((call) => call?.type === "function" && call.function.name)
        assert.deepStrictEqual(names, ["weather", "news"])
        assert.deepStrictEqual(
          calls.map((call) => call?.type === "function" && JSON.parse(call.function.arguments)),
          [args, args]
        )
        assert.strictEqual(first.choices[0]?.finish_reason, "tool_calls")
        assert.isNull(first.choices[0]?.message.content)
      }))

    it.effect("streams the arguments in several deltas after the name", () =>
      Effect.gen(function*() {
        const all = yield* chunks({ tools, tool_choice: "required" })
        const deltas = all.flatMap((chunk) => chunk.choices[0]?.delta.tool_calls ?? [])
        assert.strictEqual(deltas[0]?.function?.name, "weather")
        assert.strictEqual(deltas[0]?.id, "call_1")
        assert.strictEqual(deltas[0]?.function?.arguments, "")
        assert.isAbove(deltas.length, 3)
        assert.isTrue(deltas.slice(1).every((delta) => delta.id === undefined && delta.function?.name === undefined))
        assert.deepStrictEqual(JSON.parse(deltas.map((delta) => delta.function?.arguments).join("")), args)
        assert.strictEqual(all.at(-1)?.choices[0]?.finish_reason, "tool_calls")
      }))

    it.effect("calls a tool by itself when the user names it, and reports its result", () =>
      Effect.gen(function*() {
        const response = yield* create({ tools, messages: [user("the weather, please")] })
        const message = response.choices[0]?.message
        assert.lengthOf(message?.tool_calls ?? [], 1)
        const answered = yield* create({
          tools,
          messages: [
            user("the weather, please"),
            { role: "assistant", content: null, tool_calls: message?.tool_calls ?? [] },
            { role: "tool", tool_call_id: "call_1", content: "18 degrees" }
          ]
        })
        assert.strictEqual(answered.choices[0]?.message.content, "The tool answered: “18 degrees”")
        assert.strictEqual((yield* create({ tools })).choices[0]?.message.content, hello)
      }))

    it.effect("refuses a tool that is not offered, a call without an answer and an answer without a call", () =>
      Effect.gen(function*() {
        const call = { id: "call_9", type: "function", function: { name: "news", arguments: "{}" } }
        const calling = { role: "assistant", content: null, tool_calls: [call] }
        const results = [
          yield* refusal({
            model: "any",
            messages: [user("hi")],
            tools,
            tool_choice: { type: "function", function: { name: "other" } }
          }),
          yield* refusal({ model: "any", messages: [user("hi")], tool_choice: "required" }),
          yield* refusal({ model: "any", messages: [user("hi"), calling] }),
          yield* refusal({ model: "any", messages: [user("hi"), calling, user("hello?")] }),
          yield* refusal({
            model: "any",
            messages: [user("hi"), { role: "tool", tool_call_id: "call_9", content: "" }]
          })
        ]
        const unanswered = "An assistant message with 'tool_calls' must be followed by tool messages responding to " +
          "each 'tool_call_id'. The following tool_call_ids did not have response messages: call_9"
        assert.deepStrictEqual(results, [
          refused("tool_choice", null, "Tool choice 'other' not found in 'tools' parameter."),
          refused("tool_choice", null, "'tool_choice' is only allowed when 'tools' are specified."),
          refused("messages[2].role", null, unanswered),
          refused("messages[2].role", null, unanswered),
          refused(
            "messages[1].role",
            null,
            "Invalid parameter: messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
          )
        ])
      }))
  })

  describe("hostile requests", () => {
    const self = { $ref: "#/$defs/a" }
    const schemas: Readonly<Record<string, object>> = {
      "a list of many items": { type: "array", minItems: 400_000_000, items: { type: "string" } },
      "a long text": { type: "string", minLength: 500_000_000 },
      "objects that branch without end": {
        ...self,
        $defs: { a: { type: "object", required: ["x", "y", "z"], properties: { x: self, y: self, z: self } } }
      },
      "a list of lists": {
        type: "array",
        minItems: 5000,
        items: { type: "array", minItems: 5000, items: { type: "boolean" } }
      }
    }
    for (const [name, schema] of Object.entries(schemas)) {
      it.effect(`are refused if a schema asks for ${name}`, () =>
        Effect.gen(function*() {
          const format = { type: "json_schema", json_schema: { name: "a", schema } }
          const response = yield* refusal({ model: "any", messages: [user("hi")], response_format: format })
          const tools = [{ type: "function", function: { name: "f", parameters: schema } }]
          const called = yield* refusal({ model: "any", messages: [user("hi")], tools, tool_choice: "required" })
          const tooLarge = "Invalid schema: the smallest value that this schema accepts is too large."
          for (const answer of [response, called]) {
            assert.deepStrictEqual(answer, refused(null, "invalid_schema", tooLarge))
          }
        }))
    }

    const unprintable = { toString: 1, valueOf: 1 }
    const calling = { role: "assistant", content: "", tool_calls: [{ id: unprintable }] }
    const tool = { type: "function", function: { name: "a" } }
    const requests: Readonly<Record<string, object>> = {
      "a role": { messages: [{ role: unprintable, content: "x" }] },
      "the id of a call": { messages: [calling] },
      "the id of a call's result": { messages: [{ role: "tool", content: "", tool_call_id: unprintable }] },
      "the name of a chosen tool": {
        messages: [user("x")],
        tools: [tool],
        tool_choice: { function: { name: unprintable } }
      }
    }
    for (const [name, request] of Object.entries(requests)) {
      it.effect(`are refused if ${name} has no text form`, () =>
        Effect.map(refusal({ model: "any", ...request }), ([status]) => assert.strictEqual(status, 400)))
    }
  })

  describe("refusals", () => {
    it.effect.each<Refusal>([
      ["no JSON", "{", null, null, "We could not parse the JSON body of your request."],
      ["no model", { messages: [user("hi")] }, null, null, "you must provide a model parameter"],
      [
        "no messages",
        { model: "m" },
        "messages",
        "missing_required_parameter",
        "Missing required parameter: 'messages'."
      ],
      [
        "empty messages",
        { model: "m", messages: [] },
        "messages",
        "empty_array",
        "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
      ],
      [
        "messages of a wrong type",
        { model: "m", messages: "hi" },
        "messages",
        "invalid_type",
        "Invalid type for 'messages': expected an array of objects, but got a string instead."
      ],
      [
        "an unknown role",
        { model: "m", messages: [user("a"), { role: "robot", content: "b" }] },
        "messages[1].role",
        "invalid_value",
        "Invalid value: 'robot'. Supported values are: " +
        "'system', 'assistant', 'user', 'function', 'tool', and 'developer'."
      ],
      [
        "a message without content",
        { model: "m", messages: [{ role: "user", content: null }] },
        "messages[0].content",
        "invalid_type",
        "Invalid type for 'messages[0].content': expected one of a string or array of objects, but got null instead."
      ],
      [
        "a high temperature",
        { model: "m", messages: [user("a")], temperature: 2.5 },
        "temperature",
        "decimal_above_max_value",
        "Invalid 'temperature': decimal above maximum value. Expected a value <= 2, but got 2.5 instead."
      ],
      [
        "a low penalty",
        { model: "m", messages: [user("a")], presence_penalty: -3 },
        "presence_penalty",
        "decimal_below_min_value",
        "Invalid 'presence_penalty': decimal below minimum value. Expected a value >= -2, but got -3 instead."
      ],
      [
        "a temperature of a wrong type",
        { model: "m", messages: [user("a")], temperature: "hot" },
        "temperature",
        "invalid_type",
        "Invalid type for 'temperature': expected a number, but got a string instead."
      ],
      [
        "no tokens at all",
        { model: "m", messages: [user("a")], max_tokens: 0 },
        "max_tokens",
        "integer_below_min_value",
        "Invalid 'max_tokens': integer below minimum value. Expected a value >= 1, but got 0 instead."
      ],
      [
        "several choices",
        { model: "m", messages: [user("a")], n: 2 },
        "n",
        "unsupported_value",
        "Unsupported value: 'n' does not support more than 1 with this model."
      ],
      [
        "a stream that is no boolean",
        { model: "m", messages: [user("a")], stream: "yes" },
        "stream",
        "invalid_type",
        "Invalid type for 'stream': expected a boolean, but got a string instead."
      ],
      [
        "stream options without a stream",
        { model: "m", messages: [user("a")], stream_options: { include_usage: true } },
        "stream_options",
        null,
        "The 'stream_options' parameter is only allowed when 'stream' is enabled."
      ]
    ])("refuses %s", ([, body, param, code, message]) =>
      Effect.gen(function*() {
        assert.deepStrictEqual(yield* refusal(body), refused(param, code, message))
      }))

    it.effect("take null for a setting that is absent", () =>
      Effect.gen(function*() {
        const nothing = { temperature: null, max_tokens: null, stop: null, tools: null, stream_options: null, n: null }
        assert.strictEqual((yield* post({ model: "m", messages: [user("a")], ...nothing })).status, 200)
      }))

    it.effect("become a BadRequestError with the parameter", () =>
      Effect.gen(function*() {
        const client = yield* openai()
        const error = yield* fails(() => client.chat.completions.create({ model: "m", messages: [] }))
        assert.instanceOf(error, OpenAI.BadRequestError)
        assert.deepInclude(error, {
          status: 400,
          param: "messages",
          code: "empty_array",
          type: "invalid_request_error"
        })
      }))

    it.effect("answer an unknown path with 404 and a wrong method with 405", () =>
      Effect.gen(function*() {
        const missing = yield* raw("GET", "/embeddings?a=1")
        assert.strictEqual(missing.status, 404)
        assert.deepInclude(yield* missing.json, {
          error: { message: "Invalid URL (GET /v1/embeddings)", type: "invalid_request_error", param: null, code: null }
        })
        const wrong = [["GET", "/chat/completions"], ["POST", "/models"], ["POST", "/models/m"]] as const
        for (const [method, path] of wrong) {
          const response = yield* raw(method, path)
          assert.strictEqual(response.status, 405)
          assert.include(yield* response.text, "\"code\":\"method_not_supported\"")
        }
      }))
  })

  describe("faults", () => {
    it.effect("effect-chat-silent sends its headers and nothing else", () =>
      Effect.gen(function*() {
        const response = yield* Effect.timeout(postStream("effect-chat-silent"), "2 seconds")
        assert.strictEqual(response.status, 200)
        assert.include(response.headers["content-type"], "text/event-stream")
        const read = yield* Effect.exit(Effect.timeout(Stream.runDrain(response.stream), "200 millis"))
        assert.isTrue(Exit.isFailure(read))
      }))

    it.effect("effect-chat-stall streams three tokens and does not end", () =>
      Effect.gen(function*() {
        const response = yield* postStream("effect-chat-stall")
        const received: Array<string> = []
        const read = yield* response.stream.pipe(
          Stream.decodeText(),
          Stream.runForEach((text) => Effect.sync(() => received.push(text))),
          Effect.timeout("1 second"),
          Effect.exit
        )
        assert.isTrue(Exit.isFailure(read))
        assert.lengthOf(received.join("").match(/"content":"[^"]/g) ?? [], 3)
        assert.notInclude(received.join(""), "\"finish_reason\":\"")
      }))

    it.effect("effect-chat-cut streams three tokens and ends without finish reason and without [DONE]", () =>
      Effect.gen(function*() {
        const text = yield* Effect.flatMap(postStream("effect-chat-cut"), (response) => response.text)
        assert.lengthOf(text.match(/"content":"[^"]/g) ?? [], 3)
        assert.notInclude(text, "[DONE]")
        assert.notInclude(text, "\"finish_reason\":\"")
      }))

    it.effect("effect-chat-cut ends in the middle of its JSON when it does not stream", () =>
      Effect.gen(function*() {
        const response = yield* post({ model: "effect-chat-cut", messages: [user("hello")] })
        const error = yield* Effect.flip(response.json)
        assert.instanceOf(error.cause, SyntaxError)
      }))

    it.effect("effect-chat-stall never answers when it does not stream", () =>
      Effect.gen(function*() {
        const request = yield* Effect.fork(post({ model: "effect-chat-stall", messages: [user("hello")] }))
        yield* eventually(Effect.map(activeAnswers, (count) => count === 1))
        yield* Effect.sleep("100 millis")
        assert.isTrue(Option.isNone(yield* Fiber.poll(request)))
        yield* Fiber.interrupt(request)
        yield* eventually(Effect.map(activeAnswers, (count) => count === 0))
      }))
  })

  describe("the wire", () => {
    it.effect("is server-sent events that end with [DONE]", () =>
      Effect.gen(function*() {
        const response = yield* postStream("any")
        assert.include(response.headers["content-type"], "text/event-stream")
        assert.match(response.headers["x-request-id"] ?? "", /^req_\d+$/)
        const text = yield* response.text
        assert.isTrue(text.split("\n\n").slice(0, -1).every((event) => event.startsWith("data: ")))
        assert.isTrue(text.endsWith("data: [DONE]\n\n"))
      }))

    it.effect("sends a batch of tokens in a read without a delay", () =>
      Effect.gen(function*() {
        const response = yield* postStream("any", "word ".repeat(20))
        assert.isBelow(yield* Stream.runCount(response.stream), 4)
      }))

    it.effect("is left by the server when the client goes away", () =>
      Effect.gen(function*() {
        yield* eventually(Effect.map(activeAnswers, (count) => count === 0))
        const reader = yield* Effect.fork(Effect.flatMap(postStream("effect-chat-stall"), (response) => response.text))
        yield* eventually(Effect.map(activeAnswers, (count) => count === 1))
        yield* Fiber.interrupt(reader)
        yield* eventually(Effect.map(activeAnswers, (count) => count === 0))
      }))
  })

  it.effect("records the last hundred requests, with the key apart from the headers", () =>
    Effect.gen(function*() {
      const { requests, url } = yield* server
      yield* Effect.replicateEffect(post("{"), 120, { concurrency: 10, discard: true })
      const client = yield* HttpClient.HttpClient
      yield* client.execute(
        HttpClientRequest.post(`${url}/chat/completions?a=1`).pipe(
          HttpClientRequest.bearerToken("made-up"),
          HttpClientRequest.setHeader("X-Title", "test"),
          HttpClientRequest.bodyUnsafeJson({ model: "m" })
        )
      )
      const all = yield* requests
      assert.lengthOf(all, 100)
      const last = all.at(-1)
      assert.deepInclude(last, { method: "POST", path: "/v1/chat/completions?a=1", body: { model: "m" } })
      assert.strictEqual(last?.headers["x-title"], "test")
      assert.notProperty(last?.headers, "authorization")
      assert.strictEqual(last?.apiKey === undefined ? "" : Redacted.value(last.apiKey), "made-up")
      assert.notInclude(JSON.stringify(all), "made-up")
      assert.isUndefined(all[0]?.body)
    }))
})

const strict = Layer.merge(serve({ apiKey: Redacted.make("right"), models: ["one", "two"] }), FetchHttpClient.layer)

layer(strict, { excludeTestServices: true })("LocalServer with a key and a list of models", (it) => {
  it.effect("refuses a wrong key and a missing one, without repeating it", () =>
    Effect.gen(function*() {
      const client = yield* openai("wrong-key")
      const error = yield* fails(() => client.models.list())
      assert.instanceOf(error, OpenAI.AuthenticationError)
      assert.deepInclude(error, { status: 401, code: "invalid_api_key", type: "invalid_request_error" })
      assert.notInclude(String(error), "wrong-key")
      const missing = yield* post({ model: "one", messages: [user("hi")] })
      assert.strictEqual(missing.status, 401)
      assert.include(yield* missing.text, "You didn't provide an API key.")
    }))

  it.effect("knows its models and the faults, and no others", () =>
    Effect.gen(function*() {
      const client = yield* openai("right")
      const create = (model: string) => client.chat.completions.create({ model, messages: [user("hi")] })
      const page = yield* run(() => client.models.list())
      assert.deepStrictEqual(page.data.map((model) => model.id), ["one", "two"])
      assert.strictEqual((yield* run(() => create("two"))).model, "two")
      const errors = [yield* fails(() => create("three")), yield* fails(() => client.models.retrieve("three"))]
      for (const error of errors) {
        assert.instanceOf(error, OpenAI.NotFoundError)
        assert.deepInclude(error, { status: 404, code: "model_not_found" })
        assert.include(String(error), "`three`")
      }
      const cutError = yield* fails(() => create("effect-chat-cut"))
      assert.notInstanceOf(cutError, OpenAI.NotFoundError)
    }))
})

describe("LocalServer with options", () => {
  const live = <A, E>(
    options: LocalServer.Options,
    test: Effect.Effect<A, E, LocalServer.LocalServer | HttpClient.HttpClient>
  ) => Effect.provide(test, Layer.merge(serve(options), FetchHttpClient.layer))

  it.live("waits before each token, and sends each separately", () =>
    live(
      { tokenDelay: "20 millis" },
      Effect.gen(function*() {
        const response = yield* postStream("any")
        const [duration, reads] = yield* Effect.timed(Stream.runCount(response.stream))
        assert.isAtLeast(Duration.toMillis(duration), 12 * 20)
        assert.isAtLeast(reads, 8)
      })
    ))

  it.live("uses the answers of the given function, and reports one that throws", () =>
    live(
      {
        answer: ({ messages }) => {
          if (messages[0]?.content === "fail") throw new Error("no answer")
          return `own: ${messages.length}`
        }
      },
      Effect.gen(function*() {
        assert.strictEqual((yield* create({})).choices[0]?.message.content, "own: 1")
        const failed = yield* post({ model: "m", messages: [user("fail")] })
        assert.strictEqual(failed.status, 500)
        assert.include(yield* failed.text, "\"type\":\"server_error\"")
      })
    ))

  it.live("streams a long answer completely", () => {
    const long = "word ".repeat(5000)
    return live(
      { answer: () => long },
      Effect.gen(function*() {
        assert.strictEqual(joinedText(yield* chunks({})), long)
      })
    )
  })

  it.live("writes no further than its client reads", () =>
    live(
      { answer: () => "word ".repeat(200_000) },
      Effect.gen(function*() {
        const response = yield* postStream("any")
        const reads = Stream.mapEffect(Stream.take(response.stream, 2), () => Effect.delay(activeAnswers, "500 millis"))
        assert.deepStrictEqual(Array.from(yield* Stream.runCollect(reads)), [1, 1])
        yield* eventually(Effect.map(activeAnswers, (count) => count === 0))
      })
    ), 20_000)

  const many = runs(200, 2000)

  it.live(`serves ${many} streams at once`, () =>
    live(
      { tokenDelay: "5 millis" },
      Effect.gen(function*() {
        const texts = yield* Effect.forEach(
          Array.from({ length: many }, (_, index) => index),
          (index) => Effect.flatMap(postStream("any", `number ${index}`), (response) => response.text),
          { concurrency: "unbounded" }
        )
        assert.isTrue(texts.every((text) => text.endsWith("data: [DONE]\n\n")))
        assert.isTrue(texts.every((text, index) => text.includes(` ${index}”.`)))
        yield* eventually(Effect.map(activeAnswers, (count) => count === 0))
      })
    ), 60_000)

  it.live.each<[title: string, model: string, options: LocalServer.Options]>([
    ["that has stalled", "effect-chat-stall", {}],
    ["that waits long for a token", "any", { tokenDelay: "1 hour" }],
    ["that is slow", "any", { tokenDelay: "900 millis" }]
  ])("ends a stream %s when it stops", ([, model, options]) =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(serve(options), scope)
      const { activeAnswers, url } = Context.get(context, server)
      const request = HttpClientRequest.post(`${url}/chat/completions`).pipe(
        HttpClientRequest.setHeader("connection", "close"),
        HttpClientRequest.bodyUnsafeJson({ model, messages: [user("hi")], stream: true })
      )
      const client = yield* HttpClient.HttpClient
      const reader = yield* Effect.fork(Effect.flatMap(client.execute(request), (response) => response.text))
      yield* eventually(Effect.map(activeAnswers, (count) => count === 1))
      const [duration] = yield* Effect.timed(Scope.close(scope, Exit.void))
      assert.isBelow(Duration.toMillis(duration), 2000)
      const text = yield* Fiber.join(reader)
      assert.include(text, "\"role\":\"assistant\"")
      assert.notInclude(text, "[DONE]")
    }).pipe(Effect.provide(NodeHttpClient.layer)))

  it.live("does not wait for the connection of a stalled stream when it stops", () =>
    Effect.gen(function*() {
      const scope = yield* Scope.make()
      const { url } = Context.get(yield* Layer.buildWithScope(serve(), scope), server)
      const request = HttpClientRequest.post(`${url}/chat/completions`).pipe(
        HttpClientRequest.bodyUnsafeJson({ model: "effect-chat-stall", messages: [user("hi")], stream: true })
      )
      const response = yield* HttpClient.execute(request)
      const reader = yield* Effect.fork(response.text)
      const [duration] = yield* Effect.timed(Scope.close(scope, Exit.void))
      assert.isBelow(Duration.toMillis(duration), 1000)
      yield* Fiber.join(reader)
    }).pipe(Effect.provide(FetchHttpClient.layer)))

  it.live.each<[hostname: string, url: string]>([
    ["0.0.0.0", "http://127.0.0.1:8080/v1"],
    ["::", "http://127.0.0.1:8080/v1"],
    ["::1", "http://[::1]:8080/v1"],
    ["localhost", "http://localhost:8080/v1"]
  ])("has a URL that can be called when it listens on %s", ([hostname, url]) =>
    Effect.gen(function*() {
      const fake = HttpServer.make({ address: { _tag: "TcpAddress", hostname, port: 8080 }, serve: () => Effect.void })
      const layer = Layer.provide(LocalServer.layer(), Layer.succeed(HttpServer.HttpServer, fake))
      assert.strictEqual((yield* Effect.provide(server, layer)).url, url)
    }))

  it.live("fails on a Unix socket, which has no URL", () =>
    Effect.gen(function*() {
      const fake = HttpServer.make({ address: { _tag: "UnixAddress", path: "/tmp/x" }, serve: () => Effect.void })
      const layer = Layer.provide(LocalServer.layer(), Layer.succeed(HttpServer.HttpServer, fake))
      const error = yield* Effect.flip(Effect.provide(server, layer))
      assert.strictEqual(error._tag, "ServeError")
    }))
})
