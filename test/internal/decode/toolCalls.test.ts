import { assert, describe, it } from "@effect/vitest"
import { Array as Arr, FastCheck as fc, Order } from "effect"
import type { ToolCallDelta } from "../../../src/internal/decode/chunk.ts"
import { ToolCalls } from "../../../src/internal/decode/toolCalls.ts"

const fold = (pieces: ReadonlyArray<ToolCallDelta>) => {
  const calls = new ToolCalls()
  for (const piece of pieces) calls.add(piece, false)
  return calls.complete
}

const call = fc.record({
  name: fc.constantFrom("f", "g"),
  args: fc.json({ maxDepth: 2 }).map((json) => `{"a":${json}}`)
})

interface Cut {
  readonly calls: ReadonlyArray<{ readonly name: string; readonly args: string }>
  readonly turns: ReadonlyArray<number>
}

const cutCalls: fc.Arbitrary<Cut> = fc.record({
  calls: fc.array(call, { minLength: 1, maxLength: 4 }),
  turns: fc.array(fc.nat(), { minLength: 1, maxLength: 30 })
})

/** The arguments of several calls in pieces of a few letters, interleaved. */
const deal = (
  { calls, turns }: Cut,
  piece: (place: number, first: boolean, text: string) => ToolCallDelta,
  mixed: boolean
): ReadonlyArray<ToolCallDelta> => {
  const rest = calls.map(({ args }) => args)
  const begun = calls.map(() => false)
  const pieces: Array<ToolCallDelta> = []
  for (let turn = 0; rest.some((text) => text !== ""); turn++) {
    const random = turns[turn % turns.length] ?? 0
    const open = rest.flatMap((text, place) => text === "" ? [] : [place])
    const place = (mixed ? open[(random + turn) % open.length] : open[0]) ?? 0
    const size = 1 + (random % 5)
    const text = rest[place] ?? ""
    pieces.push(piece(place, begun[place] === false, text.slice(0, size)))
    begun[place] = true
    rest[place] = text.slice(size)
  }
  return pieces
}

const sorted = (texts: ReadonlyArray<string>): string => Arr.sort(texts, Order.string).join("\n")

const names = (calls: ReadonlyArray<{ readonly name: string; readonly args: string }>) =>
  sorted(calls.map(({ args, name }) => `${name} ${args}`))

const folded = (pieces: ReadonlyArray<ToolCallDelta>) =>
  sorted(fold(pieces).map((made) => `${made.name} ${made.arguments}`))

describe("toolCalls", () => {
  it.prop("pieces with an index join to the calls, in any order of the calls", [cutCalls], ([cut]) => {
    const pieces = deal(cut, (place, first, text) => ({
      index: place + 1,
      id: first ? `t${place}` : undefined,
      name: first ? cut.calls[place]?.name : undefined,
      arguments: text
    }), true)
    assert.strictEqual(folded(pieces), names(cut.calls))
  })

  it.prop("pieces with an id join to the calls, in any order of the calls", [cutCalls], ([cut]) => {
    const pieces = deal(cut, (place, first, text) => ({
      index: undefined,
      id: `t${place}`,
      name: first ? cut.calls[place]?.name : undefined,
      arguments: text
    }), true)
    assert.strictEqual(folded(pieces), names(cut.calls))
  })

  it.prop("pieces with neither join to the calls if the calls arrive one after another", [cutCalls], ([cut]) => {
    const pieces = deal(cut, (place, first, text) => ({
      index: undefined,
      id: undefined,
      name: first ? cut.calls[place]?.name : undefined,
      arguments: text
    }), false)
    assert.strictEqual(folded(pieces), names(cut.calls))
  })

  it.prop(
    "pieces with the index 0 join to the calls if the first piece of each call has its id",
    [cutCalls],
    ([cut]) => {
      const pieces = deal(cut, (place, first, text) => ({
        index: 0,
        id: first ? `t${place}` : undefined,
        name: first ? cut.calls[place]?.name : undefined,
        arguments: text
      }), false)
      assert.strictEqual(folded(pieces), names(cut.calls))
    }
  )

  it.prop("pieces that all have the name join to the calls", [cutCalls], ([cut]) => {
    const pieces = deal(cut, (place, _first, text) => ({
      index: place,
      id: `t${place}`,
      name: cut.calls[place]?.name,
      arguments: text
    }), true)
    assert.strictEqual(folded(pieces), names(cut.calls))
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
  ], ([pieces]) => {
    const letters = (texts: ReadonlyArray<string>) => sorted(texts.join("").split(""))
    const calls = new ToolCalls()
    const open = new Set(pieces.map((piece) => calls.add(piece, false)))
    assert.strictEqual(
      letters([...open].flatMap((call) => call?.fragments ?? [])),
      letters(pieces.map((piece) => piece.arguments))
    )
  })

  const piece = (text: string, more: Partial<ToolCallDelta> = {}): ToolCallDelta => ({
    index: 0,
    id: undefined,
    name: undefined,
    arguments: text,
    ...more
  })
  const first = { id: "a", name: "f" }
  const texts = (pieces: ReadonlyArray<ToolCallDelta>) => fold(pieces).map((call) => call.arguments)

  it("uses the last of cumulative arguments", () => {
    assert.deepStrictEqual(
      texts([piece("", first), piece("{\"a\":"), piece("{\"a\":\"x\","), piece("{\"a\":\"x\",\"b\":1}")]),
      ["{\"a\":\"x\",\"b\":1}"]
    )
    assert.deepStrictEqual(texts([piece("{\"a\":\"x\"}", first), piece("{\"a\":\"xy\"}", first)]), ["{\"a\":\"xy\"}"])
    assert.deepStrictEqual(texts([piece("{}", first), piece("{\"a\":1}")]), ["{\"a\":1}"])
  })

  it("uses arguments once if they are repeated at the end", () => {
    assert.deepStrictEqual(texts([piece("{\"a\"", first), piece(":1}"), piece("{\"a\":1}", first)]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([piece("{\"a\":1}", first), piece("{\"a\":1}", { name: "f" })]), ["{\"a\":1}"])
  })

  it("keeps an object within an object of the same shape", () => {
    assert.deepStrictEqual(texts([piece("{\"a\":", first), piece("{\"a\":1}"), piece("}")]), ["{\"a\":{\"a\":1}}"])
  })

  it("separates two calls with one id and different arguments, and gives the second a new id", () => {
    for (const index of [0, 1]) {
      assert.deepStrictEqual(
        fold([piece("{\"a\":1}", first), piece("{\"a\":2}", { ...first, index })]).map((
          { arguments: text, id }
        ) => [id, text]),
        [["a", "{\"a\":1}"], ["a_1", "{\"a\":2}"]]
      )
    }
  })

  it("merges one call with two indexes", () => {
    assert.deepStrictEqual(texts([piece("{\"a\":", first), piece("1}", { index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([piece("{\"a\":", first), piece("1}", { ...first, index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([piece("", first), piece("{\"a\":1}", { ...first, index: 1 })]), ["{\"a\":1}"])
    assert.deepStrictEqual(texts([piece("{\"a\":1}", first), piece("{ \"a\": 1 }", { ...first, index: 1 })]), [
      "{ \"a\": 1 }"
    ])
  })

  it("keeps arguments that are cut off or not JSON unchanged", () => {
    assert.deepStrictEqual(texts([piece("{\"a\"", first), piece(":1")]), ["{\"a\":1"])
    assert.deepStrictEqual(texts([piece("call ", first), piece("{\"a\":1} now")]), ["call {\"a\":1} now"])
  })

  it("keeps further members of a call", () => {
    const extra = { extra_content: { google: { thought_signature: "s" } } }
    assert.deepStrictEqual(fold([piece("{}", { ...first, extra }), piece("")]), [
      { id: "a", name: "f", arguments: "{}", extra }
    ])
  })
})
