import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { escapeLineBreaks, JsonScanner, scan, valuesIn } from "../../../src/internal/decode/jsonScanner.ts"

const stateOf = ({ count, deepest, depth, hasValue, isClosed }: JsonScanner) => ({
  count,
  deepest,
  depth,
  hasValue,
  isClosed
})

const withLongEnd = (text: string): string => text + "x".repeat(200)

describe("JsonScanner", () => {
  it.prop(
    "has the same result for any split of JSON",
    [fc.json(), fc.array(fc.nat({ max: 300 }))],
    ([json, sizes]) => {
      const text = JSON.stringify([JSON.parse(json), withLongEnd("\\\""), withLongEnd("[{"), { a: "}\\" }])
      const scanner = new JsonScanner()
      let at = 0
      for (const size of [...sizes, text.length]) {
        scanner.read(text.slice(at, at + size))
        at += size
      }
      assert.deepStrictEqual(stateOf(scanner), stateOf(scan(text, Infinity)))
      assert.isTrue(scanner.isClosed)
    }
  )

  it("counts keys and values, but not within strings", () => {
    assert.strictEqual(scan("{\"a\":[1,2],\"b,:[{\":\"}]\"}", Infinity).count, 6)
  })

  it("skips the rest of a long string with its escapes", () => {
    const text = JSON.stringify({ a: "x".repeat(300), b: `${"y".repeat(100)}"]\\`, c: "\\".repeat(500), d: [1] })
    assert.deepInclude(stateOf(scan(text, Infinity)), { depth: 0, deepest: 2, isClosed: true, count: 9 })
  })

  it("reports too many keys and values for a limit, but never for a few thousand", () => {
    const text = `[${"1,".repeat(20_000)}1]`
    assert.isUndefined(scan(text, 20_001 * 100).excess)
    assert.strictEqual(scan(text, 20_000 * 100).excess, "has more than 20000 keys and values")
    assert.isUndefined(scan(`[${"1,".repeat(8_000)}1]`, 1).excess)
  })

  it("reports nesting that is too deep", () => {
    assert.isUndefined(scan("[".repeat(256), Infinity).excess)
    assert.strictEqual(scan("[".repeat(257), Infinity).excess, "is nested too deeply")
  })
})

describe("valuesIn", () => {
  it("finds a limited number of values", () => {
    const { unclosed, values } = valuesIn("{} ".repeat(20_000))
    assert.isBelow(values.length, 20_000)
    assert.strictEqual(unclosed, "{} ".repeat(20_000 - values.length))
  })
})

describe("withEscapes", () => {
  it("escapes line breaks and tabs only within strings", () => {
    const text = "{\n\t\"a\": \"b\r\n\tc \\\" \\\\\",\n\"d\": \"\\\\\n\"\n}"
    assert.deepStrictEqual(JSON.parse(escapeLineBreaks(text)), { a: "b\r\n\tc \" \\", d: "\\\n" })
    assert.isTrue(escapeLineBreaks(text).endsWith("\"\n}"))
  })
})
