/**
 * A conversation: turns that remember, its history, another system prompt, a fresh start.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Stream } from "effect"
import { LLMChat } from "effect-chat"
import * as Server from "./internal/server.ts"

/** One turn, streamed. The history has it when the stream has ended. */
const say = Effect.fnUntraced(function*(prompt: string) {
  const chat = yield* LLMChat.LLMChat
  yield* Console.log(`\nyou: ${prompt}`)
  const answer = yield* Stream.mkString(chat.chatStream(prompt))
  yield* Console.log(`model: ${answer}`)
})

const showHistory = Effect.gen(function*() {
  const chat = yield* LLMChat.LLMChat
  const history = yield* chat.history
  yield* Console.log(`\nThe history has ${history.length} messages: ${history.map(({ role }) => role).join(", ")}`)
})

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  const chat = yield* LLMChat.LLMChat
  yield* Console.log(about)

  yield* say("My name is Ada.")
  yield* say("What is my name?")
  yield* showHistory

  yield* chat.updateSystemPrompt("You answer in one sentence.")
  yield* say("What is your system prompt?")
  yield* showHistory

  // A question outside the conversation: it sees none of the history, and leaves none.
  const aside = yield* chat.ask("What is my name?")
  yield* Console.log(`\naside: ${aside.text}`)

  yield* chat.clearHistory
  yield* showHistory
  yield* say("What is my name?")

  const usage = yield* chat.usage
  yield* Console.log(`\nAll turns together used ${usage.totalTokens} tokens.`)
})

const Chat = Layer.unwrapEffect(Effect.map(Server.Server, ({ config }) => LLMChat.layer(config)))

const Main = Chat.pipe(Layer.provideMerge(Server.layer()), Layer.provide(NodeHttpClient.layer))

program.pipe(Effect.provide(Main), NodeRuntime.runMain)
