import { LanguageModel, Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { LLMChat } from "effect-chat"
import { AiToolSet } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"
import { withModel } from "../support/ai.ts"

/** The success Schema accepts every failure, and would drop its member. */
const Find = Tool.make("Find", {
  parameters: {},
  success: Schema.Struct({ found: Schema.optional(Schema.String) }),
  failure: Schema.Struct({ code: Schema.NumberFromString }),
  failureMode: "return"
})

const Finds = Toolkit.make(Find)

const FindsLive = Finds.toLayer({ Find: () => Effect.fail({ code: 404 }) })

const call = ScriptedHttpClient.toolCalls([{ name: "Find", arguments: {} }])

describe("A failure that the success Schema also accepts (effect#7748)", () => {
  it.effect("is encoded with the failure Schema in an answer", () =>
    Effect.gen(function*() {
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Finds })

      assert.deepStrictEqual(
        toolResults.map(({ encodedResult, isFailure, result }) => ({ encodedResult, isFailure, result })),
        [{ encodedResult: { code: "404" }, isFailure: true, result: { code: 404 } }]
      )
    }).pipe(Effect.provide(FindsLive), withModel([call])))

  it.effect("is encoded with the failure Schema in a turn", () =>
    Effect.gen(function*() {
      const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m" })
      yield* chat.chat("?", { toolSet: yield* AiToolSet.fromToolkit(Finds) })

      const result = (yield* chat.history).find((message) => message.role === "tool")
      assert.include(result?.content, "\"404\"")
    }).pipe(Effect.provide([FindsLive, ScriptedHttpClient.layer([call, ScriptedHttpClient.tokens(["ok"])])])))
})
