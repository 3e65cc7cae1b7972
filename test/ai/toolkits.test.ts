import { LanguageModel, Prompt, Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Deferred, Effect, Schema, Stream } from "effect"
import { AiLanguageModel } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"
import { type Part, types, withModel } from "../support/ai.ts"
import { answer, requests } from "../support/chats.ts"

interface Called {
  readonly name: string
  readonly arguments: string
  readonly id?: string
}

/** A complete answer that calls tools. */
const calling = (calls: ReadonlyArray<Called>, finish_reason = "tool_calls") =>
  ScriptedHttpClient.json({
    choices: [{
      finish_reason,
      message: {
        content: null,
        tool_calls: calls.map(({ id, ...call }) => ({ id, type: "function", function: call }))
      }
    }]
  })

/** The same answer as a stream, with each call in several deltas. Only the first one has the name. */
const streaming = (calls: ReadonlyArray<Called>, finish_reason = "tool_calls") => {
  const delta = (delta: object, finish_reason: string | null = null) => ({
    id: "c1",
    model: "m1",
    choices: [{ index: 0, delta, finish_reason }]
  })
  return ScriptedHttpClient.sse([
    delta({ role: "assistant", content: "Let me see." }),
    ...calls.flatMap(({ arguments: text, id, name }, index) => [
      delta({ tool_calls: [{ index, id, type: "function", function: { name, arguments: "" } }] }),
      ...Array.from(text, (piece) => delta({ tool_calls: [{ index, function: { arguments: piece } }] }))
    ]),
    delta({}, finish_reason),
    "[DONE]"
  ])
}

const collect = <A, E, R>(stream: Stream.Stream<A, E, R>): Effect.Effect<ReadonlyArray<A>, E, R> =>
  Effect.map(Stream.runCollect(stream), Chunk.toReadonlyArray)

const resultsOf = (content: ReadonlyArray<Part>) => content.filter((part) => part.type === "tool-result")

const Double = Tool.make("Double", {
  description: "Doubles a number",
  parameters: { number: Schema.NumberFromString },
  success: Schema.Number
})
const Doubles = Toolkit.make(Double)
const DoublesLive = Doubles.toLayer({ Double: ({ number }) => Effect.succeed(number * 2) })

const once = [{ id: "call_1", name: "Double", arguments: "{\"number\":\"21\"}" }]

describe("a toolkit", () => {
  it.effect("is offered with the JSON Schema of its parameters, and runs the calls", () =>
    Effect.gen(function*() {
      const { content, finishReason } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Doubles })

      assert.strictEqual(finishReason, "tool-calls")
      assert.deepInclude(resultsOf(content)[0], { id: "call_1", name: "Double", result: 42, isFailure: false })
      const [request] = yield* requests
      assert.deepNestedInclude(request?.body, {
        "tools[0].type": "function",
        "tools[0].function.name": "Double",
        "tools[0].function.description": "Doubles a number",
        "tools[0].function.parameters.type": "object",
        "tools[0].function.parameters.required": ["number"]
      })
      assert.notNestedProperty(request?.body, "tool_choice")
      assert.notNestedProperty(request?.body, "tools[0].function.strict")
    }).pipe(Effect.provide(DoublesLive), withModel([calling(once)])))

  for (
    const [title, toolChoice, names, expected] of [
      ["none", "none", ["Double", "Now"], "none"],
      ["required", "required", ["Double", "Now"], "required"],
      ["one tool", { tool: "Double" }, ["Double", "Now"], { type: "function", function: { name: "Double" } }],
      ["some tools", { oneOf: ["Double"] }, ["Double"], undefined],
      ["one of some tools", { mode: "required", oneOf: ["Double"] }, ["Double"], "required"]
    ] as const
  ) {
    it.effect(`is restricted to ${title} by toolChoice`, () =>
      Effect.gen(function*() {
        const Now = Tool.make("Now", { success: Schema.String })
        const toolkit = Toolkit.make(Double, Now)
        const handlers = toolkit.toLayer({ Double: () => Effect.succeed(1), Now: () => Effect.succeed("now") })
        yield* LanguageModel.generateText({ prompt: "?", toolkit, toolChoice }).pipe(Effect.provide(handlers))

        const [request] = yield* requests
        const body = yield* Schema.decodeUnknown(Schema.Struct({
          tools: Schema.Array(Schema.Struct({ function: Schema.Struct({ name: Schema.String }) })),
          tool_choice: Schema.optional(Schema.Unknown)
        }))(request?.body)
        assert.deepStrictEqual(body.tools.map((tool) => tool.function.name), [...names])
        assert.deepStrictEqual(body.tool_choice, expected)
      }).pipe(withModel([answer("yes")])))
  }

  it.effect("runs no call of a truncated answer", () =>
    Effect.gen(function*() {
      const { content, finishReason } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Doubles })
      assert.strictEqual(finishReason, "length")
      assert.deepStrictEqual(types(content), ["response-metadata", "finish"])

      const streamed = yield* collect(LanguageModel.streamText({ prompt: "?", toolkit: Doubles }))
      assert.notInclude(types(streamed), "tool-call")
      assert.include(types(streamed), "tool-params-end")
    }).pipe(Effect.provide(DoublesLive), withModel([calling(once, "length"), streaming(once, "length")])))

  it.effect("fails with MalformedOutput for a call of an unknown tool, and names the tool", () =>
    Effect.gen(function*() {
      const asked = { prompt: "?", toolkit: Doubles }
      const calls = [
        Effect.asVoid(LanguageModel.generateText(asked)),
        Effect.asVoid(collect(LanguageModel.streamText(asked)))
      ]
      for (const call of calls) {
        const error = yield* Effect.flip(call)
        assert(error._tag === "MalformedOutput")
        assert.include(error.description, "\"Treble\"")
        assert.include(error.description, "Double")
      }
    }).pipe(
      Effect.provide(DoublesLive),
      withModel(({ body }) =>
        (Reflect.get(Object(body), "stream") === true ? streaming : calling)([{
          id: "1",
          name: "Treble",
          arguments: "{}"
        }])
      )
    ))

  it.effect("fails for a call if the request offers no tools, and names the tool", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "?" }))
      assert(error._tag === "MalformedOutput")
      assert.include(error.description, "\"Double\"")
      assert.include(error.description, "none")
    }).pipe(withModel([calling(once)])))

  it.effect("adds ids to calls without one or with the same one", () =>
    Effect.gen(function*() {
      const { toolCalls, toolResults } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Doubles })
      const ids = toolCalls.map(({ id }) => id)
      assert.lengthOf(new Set(ids), 3)
      assert.notInclude(ids, "")
      assert.deepStrictEqual(toolResults.map(({ id }) => id), ids)
    }).pipe(
      Effect.provide(DoublesLive),
      withModel([
        calling(["", "same", "same"].map((id, n) => ({ id, name: "Double", arguments: `{"number":"${n}"}` })))
      ])
    ))
})

describe("issues of @effect/ai", () => {
  it.effect("#6119: a handler receives parameters that are decoded once, and a manual handler receives them undecoded", () =>
    Effect.gen(function*() {
      const toolkit = yield* Doubles
      const { toolCalls } = yield* LanguageModel.generateText({
        prompt: "?",
        toolkit,
        disableToolCallResolution: true
      })
      assert.deepStrictEqual(toolCalls.map(({ params }) => params), [{ number: 21 }])

      const written = toolCalls[0]?.metadata["effect-chat"]?.["arguments"]
      const encoded = yield* Schema.decodeUnknown(Schema.parseJson(Schema.Any))(written)
      const { result } = yield* toolkit.handle("Double", encoded)

      assert.strictEqual(result, 42)
    }).pipe(Effect.provide(DoublesLive), withModel([calling(once)])))

  const Strict = Tool.make("Double", {
    parameters: { number: Schema.Number },
    success: Schema.Number,
    failure: Schema.String,
    failureMode: "return"
  })
  const Returning = Toolkit.make(Strict)
  const ReturningLive = Returning.toLayer({ Double: ({ number }) => Effect.succeed(number * 2) })
  const mixed = [
    { id: "bad", name: "Double", arguments: "{\"number\":\"many\"}" },
    { id: "worse", name: "Double", arguments: "{\"number\":" },
    { id: "good", name: "Double", arguments: "{\"number\":4}" }
  ]

  it.effect("#6335: invalid parameters are a failed result in a stream if the failure mode is return", () =>
    Effect.gen(function*() {
      const all = yield* collect(LanguageModel.streamText({ prompt: "?", toolkit: Returning }))

      const results = resultsOf(all)
      assert.deepStrictEqual(results.map(({ id, isFailure }) => [id, isFailure]), [
        ["bad", true],
        ["worse", true],
        ["good", false]
      ])
      assert.match(JSON.stringify(results[0]?.encodedResult), /number.*Expected number/)
      assert.strictEqual(results[2]?.result, 8)
      assert.strictEqual(types(all).at(-1), "finish")
    }).pipe(Effect.provide(ReturningLive), withModel([streaming(mixed)])))

  it.effect("#6335: invalid parameters are a failed result in an answer if the failure mode is return", () =>
    Effect.gen(function*() {
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Returning })
      assert.deepStrictEqual(toolResults.map(({ isFailure }) => isFailure), [true, true, false])
    }).pipe(Effect.provide(ReturningLive), withModel([calling(mixed)])))

  it.effect("#6335: invalid parameters are MalformedOutput with the name of the tool if the failure mode is error", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "?", toolkit: Doubles }))
      assert(error._tag === "MalformedOutput")
      assert.include(error.description, "Double")
    }).pipe(
      Effect.provide(DoublesLive),
      withModel([calling([{ id: "1", name: "Double", arguments: "{\"number\":true}" }])])
    ))

  const Wait = Tool.make("Wait", { parameters: { n: Schema.Number }, success: Schema.Number })
  const Waits = Toolkit.make(Wait)
  const two = [0, 1].map((n) => ({ id: `call_${n}`, name: "Wait", arguments: JSON.stringify({ n }) }))

  it.effect("#6596: the calls of a stream run with the concurrency of the option", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const run = (concurrency: number) =>
        Effect.gen(function*() {
          const both = yield* Deferred.make<void>()
          let running = 0
          const handlers = Waits.toLayer({
            Wait: ({ n }) =>
              Effect.gen(function*() {
                seen.push(`start ${n}`)
                if (++running === 2 || concurrency === 1) yield* Deferred.succeed(both, undefined)
                yield* Deferred.await(both)
                yield* Effect.yieldNow()
                seen.push(`end ${n}`)
                return n
              })
          })
          yield* collect(LanguageModel.streamText({ prompt: "?", toolkit: Waits, concurrency })).pipe(
            Effect.provide(handlers)
          )
        })
      // This waits forever unless both calls run concurrently.
      yield* run(2)
      assert.deepStrictEqual(seen.splice(0).slice(0, 2), ["start 0", "start 1"])
      yield* run(1)
      assert.deepStrictEqual(seen, ["start 0", "end 0", "start 1", "end 1"])
    }).pipe(withModel(() => streaming(two))))

  it.effect("#6128: a stream with a toolkit emits calls in deltas, and only the first one has the name", () =>
    Effect.gen(function*() {
      const GetUser = Tool.make("GetUser", { success: Schema.Struct({ name: Schema.String }) })
      const toolkit = Toolkit.make(GetUser)
      const handlers = toolkit.toLayer({ GetUser: () => Effect.succeed({ name: "Ada" }) })

      const all = yield* collect(LanguageModel.streamText({ prompt: "?", toolkit })).pipe(Effect.provide(handlers))

      assert.deepStrictEqual(types(all), [
        "response-metadata",
        "text-start",
        "text-delta",
        "text-end",
        "tool-params-start",
        "tool-params-delta",
        "tool-params-delta",
        "tool-params-end",
        "tool-call",
        "tool-result",
        "finish"
      ])
      assert.deepInclude(resultsOf(all)[0], { id: "call_u", result: { name: "Ada" } })
    }).pipe(withModel([streaming([{ id: "call_u", name: "GetUser", arguments: "{}" }])])))

  it.effect("#6059: each reasoning delta is emitted once, and added to the history once", () =>
    Effect.gen(function*() {
      const all = yield* collect(LanguageModel.streamText({ prompt: "?" }))

      const deltas = all.flatMap((part) => part.type === "reasoning-delta" ? [part.delta] : [])
      assert.deepStrictEqual(deltas, ["a", "b", "c"])
      const [message] = Prompt.fromResponseParts(all).content
      assert(message?.role === "assistant")
      assert.deepStrictEqual(
        message.content.map((part) => part.type === "reasoning" || part.type === "text" ? part.text : ""),
        ["ab", "x", "c", "y"]
      )
    }).pipe(withModel([
      ScriptedHttpClient.sse([
        // OpenRouter sends the same reasoning in two members.
        ...["a", "b"].map((text) => ({
          choices: [{ delta: { reasoning: text, reasoning_details: [{ type: "reasoning.text", text, index: 0 }] } }]
        })),
        { choices: [{ delta: { content: "x" } }] },
        { choices: [{ delta: { reasoning: "c" } }] },
        { choices: [{ delta: { content: "y" } }] },
        { choices: [{ delta: {}, finish_reason: "stop" }] },
        "[DONE]"
      ])
    ])))

  it.effect("#6615: a handler can read the id of its call, even if several calls have the same parameters", () =>
    Effect.gen(function*() {
      const seen: Array<string> = []
      const handlers = Waits.toLayer({
        Wait: ({ n }) =>
          Effect.gen(function*() {
            const { id, name } = yield* AiLanguageModel.CurrentToolCall
            seen.push(`${name} ${id}`)
            return n
          })
      })
      const same = two.map((call) => ({ ...call, arguments: "{\"n\":1}" }))
      const run = Effect.gen(function*() {
        yield* LanguageModel.generateText({ prompt: "?", toolkit: Waits, concurrency: "unbounded" })
        yield* collect(LanguageModel.streamText({ prompt: "?", toolkit: Waits, concurrency: "unbounded" }))
      })
      yield* run.pipe(
        Effect.provide(handlers),
        withModel((_, index) => (index === 0 ? calling : streaming)(same))
      )
      assert.deepStrictEqual(seen, ["Wait call_0", "Wait call_1", "Wait call_0", "Wait call_1"])
      assert.deepStrictEqual(yield* AiLanguageModel.CurrentToolCall, { id: "", name: "" })
    }))

  it.effect("#6174: strict is sent for each tool, and is true only if the parameters allow it", () =>
    Effect.gen(function*() {
      const open = { name: Schema.String, nick: Schema.optional(Schema.String) }
      const closed = { name: Schema.String }
      const toolkit = Toolkit.make(
        Tool.make("Default", { parameters: closed }),
        Tool.make("Optional", { parameters: open }),
        Tool.make("Never", { parameters: closed }).annotate(AiLanguageModel.Strict, false)
      )
      const done = () => Effect.void
      const handlers = toolkit.toLayer({ Default: done, Optional: done, Never: done })
      const ask = LanguageModel.generateText({ prompt: "?", toolkit }).pipe(Effect.provide(handlers))

      yield* ask
      yield* ask.pipe(AiLanguageModel.withSettings({ strict: true }))

      const [plain, strict] = yield* requests
      const Body = Schema.Struct({
        tools: Schema.Array(Schema.Struct({ function: Schema.Struct({ strict: Schema.optional(Schema.Boolean) }) }))
      })
      const read = (body: unknown) => Schema.decodeUnknownSync(Body)(body).tools.map((tool) => tool.function.strict)
      assert.deepStrictEqual(read(plain?.body), [undefined, undefined, false])
      assert.deepStrictEqual(read(strict?.body), [true, false, false])
    }).pipe(withModel(() => answer("yes"))))

  for (const written of ["", "{}", "null"]) {
    it.effect(`#6260: a tool without parameters has an empty object schema, and can be called with ${JSON.stringify(written)}`, () =>
      Effect.gen(function*() {
        const toolkit = Toolkit.make(Tool.make("Now", { success: Schema.String }))
        const handlers = toolkit.toLayer({ Now: () => Effect.succeed("noon") })
        const { toolResults } = yield* LanguageModel.generateText({ prompt: "?", toolkit }).pipe(
          Effect.provide(handlers)
        )

        assert.deepStrictEqual(toolResults.map(({ result }) => result), ["noon"])
        assert.deepNestedPropertyVal((yield* requests)[0]?.body, "tools[0].function.parameters", {
          type: "object",
          properties: {},
          required: [],
          additionalProperties: false
        })
      }).pipe(withModel([calling([{ id: "1", name: "Now", arguments: written }])])))
  }
})
