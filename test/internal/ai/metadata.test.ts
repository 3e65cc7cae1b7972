import { assert, describe, it } from "@effect/vitest"
import { EchoMemory } from "../../../src/internal/ai/metadata.ts"

const answer = (text: string) => ({ text, reasoning: "", callIds: [] })
const echo = (member: string) => ({ opaque: { origin: "http://a", model: "m", fields: { member } } })

describe("The memory of opaque fields", () => {
  it("keeps only the last answers", () => {
    const memory = new EchoMemory(2)
    for (const name of ["a", "b", "c"]) memory.remember(answer(name), echo(name))
    assert.isUndefined(memory.recall(answer("a")))
    assert.deepStrictEqual(memory.recall(answer("b")), echo("b"))
    assert.deepStrictEqual(memory.recall(answer("c")), echo("c"))
  })

  it("keeps an answer longer if it is sent again", () => {
    const memory = new EchoMemory(2)
    memory.remember(answer("a"), echo("a"))
    memory.remember(answer("b"), echo("b"))
    memory.recall(answer("a"))
    memory.remember(answer("c"), echo("c"))
    assert.deepStrictEqual(memory.recall(answer("a")), echo("a"))
    assert.isUndefined(memory.recall(answer("b")))
  })

  it("distinguishes answers by their text, reasoning and calls", () => {
    const memory = new EchoMemory()
    memory.remember({ text: "a", reasoning: "b", callIds: ["1"] }, echo("x"))
    assert.isUndefined(memory.recall({ text: "a", reasoning: "b", callIds: ["2"] }))
    assert.isUndefined(memory.recall({ text: "a", reasoning: "", callIds: ["1"] }))
    assert.isUndefined(memory.recall({ text: "", reasoning: "b", callIds: ["1"] }))
  })
})
