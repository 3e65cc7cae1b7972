/**
 * A model calls a tool: the program runs it and sends the result, and the model continues.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Schema } from "effect"
import { CallOptions, ChatMessage, type ChatResponse, LLMChat } from "effect-chat"
import * as Server from "./internal/server.ts"

const Place = Schema.Struct({ city: Schema.String })

const tools = [CallOptions.tool({ name: "weather", description: "The weather in a city", parameters: Place })]

const run = Effect.fnUntraced(function*(call: ChatResponse.ToolCall) {
  const { city } = yield* Schema.decode(Schema.parseJson(Place))(call.arguments)
  yield* Console.log(`  [${call.name} in ${city}]`)
  return ChatMessage.toolResult(call.id, `Rain in ${city}`)
})

const program = Effect.gen(function*() {
  const { about, config } = yield* Server.Server
  yield* Console.log(about)
  const chat = yield* LLMChat.make(config)

  const { toolCalls } = yield* chat.chat("Do I need an umbrella in Paris?", { tools, toolChoice: "required" })
  // All results are one turn: the history has every call and its result, in their order.
  const { text } = yield* chat.chat(yield* Effect.forEach(toolCalls, run), { tools, toolChoice: "none" })
  yield* Console.log(text)
})

const Main = Layer.merge(Server.layer(), NodeHttpClient.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
