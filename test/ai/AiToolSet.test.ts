import { Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Schema } from "effect"
import { type ToolSet } from "effect-chat"
import { AiLanguageModel, AiToolSet } from "effect-chat/ai"

class Factor extends Context.Tag("effect-chat/test/ai/AiToolSet.test/Factor")<Factor, number>() {}

const Times = Tool.make("Times", {
  description: "Multiplies",
  parameters: { number: Schema.NumberFromString },
  success: Schema.Struct({ result: Schema.NumberFromString }),
  failure: Schema.Struct({ why: Schema.String }),
  failureMode: "return",
  dependencies: [Factor]
})
const Fails = Tool.make("Fails", { success: Schema.String, failure: Schema.String })
const toolkit = Toolkit.make(Times, Fails)
const handlers = toolkit.toLayer({
  Times: ({ number }) =>
    Effect.gen(function*() {
      const factor = yield* Factor
      if (number === 0) return yield* Effect.fail({ why: "zero" })
      const { id, name } = yield* AiLanguageModel.CurrentToolCall
      assert.deepStrictEqual([id, name], ["call_1", "Times"])
      return { result: number * factor }
    }),
  Fails: () => Effect.fail("broken")
})

const make = AiToolSet.fromToolkit(toolkit, { needsApproval: (name) => name === "Never" }).pipe(
  Effect.provide(handlers),
  Effect.provideService(Factor, 3)
)

const run = (set: ToolSet.ToolSet, name: string, args: string) =>
  Effect.flatMap(set.current, (tools) =>
    set.runCalls({
      calls: [{ callId: "call_1", call: { id: "a", name, arguments: args } }],
      tools,
      context: { conversation: "c", turnId: "t", step: 0 },
      concurrency: 1,
      previous: [],
      emit: () => Effect.void
    }))

describe("fromToolkit", () => {
  it.effect("runs the handlers of a toolkit with their services and CurrentToolCall", () =>
    Effect.gen(function*() {
      const { results } = yield* run(yield* make, "Times", "{\"number\":\"14\"}")
      assert.strictEqual(results[0]?.content, "{\"result\":\"42\"}")
    }))

  it.effect("reports a failure to the model if the failure mode is return", () =>
    Effect.gen(function*() {
      const { results } = yield* run(yield* make, "Times", "{\"number\":\"0\"}")
      assert.strictEqual(results[0]?.outcome, "failure")
      assert.include(results[0]?.content, "{\"why\":\"zero\"}")
    }))

  it.effect("fails the turn with the failure if the failure mode is error", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(run(yield* make, "Fails", "{}"))
      assert.strictEqual(error._tag, "ToolError")
      assert.strictEqual(error.cause, "broken")
    }))

  it.effect("reports parameters that do not decode to the model, with any failure mode", () =>
    Effect.gen(function*() {
      const set = yield* make
      for (const [name, args] of [["Times", "{\"number\":\"many\"}"], ["Fails", "[]"]] as const) {
        const { results } = yield* run(set, name, args)
        assert.strictEqual(results[0]?.outcome, "invalidArguments", name)
        assert.include(results[0]?.content, name === "Times" ? "number" : "Expected")
      }
    }))

  it.effect("defines tools like the LanguageModel", () =>
    Effect.gen(function*() {
      const tools = yield* (yield* make).current
      assert.deepNestedInclude(tools[0], {
        "name": "Times",
        "description": "Multiplies",
        "parameters.required": ["number"]
      })
      assert.deepInclude(tools[1]?.parameters, { type: "object", properties: {} })
    }))
})
