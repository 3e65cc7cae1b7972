import { LanguageModel, Tool, Toolkit } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { AiToolSet } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"
import { withModel } from "../support/ai.ts"
import { requests } from "../support/chats.ts"

const Search = Tool.providerDefined({ id: "other.search", toolkitName: "Search", providerName: "search", args: {} })

const Shell = Tool.providerDefined({
  id: "other.shell",
  toolkitName: "Shell",
  providerName: "local_shell",
  args: {},
  requiresHandler: true,
  parameters: { command: Schema.String },
  success: Schema.String
})

const Shells = Toolkit.make(Shell({}))

const ShellsLive = Shells.toLayer({ Shell: ({ command }) => Effect.succeed(`ran ${command}`) })

describe("A provider-defined tool", () => {
  it.effect("without a handler is refused before a request", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(LanguageModel.generateText({ prompt: "?", toolkit: Toolkit.make(Search({})) }))

      assert.strictEqual(error._tag, "MalformedInput")
      assert.lengthOf(yield* requests, 0)
    }).pipe(withModel([])))

  it.effect("with a handler is called like any other tool", () =>
    Effect.gen(function*() {
      const { toolResults } = yield* LanguageModel.generateText({ prompt: "?", toolkit: Shells })

      assert.deepStrictEqual(toolResults.map(({ encodedResult }) => encodedResult), ["ran pwd"])
    }).pipe(
      Effect.provide(ShellsLive),
      withModel([ScriptedHttpClient.toolCalls([{ name: "Shell", arguments: { command: "pwd" } }])])
    ))

  it.effect("with a handler can be in a tool set", () =>
    Effect.gen(function*() {
      const set = yield* AiToolSet.fromToolkit(Shells)

      assert.deepStrictEqual((yield* set.current).map(({ name }) => name), ["Shell"])
    }).pipe(Effect.provide(ShellsLive)))
})
