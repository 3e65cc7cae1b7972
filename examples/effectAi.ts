/**
 * A program of `@effect/ai` on any OpenAI-compatible server: nothing above the layers knows this library.
 */
import { Chat, Tool, Toolkit } from "@effect/ai"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer, Option, Schema, Stream } from "effect"
import { AiLanguageModel } from "effect-chat/ai"
import * as Server from "./internal/server.ts"

const weather = Tool.make("weather", {
  description: "The weather in a city",
  parameters: { city: Schema.String },
  success: Schema.Struct({ sky: Schema.String })
})

const tools = Toolkit.make(weather)

const Handlers = tools.toLayer({
  weather: ({ city }) => Effect.as(Console.log(`  [weather in ${city}]`), { sky: "rain" })
})

const conversation = Effect.gen(function*() {
  const chat = yield* Chat.fromPrompt([{ role: "system", content: "You answer in one sentence." }])

  yield* chat.streamText({ prompt: "My name is Ada." }).pipe(
    Stream.filterMap((part) => part.type === "text-delta" ? Option.some(part.delta) : Option.none()),
    Stream.mkString,
    Effect.flatMap(Console.log)
  )

  // The model asks for the tool, and goes on when it has the result.
  yield* chat.generateText({ prompt: "Do I need an umbrella in Paris?", toolkit: tools, toolChoice: "required" })
  const { text, usage } = yield* chat.generateText({ prompt: [], toolkit: tools, toolChoice: "none" })
  yield* Console.log(text)
  yield* Console.log(`The last answer used ${usage.totalTokens} tokens.`)
})

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  yield* Console.log(about)
  yield* conversation
})

const Model = Layer.unwrapEffect(Effect.map(Server.Server, ({ config }) => AiLanguageModel.layer(config)))

const Main = Layer.merge(Handlers, Model).pipe(
  Layer.provideMerge(Server.layer()),
  Layer.provide(NodeHttpClient.layer)
)

program.pipe(Effect.provide(Main), NodeRuntime.runMain)
