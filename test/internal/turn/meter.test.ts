/**
 * What the calls of a turn come to, however it ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChatCompletions, ChatMessage, LLMConfig } from "effect-chat"
import { Meter } from "../../../src/internal/turn/meter.ts"
import { Partial } from "../../../src/internal/turn/partial.ts"
import { answer, options, usage, withScript } from "../../support/chats.ts"

const request = { config: LLMConfig.make(options()), messages: [ChatMessage.user("q")] }

const nothingTold = new Partial().response

describe("The meter of a turn", () => {
  it.effect("counts an answer that had come whole when its turn was stopped, though nothing of it was told", () =>
    Effect.gen(function*() {
      const meter = new Meter()
      yield* meter.complete(yield* ChatCompletions.make, request)

      assert.strictEqual(meter.part(nothingTold)?.totalTokens, 11)
    }).pipe(withScript([answer("a", { usage: usage(1, 10) })])))

  it.effect("counts a call once that another one follows", () =>
    Effect.gen(function*() {
      const meter = new Meter()
      yield* meter.complete(yield* ChatCompletions.make, request)
      meter.begin(request)
      assert.strictEqual(meter.part(nothingTold)?.totalTokens, 11)

      const last = yield* meter.complete(yield* ChatCompletions.make, request)

      assert.strictEqual(meter.part(last)?.totalTokens, 11 + 22)
      assert.strictEqual(meter.whole(last)?.totalTokens, 11 + 22)
    }).pipe(withScript([answer("a", { usage: usage(1, 10) }), answer("b", { usage: usage(2, 20) })])))

  it("counts nothing where no call was made", () => {
    assert.isUndefined(new Meter().part(nothingTold))
    assert.isUndefined(new Meter().part(undefined))
  })
})
