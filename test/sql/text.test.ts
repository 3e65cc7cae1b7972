import { assert, describe, it } from "@effect/vitest"
import { Effect, FastCheck as fc } from "effect"
import { escape, fromKey, toKey, unescape } from "../../src/internal/history/sql/text.ts"

/** Any UTF-16 code units, including lone surrogates. Characters of escape sequences are more frequent. */
const Text = fc.array(
  fc.oneof(
    fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
    fc.constantFrom("\\", "\0", "0", "u", "d800", "\ud800", "\udc00", "#", "😀")
  ),
  { maxLength: 300 }
).map((units) => units.join(""))

describe("escape", () => {
  it.prop("returns a well-formed text without NUL, which can be reversed", { text: Text }, ({ text }) => {
    const escaped = escape(text)

    assert.strictEqual(unescape(escaped), text)
    assert.notInclude(escaped, "\0")
    assert.strictEqual(new TextDecoder("utf-8", { ignoreBOM: true }).decode(new TextEncoder().encode(escaped)), escaped)
  })

  it("does not change texts without special characters", () => {
    for (const text of ["", "chat-1", "'; DROP TABLE x; --", "你好 😀", "100 %"]) assert.strictEqual(escape(text), text)
  })
})

describe("toKey", () => {
  it.effect.prop(
    "returns different keys for different ids, all short enough for an index",
    { a: Text, b: Text },
    ({ a, b }) =>
      Effect.gen(function*() {
        const [one, other] = [yield* toKey(a), yield* toKey(b)]

        assert.strictEqual(one.key === other.key, a === b)
        assert.strictEqual(fromKey(one), a)
        assert.isAtMost(new TextEncoder().encode(one.key).length, 765)
      })
  )
})
