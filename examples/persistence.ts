/**
 * A conversation that outlives the program: kill it, start it, it remembers.
 *
 * Each turn is in a file before it is done. Without arguments the folder is a new one, which is gone at the end; with
 * `--dir FOLDER` it stays, and whoever starts this again finds the conversation as it was.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as FileSystem from "@effect/platform/FileSystem"
import { Console, Effect, Layer, Stream } from "effect"
import { ChatManager, HistoryStore } from "effect-chat"
import { parseArgs } from "node:util"
import * as Server from "./internal/server.ts"

/** Acts like a separate program: it starts with only the folder. */
const run = (title: string, directory: string, prompts: ReadonlyArray<string>) =>
  Effect.gen(function*() {
    const { config } = yield* Server.Server
    const manager = yield* ChatManager.make({ config })
    // A stored conversation keeps its settings, unless it is given some: the embedded server has another port each time.
    const chat = yield* manager.getChat("ada", { config })
    const turns = (yield* chat.history).filter(({ role }) => role === "user").length
    yield* Console.log(`\n${title}. The folder has ${turns} turns of this conversation.`)
    for (const prompt of prompts) {
      yield* Console.log(`you: ${prompt}`)
      yield* Console.log(`model: ${yield* Stream.mkString(chat.chatStream(prompt))}`)
    }
  }).pipe(Effect.scoped, Effect.provide(HistoryStore.layerFileSystem({ directory })))

const directory = Effect.gen(function*() {
  const { values } = parseArgs({ options: { dir: { type: "string" } } })
  if (values.dir !== undefined) return values.dir
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-" })
})

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  const folder = yield* directory
  yield* Console.log(`${about}\nFolder ${folder}`)
  yield* run("Begin", folder, ["My name is Ada."])
  yield* run("Begin again", folder, ["What is my name?", "What did I say first?"])
})

const Main = Layer.mergeAll(Server.layer(), NodeHttpClient.layer, NodeContext.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
