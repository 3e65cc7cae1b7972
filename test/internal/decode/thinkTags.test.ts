import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { make } from "../../../src/internal/decode/thinkTags.ts"

const split = (chunks: ReadonlyArray<string>) => {
  const splitter = make()
  const said = { reasoning: "", text: "" }
  for (const { isReasoning, text } of [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]) {
    assert.notStrictEqual(text, "", "no piece is empty")
    said[isReasoning ? "reasoning" : "text"] += text
  }
  return said
}

describe("thinkTags", () => {
  const rows: ReadonlyArray<readonly [string, string, string, string]> = [
    ["what stands in the tag is reasoning", "<think>hm</think>a", "hm", "a"],
    ["the blank lines after it belong to neither", "<think>\nhm\n</think>\n\na\n", "\nhm\n", "a\n"],
    ["white space may stand before it", "\n  <think>hm</think>a", "hm", "a"],
    ["it has other names too", "<reasoning>hm</reasoning>a", "hm", "a"],
    ["an empty one is no reasoning", "<think>\n\n</think>\n\na", "\n\n", "a"],
    ["without a tag all is text", "no tag here", "", "no tag here"],
    ["white space before text is text", "  \n a", "", "  \n a"],
    ["an unclosed tag is reasoning to the end", "<think>hm, so", "hm, so", ""],
    ["an unclosed tag with half of its end is reasoning too", "<think>hm</thi", "hm</thi", ""],
    ["half a tag at the start is text", "<thin", "", "<thin"],
    ["another tag is text", "<b>hm</b>", "", "<b>hm</b>"],
    ["a tag in the midst is text", "a <think>hm</think> b", "", "a <think>hm</think> b"],
    ["a second tag is text", "<think>hm</think>a<think>b</think>", "hm", "a<think>b</think>"],
    ["only the tag that was opened closes it", "<think>a</thinking>b</think>c", "a</thinking>b", "c"],
    ["a closing tag alone is text", "hm</think>a", "", "hm</think>a"],
    ["what looks like the closing tag is reasoning", "<think>a</th<</think>b", "a</th<", "b"],
    ["blocks in a row are all reasoning", "<think>\n</think>\n\n<think>hm</think>a", "\nhm", "a"],
    ["a closing tag at the start is dropped, for its reasoning came in a field", "</think>\n\na", "", "a"],
    ["capitals are as good", "<THINK>hm</Think>A", "hm", "A"],
    ["brackets are tags of Mistral's", "[THINK]hm[/THINK]a", "hm", "a"],
    ["names can have a colon", "<seed:think>hm</seed:think>a", "hm", "a"],
    ["triangles are tags of Kimi's", "\u25c1think\u25b7hm\u25c1/think\u25b7a", "hm", "a"],
    ["marks of tokens are tags", "<|begin_of_thought|>hm<|end_of_thought|>a", "hm", "a"],
    ["white space may stand within a tag, before its end", "<think >hm</think\n >a", "hm", "a"],
    ["white space within a closing tag alone is dropped with it", "</think >\na", "", "a"],
    ["a tag with more than white space in it is text", "<think of>hm", "", "<think of>hm"],
    ["a tag with very much white space is text", `<think${" ".repeat(17)}>a`, "", `<think${" ".repeat(17)}>a`],
    ["half a closing tag with white space is reasoning", "<think>hm</think ", "hm</think ", ""],
    ["nothing is nothing", "", "", ""]
  ]
  for (const [title, whole, reasoning, text] of rows) {
    it(title, () => {
      assert.deepStrictEqual(split([whole]), { reasoning, text })
      assert.deepStrictEqual(split(whole.split("")), { reasoning, text }, "letter by letter")
    })
  }

  it("text is emitted as soon as it is known to be text", () => {
    const splitter = make()
    assert.deepStrictEqual(splitter.push("<"), [])
    assert.deepStrictEqual(splitter.push("b"), [{ isReasoning: false, text: "<b" }])
    assert.deepStrictEqual(splitter.push(">"), [{ isReasoning: false, text: ">" }])
  })

  it("reasoning is emitted as soon as it is known not to be its end", () => {
    const splitter = make()
    assert.deepStrictEqual(splitter.push("<think>a</"), [{ isReasoning: true, text: "a" }])
    assert.deepStrictEqual(splitter.push("b"), [{ isReasoning: true, text: "</b" }])
  })

  const pieces = fc.array(
    fc.constantFrom("<think>", "</think>", "<thinking>", "</thinking>", "<", "</", "th", "ink>", " ", "\n", "a", "é😀"),
    { maxLength: 12 }
  )

  it.prop(
    "any split gives the same reasoning",
    [pieces, fc.array(fc.nat(), { maxLength: 8 })],
    ([parts, places]) => {
      const whole = parts.join("")
      const at = places.map((place) => place % (whole.length + 1)).sort((a, b) => a - b)
      const chunks = [...at, whole.length].map((end, i) => whole.slice(i === 0 ? 0 : at[i - 1], end))
      assert.deepStrictEqual(split(chunks), split([whole]))
    },
    { fastCheck: { numRuns: 500 } }
  )

  /** What a text comes to if it is read as a whole. */
  const expected = (whole: string) => {
    let rest = whole
    let reasoning = ""
    for (
      let found = /^\s*<(\/?)(think|thinking)>/.exec(rest);
      found !== null;
      found = /^\s*<(\/?)(think|thinking)>/.exec(rest)
    ) {
      const [tag, slash, name] = found
      rest = rest.slice(tag.length)
      if (slash === "") {
        const [inside = "", ...after] = rest.split(`</${name}>`)
        reasoning += inside
        rest = after.join(`</${name}>`)
      }
      if (!/^\s*</.test(rest)) rest = rest.trimStart()
    }
    return { reasoning, text: /^\s*<\/?think(?:ing)?>/.test(whole) ? rest.trimStart() : rest }
  }

  it.prop("nothing is lost but the tags at the start and the gaps after them", [pieces], ([parts]) => {
    const whole = parts.join("")
    assert.deepStrictEqual(split([whole]), expected(whole))
  }, { fastCheck: { numRuns: 500 } })
})
