/**
 * Settings for a model on this machine: time to load it, one call at a time, a small context, and inline reasoning.
 *
 * With Ollama: `LLM_PROVIDER=ollama LLM_MODEL=qwen3 node --import tsx examples/localModel.ts`. docs/local-models.md explains
 * the settings.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { ChatCompletions, HistoryWindow, Limits, LLMChat, LLMConfig, Provider } from "effect-chat"
import * as Server from "./internal/server.ts"

const program = Effect.gen(function*() {
  const { about, config } = yield* Server.Server
  yield* Console.log(about)

  const local = yield* LLMConfig.override(config, {
    wire: Provider.Wire.make(Object.assign({}, config.wire, { thinkTags: true })), // `<think>` at the start of an answer is reasoning
    firstTokenTimeout: "10 minutes", // the first request loads the model
    maxTokens: 1024
  })
  // One call at a time: a small machine answers two calls at once more slowly than one after the other.
  const completions = yield* Limits.make({ concurrency: 1 }).over(yield* ChatCompletions.make)
  // The context of the model has room for the prompt and the answer.
  const window = HistoryWindow.withShrink(HistoryWindow.tokens(4096 - 1024))
  const chat = yield* LLMChat.fromCompletions(completions, local, { window })

  for (const prompt of ["My name is Ada.", "What is my name?"]) {
    yield* Console.log(`you: ${prompt}\nmodel: ${yield* Stream.mkString(chat.chatStream(prompt))}`)
  }
}).pipe(
  Effect.catchTags({
    TransportError: ({ message }) => Console.error(`${message}. Does the server run? For Ollama: ollama serve`),
    NotFoundError: ({ message }) => Console.error(`${message}. For Ollama: ollama pull qwen3`)
  })
)

const Main = Layer.merge(Server.layer(), NodeHttpClient.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
