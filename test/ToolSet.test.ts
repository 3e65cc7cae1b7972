import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Ref, Schema } from "effect"
import { Tool, ToolSet } from "effect-chat"

class Clock extends Context.Tag("effect-chat/test/ToolSet.test/Clock")<Clock, { readonly hour: number }>() {}

const named = (name: string) => Tool.make({ name, parameters: {}, handler: () => Effect.succeed(name) })

const run = (set: ToolSet.ToolSet, name: string, args = "{}") =>
  Effect.flatMap(set.current, (tools) =>
    set.runCalls({
      calls: [{ callId: "1", call: { id: "a", name, arguments: args } }],
      tools,
      context: { conversation: "c", turnId: "t", step: 0 },
      concurrency: 1,
      previous: [],
      emit: () => Effect.void
    }))

describe("ToolSet", () => {
  it.effect("provides the services of its handlers where it is made", () =>
    Effect.gen(function*() {
      const tool = Tool.make({
        name: "hour",
        parameters: Schema.Struct({ plus: Schema.NumberFromString }),
        handler: ({ plus }) => Effect.map(Clock, ({ hour }) => hour + plus)
      })
      const set = yield* Effect.provideService(ToolSet.make([tool, named("other")]), Clock, { hour: 7 })
      const { results } = yield* run(set, "hour", "{\"plus\":\"2\"}")
      assert.strictEqual(results[0]?.content, "9")
    }))

  it.effect("refuses two tools with one name, in one set and in merged sets", () =>
    Effect.gen(function*() {
      const one = yield* Effect.flip(ToolSet.make([named("a"), named("a")]))
      assert.deepStrictEqual([one.reason, one.name], ["DuplicateName", "a"])
      const sets = yield* Effect.all([ToolSet.make([named("a")]), ToolSet.make([named("a")])])
      const merged = yield* Effect.flip(ToolSet.merge(...sets))
      assert.strictEqual(merged.reason, "DuplicateName")
    }))

  it.effect("refuses names that servers do not accept", () =>
    Effect.gen(function*() {
      for (const name of ["", "a b", "ä", "a.b", "a".repeat(65)]) {
        const error = yield* Effect.flip(ToolSet.make([named(name)]))
        assert.deepStrictEqual([error.reason, error.name], ["InvalidName", name])
      }
      yield* ToolSet.make([named("a".repeat(64)), named("A_b-9")])
    }))

  it.effect("merges sets in order, with their names", () =>
    Effect.gen(function*() {
      const set = yield* ToolSet.merge(
        yield* ToolSet.make([named("a")], { name: "x" }),
        yield* ToolSet.make([named("b")], { name: "y" })
      )
      assert.deepStrictEqual((yield* set.current).map(({ name }) => name), ["a", "b"])
      assert.strictEqual(set.name, "x+y")
    }))

  it.effect("reads the tools of a dynamic set once a step, and leaves out those whose names are taken or not valid", () =>
    Effect.gen(function*() {
      const tools = yield* Ref.make([named("a")])
      const set = yield* ToolSet.merge(yield* ToolSet.dynamic(Ref.get(tools)), yield* ToolSet.make([named("z")]))
      const before = yield* set.current
      yield* Ref.set(tools, [named("b"), named("b"), named("no good"), named("z")])
      assert.deepStrictEqual(before.map(({ name }) => name), ["a", "z"])
      assert.deepStrictEqual((yield* set.current).map(({ name }) => name), ["b", "z"])
      const { results } = yield* run(set, "a")
      assert.strictEqual(results[0]?.content, "The tool \"a\" does not exist. The tools are: b, z.")
    }))
})
