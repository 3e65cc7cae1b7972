/**
 * Single questions: a complete answer, a streamed answer, and one that fails.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { LLMChat } from "effect-chat"
import * as Server from "./internal/server.ts"

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  const chat = yield* LLMChat.LLMChat
  yield* Console.log(about)

  const response = yield* chat.ask("Say hello in one short sentence.")
  yield* Console.log(`\nWhole: ${response.text}`)
  yield* Console.log(
    `It ended because of: ${response.finishReason}; tokens: ${response.usage?.totalTokens ?? "unknown"}`
  )

  yield* Console.log("\nAs it arrives, a piece a line:")
  yield* chat.askStream("Count from one to three.").pipe(
    Stream.runForEach((piece) => Console.log(JSON.stringify(piece)))
  )

  // Errors are typed: one class for each way to react.
  yield* Console.log("\nWith a setting that no server takes:")
  yield* chat.ask("Hello?", { extraBody: { messages: [] } }).pipe(
    Effect.flatMap((response) => Console.log(response.text)),
    Effect.catchTag("InvalidRequestError", (error) => Console.log(`${error._tag} (${error.status}): ${error.message}`))
  )
})

const Chat = Layer.unwrapEffect(Effect.map(Server.Server, ({ config }) => LLMChat.layer(config)))

const Main = Chat.pipe(Layer.provideMerge(Server.layer()), Layer.provide(NodeHttpClient.layer))

program.pipe(Effect.provide(Main), NodeRuntime.runMain)
