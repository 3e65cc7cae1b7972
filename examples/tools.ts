/**
 * Two tools in a loop: the model looks for flights, and books one. A booking needs an approval, which comes from another
 * program: the turn waits in the store until then.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { Console, Context, Effect, Layer, Schema } from "effect"
import { ChatManager, HistoryStore, Tool, ToolSet, Turn } from "effect-chat"
import type { LocalServer } from "effect-chat/testing"
import * as Server from "./internal/server.ts"

class NoSeats extends Schema.TaggedError<NoSeats>()("NoSeats", { flight: Schema.String }) {}

class Airline extends Context.Tag("effect-chat/examples/tools/Airline")<Airline, {
  readonly flights: (to: string) => Effect.Effect<ReadonlyArray<string>>
  /** The same key books once. */
  readonly book: (flight: string, key: string) => Effect.Effect<string, NoSeats>
}>() {}

const AirlineLive = Layer.succeed(Airline, {
  flights: (to) => Effect.succeed([`AF1 to ${to}`, `AF2 to ${to}`]),
  book: (flight, key) => flight === "AF1" ? Effect.succeed(`seat for ${key}`) : Effect.fail(new NoSeats({ flight }))
})

const tools = ToolSet.make([
  Tool.make({
    name: "find_flights",
    description: "Flights to a city",
    parameters: { to: Schema.String },
    handler: ({ to }) => Effect.flatMap(Airline, (airline) => airline.flights(to))
  }),
  Tool.make({
    name: "book_flight",
    description: "Books a flight",
    parameters: { flight: Schema.String },
    failure: NoSeats,
    needsApproval: true,
    handler: ({ flight }, { callId }) => Effect.flatMap(Airline, (airline) => airline.book(flight, callId))
  })
])

/** A program of its own, which begins with nothing but the folder. */
const open = (directory: string) =>
  Effect.gen(function*() {
    const { config } = yield* Server.Server
    const manager = yield* ChatManager.make({ config })
    return yield* manager.getChat("ada", { config })
  }).pipe(Effect.provide(HistoryStore.layerFileSystem({ directory })))

const ask = (directory: string) =>
  Effect.gen(function*() {
    const chat = yield* open(directory)
    yield* Console.log("you: Book me a flight to Paris.")
    const { finishReason, steps = [], text } = yield* chat.chat("Book me a flight to Paris.", { toolSet: yield* tools })
    for (const { toolCalls } of steps) {
      for (const call of toolCalls) yield* Console.log(`  [${call.name} ${call.arguments}: ${call.result ?? "waits"}]`)
    }
    yield* Console.log(finishReason === "tool-calls" ? "The first program ends." : `model: ${text}`)
  }).pipe(Effect.scoped)

const approve = (directory: string) =>
  Effect.gen(function*() {
    const chat = yield* open(directory)
    const calls = yield* chat.openCalls
    for (const { arguments: text, name } of calls) yield* Console.log(`  [approved: ${name} ${text}]`)
    if (calls.length === 0) return
    const answers = calls.map(({ callId }) => ({ callId, approved: true }))
    const { text } = yield* chat.chat(Turn.respond(answers), { toolSet: yield* tools })
    yield* Console.log(`model: ${text}`)
  }).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-" })
  yield* Console.log(about)
  yield* ask(folder)
  yield* approve(folder)
})

/** What the embedded server answers in place of a model, by the number of results that it has. */
const answer = ({ messages }: LocalServer.ChatRequest): LocalServer.Answer => {
  const results = messages.filter(({ role }) => role === "tool")
  if (results.length === 0) return { toolCalls: [{ name: "find_flights", arguments: { to: "Paris" } }] }
  return results.length === 1
    ? { toolCalls: [{ name: "book_flight", arguments: { flight: "AF1" } }] }
    : `It is booked: ${results.at(-1)?.content}`
}

const Main = Layer.mergeAll(Server.layer({ answer }), NodeHttpClient.layer, NodeContext.layer, AirlineLive)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
