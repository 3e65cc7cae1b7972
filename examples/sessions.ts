/**
 * Many conversations by id: each has its own history and config, and leaves memory when it is idle.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Either, Layer, Stream } from "effect"
import { ChatManager, LLMConfig, LocalSessions } from "effect-chat"
import * as Server from "./internal/server.ts"

const say = Effect.fnUntraced(function*(id: string, prompt: string) {
  const manager = yield* ChatManager.ChatManager
  const chat = yield* manager.getChat(id)
  const { text } = yield* chat.chat(prompt)
  yield* Console.log(`${id}: ${prompt}\n  → ${text}`)
})

const showSessions = Effect.gen(function*() {
  const sessions = yield* LocalSessions.LocalSessions
  yield* Console.log(`In memory: ${(yield* sessions.ids).join(", ") || "nobody"}`)
})

const program = Effect.gen(function*() {
  const { about, config } = yield* Server.Server
  const manager = yield* ChatManager.ChatManager
  yield* Console.log(about)
  const sessions = yield* LocalSessions.LocalSessions
  yield* sessions.events.pipe(
    Stream.runForEach((event) => Console.log(`  [${event._tag} ${event.id}]`)),
    Effect.forkScoped
  )
  yield* Effect.yieldNow()

  // Two users at the same time. Neither sees the messages of the other.
  yield* Effect.all([say("ada", "My name is Ada."), say("bob", "My name is Bob.")], { concurrency: 2 })
  yield* Effect.all([say("ada", "What is my name?"), say("bob", "What is my name?")], { concurrency: 2 })

  // The differences of a config become settings of the conversation.
  const pirate = yield* Either.match(
    LLMConfig.override(config, { systemPrompt: "You are a pirate.", temperature: 1.2 }),
    { onLeft: Effect.fail, onRight: Effect.succeed }
  )
  yield* manager.getChat("jack", { config: pirate })
  yield* say("jack", "What is your system prompt?")
  yield* showSessions

  yield* Console.log("\nBob leaves; the others are idle for longer than the timeout:")
  yield* manager.removeChat("bob")
  yield* Effect.sleep("600 millis")
  yield* showSessions
})

/** The timeout is short to be seen here. Idle time counts from the last use, and a session in use stays. */
const Manager = Layer.unwrapEffect(
  Effect.map(Server.Server, ({ config }) => ChatManager.layer({ config, timeout: "300 millis" }))
)

const Main = Manager.pipe(Layer.provideMerge(Server.layer()), Layer.provide(NodeHttpClient.layer))

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
