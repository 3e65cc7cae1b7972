import { assert, describe, it } from "@effect/vitest"
import { FastCheck } from "effect"
import { next, oneLine, visible } from "../../examples/internal/visible.ts"

describe("the text of a server on the terminal", () => {
  const text = FastCheck.array(
    FastCheck.constantFrom(
      "a",
      "é",
      "😀",
      "\n",
      "\r",
      "\r\n",
      "\t",
      "\x1b[2J",
      "\x7f",
      "\x9b",
      "\u202e",
      "\ud83d",
      "\ude00"
    )
  ).map((parts) => parts.join(""))

  it.prop("has no character that a terminal obeys, except line feed and tab", [text], ([text]) => {
    assert.notMatch(visible(text), /(?![\n\t])[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/u)
  })

  it.prop(
    "is the same for any split into pieces",
    [text, FastCheck.array(FastCheck.integer({ min: 1, max: 4 }))],
    ([text, sizes]) => {
      let held = ""
      let shown = ""
      let at = 0
      const take = (size: number) => {
        const [rest, part] = next(held, text.slice(at, at + size))
        held = rest
        shown += part
        at += size
      }
      sizes.forEach(take)
      take(text.length)
      assert.strictEqual(shown + visible(held), visible(text))
    }
  )

  it("keeps complete characters, and shows halves as escapes", () => {
    assert.strictEqual(visible("😀 \ud83d 你好 é"), "😀 \\ud83d 你好 é")
  })

  it("is one line if one line is required", () => {
    assert.strictEqual(oneLine(" a\r\n  b\x1b[1m\tc "), "a b\\x1b[1m c")
    assert.strictEqual(oneLine("x".repeat(600)).length, 501)
  })
})
