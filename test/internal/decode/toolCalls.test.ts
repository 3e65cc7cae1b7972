import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, FastCheck as fc, Order } from "effect"
import type { ServerToolCallDelta } from "../../../src/internal/decode/chunk.ts"
import { ToolCalls } from "../../../src/internal/decode/toolCalls.ts"

const join = (deltas: ReadonlyArray<ServerToolCallDelta>) => {
  const calls = new ToolCalls()
  for (const delta of deltas) calls.add(delta, false)
  return calls.complete
}

const call = fc.record({
  name: fc.constantFrom("f", "g"),
  args: fc.json({ maxDepth: 2 }).map((json) => `{"a":${json}}`)
})

interface SplitCalls {
  readonly calls: ReadonlyArray<{ readonly name: string; readonly args: string }>
  readonly turns: ReadonlyArray<number>
}

const splitCalls: fc.Arbitrary<SplitCalls> = fc.record({
  calls: fc.array(call, { minLength: 1, maxLength: 4 }),
  turns: fc.array(fc.nat(), { minLength: 1, maxLength: 30 })
})

/** The arguments of several calls in deltas of a few letters, interleaved. */
const interleave = (
  { calls, turns }: SplitCalls,
  toDelta: (position: number, first: boolean, text: string) => ServerToolCallDelta,
  mixed: boolean
): ReadonlyArray<ServerToolCallDelta> => {
  const rest = calls.map(({ args }) => args)
  const started = calls.map(() => false)
  const deltas: Array<ServerToolCallDelta> = []
  for (let turn = 0; rest.some((text) => text !== ""); turn++) {
    const random = turns[turn % turns.length] ?? 0
    const open = rest.flatMap((text, position) => text === "" ? [] : [position])
    const position = (mixed ? open[(random + turn) % open.length] : open[0]) ?? 0
    const size = 1 + (random % 5)
    const text = rest[position] ?? ""
    deltas.push(toDelta(position, started[position] === false, text.slice(0, size)))
    started[position] = true
    rest[position] = text.slice(size)
  }
  return deltas
}

const sorted = (texts: ReadonlyArray<string>): string => Arr.sort(texts, Order.string).join("\n")

const names = (calls: ReadonlyArray<{ readonly name: string; readonly args: string }>) =>
  sorted(calls.map(({ args, name }) => `${name} ${args}`))

const joined = (deltas: ReadonlyArray<ServerToolCallDelta>) =>
  sorted(join(deltas).map((call) => `${call.name} ${call.arguments}`))

describe("toolCalls", () => {
  it.prop("deltas with an index join to the calls, in any order of the calls", [splitCalls], ([split]) => {
    const deltas = interleave(split, (position, first, text) => ({
      index: position + 1,
      id: first ? `t${position}` : undefined,
      name: first ? split.calls[position]?.name : undefined,
      arguments: text
    }), true)
    assert.strictEqual(joined(deltas), names(split.calls))
  })

  it.prop("deltas with an id join to the calls, in any order of the calls", [splitCalls], ([split]) => {
    const deltas = interleave(split, (position, first, text) => ({
      index: undefined,
      id: `t${position}`,
      name: first ? split.calls[position]?.name : undefined,
      arguments: text
    }), true)
    assert.strictEqual(joined(deltas), names(split.calls))
  })

  it.prop("deltas with neither join to the calls if the calls arrive one after another", [splitCalls], ([split]) => {
    const deltas = interleave(split, (position, first, text) => ({
      index: undefined,
      id: undefined,
      name: first ? split.calls[position]?.name : undefined,
      arguments: text
    }), false)
    assert.strictEqual(joined(deltas), names(split.calls))
  })

  it.prop(
    "deltas with the index 0 join to the calls if the first delta of each call has its id",
    [splitCalls],
    ([split]) => {
      const deltas = interleave(split, (position, first, text) => ({
        index: 0,
        id: first ? `t${position}` : undefined,
        name: first ? split.calls[position]?.name : undefined,
        arguments: text
      }), false)
      assert.strictEqual(joined(deltas), names(split.calls))
    }
  )

  it.prop("deltas that all have the name join to the calls", [splitCalls], ([split]) => {
    const deltas = interleave(split, (position, _first, text) => ({
      index: position,
      id: `t${position}`,
      name: split.calls[position]?.name,
      arguments: text
    }), true)
    assert.strictEqual(joined(deltas), names(split.calls))
  })

  it.prop("keeps every character of the arguments until the end, for any deltas", [
    fc.array(
      fc.record({
        index: fc.constantFrom(undefined, 0, 1, 2),
        id: fc.constantFrom(undefined, "a", "b"),
        name: fc.constantFrom(undefined, "f", "g"),
        arguments: fc.constantFrom("", "{", "}", "{}", "x")
      }),
      { maxLength: 12 }
    )
  ], ([deltas]) => {
    const letters = (texts: ReadonlyArray<string>) => sorted(texts.join("").split(""))
    const calls = new ToolCalls()
    const open = new Set(deltas.map((delta) => calls.add(delta, false)))
    assert.strictEqual(
      letters([...open].flatMap((call) => call?.fragments ?? [])),
      letters(deltas.map((delta) => delta.arguments))
    )
  })

  const delta = (text: string, members: Partial<ServerToolCallDelta> = {}): ServerToolCallDelta => ({
    index: 0,
    id: undefined,
    name: undefined,
    arguments: text,
    ...members
  })
  const first = { id: "a", name: "f" }
  const texts = (deltas: ReadonlyArray<ServerToolCallDelta>) => join(deltas).map((call) => call.arguments)

  it("uses the last of cumulative arguments", () => {
    assert.deepStrictEqual(
      texts([delta("", first), delta("{\"a\":"), delta("{\"a\":\"x\","), delta("{\"a\":\"x\",\"b\":1}")]),
      ["{\"a\":\"x\",\"b\":1}"]
    )
    assert.deepStrictEqual(texts([delta("{\"a\":\"x\"}", first), delta("{\"a\":\"xy\"}", first)]), ["{\"a\":\"xy\"}"])
    assert.deepStrictEqual(texts([delta("{}", first), delta("{\"a\":1}")]), ["{\"a\":1}"])
  })

  it("uses arguments once if they are repeated at the end", () => {
    assert.deepStrictEqual(texts([delta("{\"a\"", first), delta(":1}"), delta("{\"a\":1}", first)]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([delta("{\"a\":1}", first), delta("{\"a\":1}", { name: "f" })]), ["{\"a\":1}"])
  })

  it("keeps an object within an object of the same shape", () => {
    assert.deepStrictEqual(texts([delta("{\"a\":", first), delta("{\"a\":1}"), delta("}")]), ["{\"a\":{\"a\":1}}"])
  })

  it("separates two calls with one id and different arguments, and gives the second a new id", () => {
    for (const index of [0, 1]) {
      assert.deepStrictEqual(
        join([delta("{\"a\":1}", first), delta("{\"a\":2}", { ...first, index })]).map((
          { arguments: text, id }
        ) => [id, text]),
        [["a", "{\"a\":1}"], ["a_1", "{\"a\":2}"]]
      )
    }
  })

  it("merges one call with two indexes", () => {
    assert.deepStrictEqual(texts([delta("{\"a\":", first), delta("1}", { index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([delta("{\"a\":", first), delta("1}", { ...first, index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([delta("", first), delta("{\"a\":1}", { ...first, index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([delta("{\"a\":1}", first), delta("{ \"a\": 1 }", { ...first, index: 1 })]), [
      "{ \"a\": 1 }"
    ])
  })

  it("keeps arguments that are cut off or not JSON unchanged", () => {
    assert.deepStrictEqual(texts([delta("{\"a\"", first), delta(":1")]), ["{\"a\":1"])
    assert.deepStrictEqual(texts([delta("call ", first), delta("{\"a\":1} now")]), ["call {\"a\":1} now"])
  })

  it("keeps further members of a call", () => {
    const extra = { extra_content: { google: { thought_signature: "s" } } }
    assert.deepStrictEqual(join([delta("{}", { ...first, extra }), delta("")]), [
      { id: "a", name: "f", arguments: "{}", extra }
    ])
  })
})
