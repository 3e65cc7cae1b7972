/**
 * The program that Bun and Deno run. It runs the conversation with each store and prints the results as JSON. Its arguments
 * are the URL of the server and the folder of the stores.
 */
import { KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { HistoryStore } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { writeSync } from "node:fs"
import { talk } from "./conversation.ts"

const [url = "", directory = ""] = process.argv.slice(2)

const files = HistoryStore.layerFileSystem({ directory: `${directory}/files` }).pipe(Layer.provide(NodeContext.layer))

const keyValues = HistoryStore.layerKeyValueStore.pipe(
  Layer.provide(KeyValueStore.layerFileSystem(`${directory}/values`)),
  Layer.provide(NodeContext.layer)
)

const sqlite = Sqlite.layer({ filename: `${directory}/conversations.db` })

const reports = await Effect.runPromise(Effect.all({
  files: talk(url, files),
  keyValues: talk(url, keyValues),
  sqlite: talk(url, sqlite)
}))
writeSync(1, JSON.stringify(reports))
process.exit(0)
