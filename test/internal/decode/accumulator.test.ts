import { assert, describe, it } from "@effect/vitest"
import type { ChatEvent } from "effect-chat"
import { Accumulator, type Options } from "../../../src/internal/decode/accumulator.ts"

const delta = (content: string) => ({ choices: [{ index: 0, delta: { content } }] })

const make = (options: Partial<Options> = {}) =>
  new Accumulator({ provider: undefined, origin: "http://localhost", model: "m", thinkTags: false, ...options })

describe("accumulator", () => {
  it("adds up what chunks say, and tells it", () => {
    const fold = make()
    const out: Array<ChatEvent.ChatEvent> = []
    fold.add({ ...delta("a"), id: "c1", model: "m1" }, false, out)
    fold.add(delta("b"), false, out)
    assert.deepStrictEqual(out, [
      { _tag: "Begin", id: "c1", model: "m1" },
      { _tag: "TextDelta", text: "a" },
      { _tag: "TextDelta", text: "b" }
    ])
    const response = fold.response("interrupted")
    assert.strictEqual(response.text, "ab")
    assert.strictEqual(response.id, "c1")
    assert.strictEqual(response.model, "m1")
    assert.strictEqual(response.finishReason, "interrupted")
  })

  it("has nothing to show before something came", () => {
    const fold = make()
    fold.add({ id: "c1", choices: [{ delta: { role: "assistant", content: "" } }] }, false, [])
    assert.isUndefined(fold.partial())
  })

  it("counts usage and a function call as something", () => {
    const usage = make()
    usage.add({ usage: { prompt_tokens: 1 } }, false, [])
    assert.strictEqual(usage.partial()?.usage?.inputTokens, 1)
    const call = make()
    call.add({ choices: [{ delta: { function_call: { name: "f" } } }] }, false, [])
    assert.strictEqual(call.partial()?.functionCall?.name, "f")
  })

  it("keeps the first failure and the last reason", () => {
    const fold = make()
    for (const finish_reason of ["abort", "error", "stop"]) fold.add({ choices: [{ finish_reason }] }, false, [])
    assert.strictEqual(fold.failure, "abort")
    assert.strictEqual(fold.response().rawFinishReason, "stop")
  })

  it("says at the end what it held back", () => {
    const fold = make({ thinkTags: true })
    const out: Array<ChatEvent.ChatEvent> = []
    fold.add(delta("<thi"), false, out)
    assert.lengthOf(out, 0)
    fold.flush(out)
    assert.deepStrictEqual(out, [{ _tag: "Begin", id: "", model: "" }, { _tag: "TextDelta", text: "<thi" }])
    assert.strictEqual(fold.response().text, "<thi")
  })
})
