import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Schema } from "effect"
import { Tool, ToolSet } from "effect-chat"

class Rates extends Context.Tag("effect-chat/test/Tool.test/Rates")<Rates, { readonly rate: number }>() {}

class Refused extends Schema.TaggedError<Refused>()("Refused", { why: Schema.String }) {}

const equal = <A, B>(_same: (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false) => {}

describe("Tool", () => {
  it("infers input, success, failure and services from its Schemas and its handler", () => {
    const tool = Tool.make({
      name: "convert",
      parameters: { amount: Schema.NumberFromString },
      success: Schema.NumberFromString,
      failure: Refused,
      handler: ({ amount }) =>
        Effect.flatMap(Rates, ({ rate }) => rate > 0 ? Effect.succeed(amount * rate) : new Refused({ why: "closed" }))
    })
    equal<typeof tool, Tool.Tool<{ readonly amount: number }, number | Tool.Content, Refused, Rates>>(true)
    const effect = ToolSet.make([tool])
    equal<Effect.Effect.Context<typeof effect>, Rates>(true)
    assert.strictEqual(tool.name, "convert")
  })

  it("describes its arguments by a JSON Schema, from fields and from a Schema alike", () => {
    const handler = () => Effect.succeed(1)
    const fields = Tool.make({ name: "t", parameters: { a: Schema.Number }, handler })
    const struct = Tool.make({ name: "t", parameters: Schema.Struct({ a: Schema.Number }), handler })
    assert.deepStrictEqual(fields.parameters, struct.parameters)
    assert.deepStrictEqual(fields.parameters["required"], ["a"])
  })

  it("passes a JSON Schema from elsewhere on as it is", () => {
    const parameters = { type: "object", properties: { a: { type: "string" } } }
    const tool = Tool.fromJsonSchema({ name: "t", parameters, handler: (input) => Effect.succeed(input["a"]) })
    assert.strictEqual(tool.parameters, parameters)
  })

  it.effect("encodes results by the success Schema, and dies for a value that the Schema does not encode", () =>
    Effect.gen(function*() {
      const run = (value: number) =>
        Effect.gen(function*() {
          const tool = Tool.make({
            name: "t",
            parameters: {},
            success: Schema.Struct({ at: Schema.NumberFromString.pipe(Schema.positive()) }),
            handler: () => Effect.succeed({ at: value })
          })
          const prepared = yield* tool.prepare({})
          return yield* prepared.run({ conversation: "c", turnId: "t", step: 0, callId: "1" })
        })
      assert.strictEqual((yield* run(5)).text, "{\"at\":\"5\"}")
      assert.strictEqual((yield* Effect.exit(run(-1)))._tag, "Failure")
      assert.isTrue(yield* run(-1).pipe(Effect.as(false), Effect.catchAllDefect(() => Effect.succeed(true))))
    }))
})
