import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { LLMChat } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"

const { error, layer, toolCalls } = ScriptedHttpClient

const chat = LLMChat.make({ baseUrl: "http://scripted.test/v1", apiKey: "key" })

describe("ScriptedHttpClient", () => {
  it.scoped("answers with the calls of tools, which a chat reads as such", () =>
    Effect.gen(function*() {
      const { chat: ask } = yield* chat
      const response = yield* ask("go")
      assert.deepStrictEqual(response.toolCalls.map(({ id, name, arguments: text }) => ({ id, name, text })), [
        { id: "call_0", name: "add", text: "{\"a\":1}" },
        { id: "mine", name: "now", text: "{}" },
        { id: "call_2", name: "cut", text: "\"{}\"" }
      ])
      assert.strictEqual(response.finishReason, "tool-calls")
      assert.strictEqual(response.usage?.totalTokens, 5)
    }).pipe(Effect.provide(layer([
      toolCalls([{ name: "add", arguments: { a: 1 } }, { id: "mine", name: "now" }, {
        name: "cut",
        arguments: "\"{}\""
      }], { usage: { prompt_tokens: 2, completion_tokens: 3, total_tokens: 5 } })
    ]))))

  it.scoped("answers with an error, which a chat fails with", () =>
    Effect.gen(function*() {
      const { chat: ask } = yield* chat
      const failure = yield* Effect.flip(ask("go"))
      assert.deepStrictEqual([failure._tag, failure.message, failure.status], ["PermissionError", "Not for you", 403])
    }).pipe(Effect.provide(layer([error(403, "Not for you", { code: "forbidden" })]))))
})
