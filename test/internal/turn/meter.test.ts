/**
 * The sum of the usage of a turn's calls, however the turn ends.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChatCompletions, ChatMessage, LLMConfig } from "effect-chat"
import { PartialResponse } from "../../../src/internal/decode/response.ts"
import { Meter } from "../../../src/internal/turn/meter.ts"
import { answer, options, usage, withScript } from "../../support/chats.ts"

const request = { config: LLMConfig.make(options()), messages: [ChatMessage.user("q")] }

const nothing = new PartialResponse().response("interrupted")

describe("The meter of a turn", () => {
  it.effect("counts an answer that is complete when its turn is stopped, even if no event of it was emitted", () =>
    Effect.gen(function*() {
      const meter = new Meter()
      const complete = meter.metered((yield* ChatCompletions.make).complete)
      yield* complete(request)

      assert.strictEqual(meter.partial(nothing)?.totalTokens, 11)
    }).pipe(withScript([answer("a", { usage: usage(1, 10) })])))

  it.effect("counts a call once if another one follows", () =>
    Effect.gen(function*() {
      const meter = new Meter()
      const complete = meter.metered((yield* ChatCompletions.make).complete)
      yield* complete(request)
      meter.begin(request)
      assert.strictEqual(meter.partial(nothing)?.totalTokens, 11)

      const last = yield* complete(request)

      assert.strictEqual(meter.partial(last)?.totalTokens, 11 + 22)
      assert.strictEqual(meter.total(last)?.totalTokens, 11 + 22)
    }).pipe(withScript([answer("a", { usage: usage(1, 10) }), answer("b", { usage: usage(2, 20) })])))

  it("counts nothing if no call was made", () => {
    assert.isUndefined(new Meter().partial(nothing))
    assert.isUndefined(new Meter().partial(undefined))
  })
})
