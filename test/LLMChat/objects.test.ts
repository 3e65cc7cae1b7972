import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Schema, Stream } from "effect"
import { CallOptions, type ChatError, LLMChat, LLMConfig, Provider } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { answer, lines, requests, sent, withScript } from "../support/chats.ts"

class Person extends Schema.Class<Person>("Person")({ name: Schema.String, age: Schema.Int }) {}

const config = LLMConfig.make({ baseUrl: "http://scripted.test/v1", systemPrompt: "S", maxRetries: 0 })
const ada = "{\"name\":\"Ada\",\"age\":36}"

const called = (args: string, finish: string, id = "call_a") => ({
  choices: [{
    index: 0,
    finish_reason: finish,
    message: {
      role: "assistant",
      content: null,
      tool_calls: [{ id, type: "function", function: { name: "weather", arguments: args } }]
    }
  }]
})

describe("An answer with a Schema", () => {
  const born = Schema.Struct({ born: Schema.Int })

  for (
    const [where, text] of [
      [
        "after reasoning in tags",
        "<think>\nIt wants {\"born\": <int>}, so {born: 1815}.\n</think>\n\n{\"born\": 1815}"
      ],
      ["after reasoning without an opening tag", "So {born: 1815}.</think>{\"born\": 1815}"],
      ["after an example that does not decode", "Not {\"born\": \"when\"}, but {\"born\": 1815}."],
      ["in a code fence", "Here:\n```json\n{\"born\": 1815}\n```\nDone."],
      ["as the only item of a list", "[{\"born\": 1815}]"],
      ["in a JSON string", "\"{\\\"born\\\": 1815}\""],
      ["before a sentence with braces", "{\"born\": 1815} is in {braces}."]
    ] as const
  ) {
    it.effect(`is found ${where}`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(config)
        assert.deepStrictEqual(yield* chat.askObject("who?", born), { born: 1815 })
      }).pipe(withScript([answer(text)])))
  }

  it.effect("is found in the reasoning of an answer without text", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)
      assert.deepStrictEqual(yield* chat.askObject("who?", born), { born: 1815 })
    }).pipe(withScript([
      ScriptedHttpClient.json({
        choices: [{
          index: 0,
          finish_reason: "stop",
          message: { content: null, reasoning_content: "{\"born\": 1815}" }
        }]
      })
    ])))

  it.effect("can have line breaks in its strings", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)
      const named = Schema.Struct({ name: Schema.String })
      assert.deepStrictEqual(yield* chat.askObject("who?", named), { name: "Ada\n\tLovelace" })
    }).pipe(withScript([answer("{\n\t\"name\": \"Ada\n\tLovelace\"\n}")])))

  it.effect("fails if it is nested too deeply, even if its Schema is recursive", () =>
    Effect.gen(function*() {
      interface Tree {
        readonly c: ReadonlyArray<Tree>
      }
      const Tree: Schema.Schema<Tree> = Schema.Struct({ c: Schema.Array(Schema.suspend(() => Tree)) }).annotations({
        identifier: "Tree"
      })
      const chat = yield* LLMChat.make(config)
      const asked: ReadonlyArray<Effect.Effect<unknown, ChatError.ChatError>> = [
        chat.askObject("who?", Schema.Struct({ c: Schema.Int })),
        chat.askObject("who?", Tree)
      ]
      for (const ask of asked) {
        const error = yield* Effect.flip(ask)
        assert.strictEqual(error._tag, "MalformedResponseError")
        assert.include(error.message, "nested too deeply")
      }
    }).pipe(withScript(() => answer("{\"c\":[".repeat(1500) + "]}".repeat(1500)))))

  it.effect("fails if it is too long or has too many values", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make({ baseUrl: "http://scripted.test/v1", maxRetries: 0, maxBodySize: 400_000 })
      const Numbers = Schema.Struct({ a: Schema.Array(Schema.Number) })
      const many = yield* Effect.flip(chat.askObject("many", Numbers))
      const long = yield* Effect.flip(chat.askObject("long", Numbers))
      assert.include(many.message, "keys and values")
      assert.include(long.message, "100000 characters")
      assert.deepStrictEqual(yield* chat.askObject("nulls", Schema.Struct({ a: Schema.optional(Schema.Number) })), {})
    }).pipe(
      withScript([
        answer(`{"a":[${"1,".repeat(9000)}1]}`),
        answer(`${" ".repeat(101_000)}{"a":[]}`),
        answer(`{"a":null}${" ".repeat(70_000)}`)
      ])
    ))

  it.effect("is not requested if its Schema cannot be converted to JSON Schema", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)
      const error = yield* Effect.flip(chat.askObject("who?", Schema.Struct({ a: Schema.BigIntFromSelf })))
      assert.strictEqual(error._tag, "InvalidRequestError")
      assert.lengthOf(yield* requests, 0)
    }).pipe(withScript([])))

  it.effect("is requested with a strict JSON Schema, and is decoded", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const person = yield* chat.askObject("who?", Person, { name: "person" })

      assert.deepStrictEqual(person, new Person({ name: "Ada", age: 36 }))
      assert.deepNestedInclude((yield* requests)[0]?.body, {
        "response_format.type": "json_schema",
        "response_format.json_schema.name": "person",
        "response_format.json_schema.strict": true,
        "response_format.json_schema.schema.required": ["name", "age"]
      })
    }).pipe(withScript([answer(ada)])))

  it.effect("is not requested in strict mode if the Schema has optional members", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      yield* chat.askObject("who?", Schema.Struct({ name: Schema.String, nick: Schema.optional(Schema.String) }))

      assert.deepNestedInclude((yield* requests)[0]?.body, { "response_format.json_schema.strict": false })
    }).pipe(withScript([answer(ada)])))

  const strictness: Readonly<Record<string, readonly [Schema.Schema.Any, boolean]>> = {
    "nullable members, lists and literals": [
      Schema.Struct({ a: Schema.NullOr(Schema.String), b: Schema.Array(Schema.Int), c: Schema.Literal("x", "y") }),
      true
    ],
    "a union of objects": [
      Schema.Struct({ a: Schema.Union(Schema.Struct({ b: Schema.String }), Schema.Struct({ c: Schema.Number })) }),
      true
    ],
    "members with the names of keywords": [Schema.Struct({ oneOf: Schema.String, not: Schema.Number }), true],
    "a length limit": [Schema.Struct({ a: Schema.NonEmptyString }), false],
    "a member of type unknown": [Schema.Struct({ a: Schema.Unknown }), false],
    "a tuple": [Schema.Struct({ a: Schema.Tuple(Schema.String, Schema.Number) }), false],
    "a record": [Schema.Struct({ a: Schema.Record({ key: Schema.String, value: Schema.Number }) }), false],
    "an optional member in a list": [
      Schema.Struct({ a: Schema.Array(Schema.Struct({ b: Schema.optional(Schema.String) })) }),
      false
    ]
  }
  for (const [name, [schema, strict]] of Object.entries(strictness)) {
    it.effect(`is ${strict ? "" : "not "}requested in strict mode if it has ${name}`, () =>
      Effect.gen(function*() {
        const chat = yield* LLMChat.make(config)

        yield* Effect.ignore(chat.askObject("who?", Schema.make<unknown, unknown>(schema.ast)))

        assert.deepNestedInclude((yield* requests)[0]?.body, { "response_format.json_schema.strict": strict })
      }).pipe(withScript([answer("{}")])))
  }

  it.effect("is wrapped in an object if the Schema is not one", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const numbers = yield* chat.chatObject("count", Schema.Array(Schema.Number))

      assert.deepStrictEqual(numbers, [1, 2])
      assert.deepStrictEqual(lines(yield* chat.history).slice(1), ["user: count", "assistant: {\"value\":[1,2]}"])
    }).pipe(withScript([answer("{\"value\":[1,2]}")])))

  it.effect("is requested by an instruction if the server accepts no schema, and the instruction is not stored", () =>
    Effect.gen(function*() {
      const { structuredOutput } = Provider.deepseek.wire
      const chat = yield* LLMChat.make(yield* LLMConfig.override(config, { wire: { structuredOutput } }))

      yield* chat.chatObject("who?", Person)

      const [request] = yield* requests
      assert.deepNestedInclude(request?.body, { "response_format.type": "json_object" })
      assert.match(sent(request)[0] ?? "", /^system: S\n\nAnswer with JSON alone.*"age"/s)
      assert.strictEqual(lines(yield* chat.history)[0], "system: S")
    }).pipe(withScript([answer(`Sure:\n\`\`\`json\n${ada}\n\`\`\``)])))

  it.effect("is found between sentences, but not if a bracket is not closed", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      assert.deepInclude(yield* chat.askObject("who?", Person), { name: "Ada" })
      const error = yield* Effect.flip(chat.askObject("who?", Person))
      assert.deepInclude(error, { message: "The answer is not JSON", body: "} she is { 36" })
    }).pipe(withScript([answer(`Here she is: ${ada} (36).`), answer("} she is { 36")])))

  it.effect("that does not decode fails with the text and the path, and leaves the history unchanged", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const error = yield* Effect.flip(chat.chatObject("who?", Person))

      assert.deepInclude(error, { _tag: "MalformedResponseError", body: "{\"name\":\"Ada\",\"age\":\"old\"}" })
      assert.deepStrictEqual(error._tag === "MalformedResponseError" ? error.path : undefined, ["age"])
      assert.include(error.message, "at age")
      assert.deepStrictEqual(lines(yield* chat.history), ["system: S"])
    }).pipe(withScript([answer("{\"name\":\"Ada\",\"age\":\"old\"}")])))

  it.effect("that does not decode is repaired once with repair, and the history contains one turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const person = yield* chat.chatObject("who?", Person, { repair: true })

      assert.strictEqual(person.age, 36)
      assert.deepStrictEqual(sent((yield* requests)[1]).slice(1, 3), ["user: who?", "assistant: Ada, 36"])
      assert.deepStrictEqual(lines(yield* chat.history), ["system: S", "user: who?", `assistant: ${ada}`])
    }).pipe(withScript([answer("Ada, 36"), answer(ada)])))

  it.effect("that the model refuses fails with a clear error", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const error = yield* Effect.flip(chat.askObject("who?", Person))

      assert.strictEqual(error.message, "The model refused: No.")
    }).pipe(withScript([
      ScriptedHttpClient.json({
        choices: [{ index: 0, message: { role: "assistant", content: null, refusal: "No." }, finish_reason: "stop" }]
      })
    ])))
})

describe("A turn with tool calls", () => {
  const tools = [CallOptions.tool({ name: "weather", parameters: Schema.Struct({ city: Schema.String }) })]

  it.effect("stores the call, the result and the answer in order", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const response = yield* chat.chat("weather?", { tools })
      const call = response.toolCalls[0]
      assert.deepStrictEqual(call, { id: "call_a", name: "weather", arguments: "{\"city\":\"Oslo\"}" })
      yield* chat.chat({ role: "tool", toolCallId: call?.id ?? "", content: "rain" }, { tools })

      const roles = (yield* chat.history).map((message) => message.role)
      assert.deepStrictEqual(roles, ["system", "user", "assistant", "tool", "assistant"])
      assert.deepNestedInclude((yield* requests)[1]?.body, {
        "messages[2].tool_calls[0].id": "call_a",
        "messages[3].tool_call_id": "call_a"
      })
    }).pipe(withScript([ScriptedHttpClient.json(called("{\"city\":\"Oslo\"}", "tool_calls")), answer("It rains.")])))

  it.effect("adds an id to a call without one", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const response = yield* chat.chat("weather?", { tools })

      assert.strictEqual(response.toolCalls[0]?.id, "call_0")
    }).pipe(withScript([ScriptedHttpClient.json(called("{}", "tool_calls", ""))])))

  it.effect("fails if the answer was truncated at the token limit, and is not stored", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)

      const whole = yield* Effect.flip(chat.chat("weather?", { tools }))
      const streamed = yield* Effect.flip(Stream.runDrain(chat.chatEvents("weather?", { tools })))

      for (const error of [whole, streamed]) {
        assert.strictEqual(error._tag, "TruncatedError")
        assert.strictEqual(error.partial?.toolCalls[0]?.arguments, "{\"city\":\"Os")
      }
      assert.deepStrictEqual(lines(yield* chat.history), ["system: S"])
    }).pipe(withScript([
      ScriptedHttpClient.json(called("{\"city\":\"Os", "length")),
      ScriptedHttpClient.json(called("{\"city\":\"Os", "length"))
    ])))
})

describe("null in a value", () => {
  const Search = Schema.Struct({
    query: Schema.String,
    limit: Schema.optionalWith(Schema.Int, { default: () => 10 }),
    tag: Schema.optional(Schema.String),
    page: Schema.NullOr(Schema.Int),
    filters: Schema.Array(Schema.Struct({ by: Schema.optional(Schema.String) }))
  })

  const search = (value: object) =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make(config)
      return yield* Effect.either(chat.askObject("cats", Search))
    }).pipe(withScript([answer(JSON.stringify(value))]))

  it.effect("is decoded as an absent optional member (mastra#17655)", () =>
    Effect.map(
      search({ query: "cats", limit: null, tag: null, page: null, filters: [{ by: "age" }, { by: null }] }),
      (value) =>
        assert.deepStrictEqual(
          value,
          Either.right({ query: "cats", limit: 10, page: null, filters: [{ by: "age" }, {}] })
        )
    ))

  it.effect("fails if the member is required", () =>
    Effect.map(search({ query: null, tag: null, page: 1, filters: [] }), (value) => {
      if (Either.isRight(value)) return assert.fail("it was accepted")
      assert.match(value.left.message, /at query: Expected string, actual null/)
    }))
})
