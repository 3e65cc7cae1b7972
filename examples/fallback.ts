/**
 * When a server fails, another one answers, and all conversations share one limit.
 *
 * Always against embedded servers: one that fails, one that cannot be reached, and one that answers.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Context, Effect, Layer, Stream } from "effect"
import { ChatCompletions, ChatManager, LLMChat, LLMConfig } from "effect-chat"
import * as Fallback from "effect-chat/Fallback"
import * as Limits from "effect-chat/Limits"
import { LocalServer } from "effect-chat/testing"
import * as Server from "./internal/server.ts"

/** Two servers of this process. */
class First extends Context.Tag("effect-chat/examples/First")<First, LocalServer.Service>() {}
class Second extends Context.Tag("effect-chat/examples/Second")<Second, LocalServer.Service>() {}

const server = <Self>(tag: Context.Tag<Self, LocalServer.Service>, options?: LocalServer.Options) =>
  Layer.project(Server.layerLocal(options), LocalServer.LocalServer, tag, (service) => service)

const program = Effect.gen(function*() {
  const first = yield* First
  const second = yield* Second
  const completions = yield* ChatCompletions.ChatCompletions

  const config = LLMConfig.make({ baseUrl: first.url, provider: "first", model: "first-model", maxRetries: 0 })
  const good = LLMConfig.make({ baseUrl: second.url, provider: "second", model: "second-model" })
  // Nothing listens on port 1.
  const away = LLMConfig.make({ baseUrl: "http://127.0.0.1:1/v1", provider: "away", maxRetries: 0 })

  // Two calls at a time and 60 a minute, whoever makes them; every attempt counts as one.
  const limited = yield* Limits.limit(completions, { concurrency: 2, requestsPerMinute: 60 })
  const wire = Fallback.make(limited, {
    configs: [away, good],
    onFallback: ({ config, error, next }) =>
      Console.log(`  [${config.provider}: ${error._tag}; asking ${next.provider}]`)
  })

  yield* Console.log("A conversation whose first two servers fail:")
  const chat = yield* LLMChat.fromCompletions(wire, config)
  const { model, text } = yield* chat.chat("My name is Ada.")
  yield* Console.log(`  ${model} answers: ${text}`)
  const answer = yield* Stream.mkString(chat.chatStream("What is my name?"))
  yield* Console.log(`  and remembers: ${answer}`)

  yield* Console.log("\nTen conversations within the limit of two at a time:")
  const manager = yield* ChatManager.fromCompletions(wire, { config: good })
  const answers = yield* Effect.forEach(
    Array.from({ length: 10 }, (_, n) => `user ${n}`),
    (id) => Effect.flatMap(manager.getChat(id), (chat) => chat.chat(`I am ${id}.`)),
    { concurrency: "unbounded" }
  )
  yield* Console.log(`  ${answers.length} answers`)

  yield* Console.log("\nWhere nobody answers, the error has every attempt:")
  const hopeless = yield* LLMChat.fromCompletions(Fallback.make(limited, { configs: [away] }), config)
  yield* hopeless.chat("Hello?").pipe(
    Effect.catchAll((error) =>
      Effect.forEach(Fallback.attempts(error), (error) => Console.log(`  ${error._tag}: ${error.message}`))
    )
  )

  yield* Console.log("\nAn answer that has begun is never continued by another server:")
  const begun = LLMConfig.make({ baseUrl: second.url, model: "effect-chat-cut" })
  yield* Effect.flatMap(LLMChat.fromCompletions(wire, begun), (chat) => Stream.runDrain(chat.chatStream("Hello!")))
    .pipe(
      Effect.catchTag(
        "TruncatedError",
        (error) => Console.log(`  ${error._tag}; what came: ${JSON.stringify(error.partial?.text ?? "")}`)
      )
    )
})

/** The first server fails with every answer; the second one does what it should. */
const Servers = Layer.merge(
  server(First, {
    answer: () => {
      throw new Error("out of order")
    }
  }),
  server(Second)
)

const Main = Layer.merge(Servers, ChatCompletions.layer.pipe(Layer.provide(NodeHttpClient.layer)))

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
