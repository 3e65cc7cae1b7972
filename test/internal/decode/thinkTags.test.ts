import { assert, describe, it } from "@effect/vitest"
import { FastCheck as fc } from "effect"
import { make } from "../../../src/internal/decode/thinkTags.ts"

const split = (chunks: ReadonlyArray<string>) => {
  const splitter = make()
  const result = { reasoning: "", text: "" }
  for (const { isReasoning, text } of [...chunks.flatMap((chunk) => splitter.push(chunk)), ...splitter.end()]) {
    assert.notStrictEqual(text, "", "no segment is empty")
    result[isReasoning ? "reasoning" : "text"] += text
  }
  return result
}

describe("thinkTags", () => {
  const rows: ReadonlyArray<readonly [string, string, string, string]> = [
    ["text in the tag is reasoning", "<think>hm</think>a", "hm", "a"],
    ["blank lines after the tag are dropped", "<think>\nhm\n</think>\n\na\n", "\nhm\n", "a\n"],
    ["white space before the tag is dropped", "\n  <think>hm</think>a", "hm", "a"],
    ["the tag may have another name", "<reasoning>hm</reasoning>a", "hm", "a"],
    ["a blank tag has only its blank lines as reasoning", "<think>\n\n</think>\n\na", "\n\n", "a"],
    ["without a tag all is text", "no tag here", "", "no tag here"],
    ["white space before text is text", "  \n a", "", "  \n a"],
    ["an unclosed tag is reasoning to the end", "<think>hm, so", "hm, so", ""],
    ["an incomplete closing tag at the end is reasoning", "<think>hm</thi", "hm</thi", ""],
    ["an incomplete tag at the start is text", "<thin", "", "<thin"],
    ["another tag is text", "<b>hm</b>", "", "<b>hm</b>"],
    ["a tag within text is text", "a <think>hm</think> b", "", "a <think>hm</think> b"],
    ["a second tag is text", "<think>hm</think>a<think>b</think>", "hm", "a<think>b</think>"],
    ["only the tag that was opened closes it", "<think>a</thinking>b</think>c", "a</thinking>b", "c"],
    ["a closing tag alone is text", "hm</think>a", "", "hm</think>a"],
    ["an incomplete closing tag within reasoning is reasoning", "<think>a</th<</think>b", "a</th<", "b"],
    ["several tags at the start are all reasoning", "<think>\n</think>\n\n<think>hm</think>a", "\nhm", "a"],
    ["a closing tag at the start is dropped (its reasoning is in a field)", "</think>\n\na", "", "a"],
    ["tags may be in capitals", "<THINK>hm</Think>A", "hm", "A"],
    ["tags may be in brackets (Mistral)", "[THINK]hm[/THINK]a", "hm", "a"],
    ["names of tags may have a colon", "<seed:think>hm</seed:think>a", "hm", "a"],
    ["tags may be in triangles (Kimi)", "\u25c1think\u25b7hm\u25c1/think\u25b7a", "hm", "a"],
    ["tags may be special tokens", "<|begin_of_thought|>hm<|end_of_thought|>a", "hm", "a"],
    ["white space is allowed before the last character of a tag", "<think >hm</think\n >a", "hm", "a"],
    ["a closing tag at the start with white space in it is dropped", "</think >\na", "", "a"],
    ["a tag with other text in it is text", "<think of>hm", "", "<think of>hm"],
    ["a tag with too much white space in it is text", `<think${" ".repeat(17)}>a`, "", `<think${" ".repeat(17)}>a`],
    ["an incomplete closing tag with white space is reasoning", "<think>hm</think ", "hm</think ", ""],
    ["an empty text has no reasoning and no text", "", "", ""]
  ]
  for (const [title, answer, reasoning, text] of rows) {
    it(title, () => {
      assert.deepStrictEqual(split([answer]), { reasoning, text })
      assert.deepStrictEqual(split(answer.split("")), { reasoning, text }, "letter by letter")
    })
  }

  it("text is emitted as soon as it cannot be a tag", () => {
    const splitter = make()
    assert.deepStrictEqual(splitter.push("<"), [])
    assert.deepStrictEqual(splitter.push("b"), [{ isReasoning: false, text: "<b" }])
    assert.deepStrictEqual(splitter.push(">"), [{ isReasoning: false, text: ">" }])
  })

  it("reasoning is emitted as soon as it cannot be a closing tag", () => {
    const splitter = make()
    assert.deepStrictEqual(splitter.push("<think>a</"), [{ isReasoning: true, text: "a" }])
    assert.deepStrictEqual(splitter.push("b"), [{ isReasoning: true, text: "</b" }])
  })

  const texts = fc.array(
    fc.constantFrom("<think>", "</think>", "<thinking>", "</thinking>", "<", "</", "th", "ink>", " ", "\n", "a", "é😀"),
    { maxLength: 12 }
  )

  it.prop(
    "any split gives the same reasoning and text",
    [texts, fc.array(fc.nat(), { maxLength: 8 })],
    ([fragments, positions]) => {
      const text = fragments.join("")
      const at = positions.map((position) => position % (text.length + 1)).sort((a, b) => a - b)
      const chunks = [...at, text.length].map((end, i) => text.slice(i === 0 ? 0 : at[i - 1], end))
      assert.deepStrictEqual(split(chunks), split([text]))
    },
    { fastCheck: { numRuns: 500 } }
  )

  /** The reasoning and the text, by a simple parser of the complete text. */
  const expected = (text: string) => {
    let rest = text
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
    return { reasoning, text: /^\s*<\/?think(?:ing)?>/.test(text) ? rest.trimStart() : rest }
  }

  it.prop("only the tags at the start and the white space after them are dropped", [texts], ([fragments]) => {
    const text = fragments.join("")
    assert.deepStrictEqual(split([text]), expected(text))
  }, { fastCheck: { numRuns: 500 } })
})
