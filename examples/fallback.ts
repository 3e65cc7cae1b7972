/**
 * When a server fails, another one answers, and all conversations share one limit.
 *
 * Always against embedded servers: one that fails, one that cannot be reached, and one that answers.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Context, Effect, Layer, Stream } from "effect"
import { ChatManager, ChatResponse, Fallback, Limits, LLMChat, LLMConfig } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import * as Server from "./internal/server.ts"

/** Two servers of this process. */
class First extends Context.Tag("effect-chat/examples/fallback/First")<First, LocalServer.Service>() {}
class Second extends Context.Tag("effect-chat/examples/fallback/Second")<Second, LocalServer.Service>() {}

const server = <Self>(tag: Context.Tag<Self, LocalServer.Service>, options?: LocalServer.Options) =>
  Layer.project(Server.layerLocal(options), LocalServer.LocalServer, tag, (service) => service)

const program = Effect.gen(function*() {
  const first = yield* First
  const second = yield* Second

  const config = LLMConfig.make({ baseUrl: first.url, provider: "first", model: "first-model", maxRetries: 0 })
  const good = LLMConfig.make({ baseUrl: second.url, provider: "second", model: "second-model" })
  // Nothing listens on port 1.
  const away = LLMConfig.make({ baseUrl: "http://127.0.0.1:1/v1", provider: "away", maxRetries: 0 })
  const fallback = Fallback.make({
    configs: [away, good],
    onFallback: ({ config, error, next }) =>
      Console.log(`  [${config.provider}: ${error._tag}; asking ${next.provider}]`)
  })

  yield* Console.log("A conversation whose first two servers fail:")
  const chat = yield* LLMChat.make(config, { fallback })
  const { model, provider, text } = yield* chat.chat("My name is Ada.")
  yield* Console.log(`  ${model} of ${provider} answers: ${text}`)
  const answer = yield* Stream.mkString(chat.chatStream("What is my name?"))
  yield* Console.log(`  and remembers: ${answer}`)

  yield* Console.log("\nTen conversations that share a limit of two calls at a time and 60 a minute:")
  const limits = Limits.make({ concurrency: 2, requestsPerMinute: 60 })
  const manager = yield* ChatManager.make({ config: good, fallback, limits })
  const answers = yield* Effect.forEach(
    Array.from({ length: 10 }, (_, n) => `user ${n}`),
    (id) => Effect.flatMap(manager.getChat(id), (chat) => chat.chat(`I am ${id}.`)),
    { concurrency: "unbounded" }
  )
  const usage = yield* manager.usage
  const cost = ChatResponse.cost(usage, { input: 0.28, output: 0.42 })
  yield* Console.log(`  ${answers.length} answers of ${usage.totalTokens} tokens, for ${cost.toFixed(6)} dollars`)

  yield* Console.log("\nWhere nobody answers, the error has every attempt:")
  const hopeless = yield* LLMChat.make(config, { fallback: Fallback.make({ configs: [away] }) })
  yield* hopeless.chat("Hello?").pipe(
    Effect.catchAll((error) =>
      Effect.forEach(Fallback.attempts(error), (error) => Console.log(`  ${error._tag}: ${error.message}`))
    )
  )

  yield* Console.log("\nAn answer that has begun is never continued by another server:")
  const begun = yield* LLMChat.make({ baseUrl: second.url, model: "effect-chat-cut" }, { fallback })
  yield* Stream.runDrain(begun.chatStream("Hello!")).pipe(
    Effect.catchTag(
      "TruncatedError",
      (error) => Console.log(`  ${error._tag}; what came: ${JSON.stringify(error.partial?.text ?? "")}`)
    )
  )
})

/** The first server fails with every answer; the second one works. */
const Servers = Layer.merge(
  server(First, {
    answer: () => {
      throw new Error("out of order")
    }
  }),
  server(Second)
)

const Main = Layer.merge(Servers, NodeHttpClient.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
