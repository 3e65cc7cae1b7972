import { assert, describe, it } from "@effect/vitest"
import { make } from "../../../src/internal/decode/sse.ts"

const parse = (...chunks: ReadonlyArray<string>) => {
  const parser = make(1000)
  return [...chunks.flatMap((chunk) => parser.push(chunk)), ...parser.end()]
}

const data = (...values: ReadonlyArray<string>) => values.map((value) => ({ event: undefined, data: value }))

describe("sse", () => {
  it("an event is emitted when its blank line arrives", () => {
    const parser = make(1000)
    assert.deepStrictEqual(parser.push("data: a\n"), [])
    assert.deepStrictEqual(parser.push("\n"), data("a"))
    assert.deepStrictEqual(parser.end(), [])
  })

  it("a CR at the end of a chunk ends the line, and a LF after it is ignored", () => {
    const parser = make(1000)
    assert.deepStrictEqual(parser.push("data: a\r"), [])
    assert.deepStrictEqual(parser.push("\n"), [])
    assert.deepStrictEqual(parser.push("\r"), data("a"))
    assert.deepStrictEqual(parser.push("\ndata: b\r\n\r"), data("b"))
    assert.deepStrictEqual(parser.push("\n"), [])
    assert.deepStrictEqual(parser.push("\n"), [])
  })

  it("an empty chunk between CR and LF changes nothing", () => {
    assert.deepStrictEqual(parse("data: a\r", "", "\ndata: b\n\n"), data("a\nb"))
  })

  it("the name of an event applies only to that event", () => {
    assert.deepStrictEqual(parse("event: error\ndata: a\n\ndata: b\n\n"), [
      { event: "error", data: "a" },
      { event: undefined, data: "b" }
    ])
  })

  it("only one space after the colon is not part of the value", () => {
    assert.deepStrictEqual(parse("data:a\n\ndata: a\n\ndata:  a\n\ndata\n\n"), data("a", "a", " a", ""))
  })

  it("the end of the stream completes an event", () => {
    assert.deepStrictEqual(parse("data: a\n\ndata: b"), data("a", "b"))
    assert.deepStrictEqual(parse("data: a\r"), data("a"))
  })

  it("a field named error is an error event", () => {
    assert.deepStrictEqual(parse("error: {\"message\":\"no\"}\n\n"), [{ event: "error", data: "{\"message\":\"no\"}" }])
  })

  it("a line of JSON without a field is an event", () => {
    assert.deepStrictEqual(parse("{\"a\":1}\n", "data: b\n\n", "{\"c\":3}"), data("{\"a\":1}", "b", "{\"c\":3}"))
  })

  it("lines that are not fields are collected separately, up to a limit", () => {
    const parser = make(100_000)
    parser.push("upstream: resting\nwell\n: a comment\nid: 1\ndata: x\n\n")
    assert.strictEqual(parser.unparsedText(), "upstream: resting\nwell\n")
    for (let i = 0; i < 100; i++) parser.push(`${"x".repeat(1000)}\n`)
    assert.isBelow(parser.unparsedText().length, 40_000)
  })

  it("an event that is too long is reported, and nothing after it is read", () => {
    const parser = make(10)
    assert.deepStrictEqual(parser.push("data: a\n\ndata: 01234567890\n\ndata: b\n\n"), data("a"))
    assert.isTrue(parser.overflow())
    assert.deepStrictEqual(parser.push("data: c\n\n"), [])
    assert.deepStrictEqual(parser.end(), [])
  })

  it("a line that is too long is reported before its end", () => {
    const parser = make(10)
    for (let i = 0; i < 5; i++) parser.push("xxx")
    assert.isTrue(parser.overflow())
  })
})
