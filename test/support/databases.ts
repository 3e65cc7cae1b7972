/**
 * Helpers for the tests of SQL stores: a turn, and a SQLite file that is open twice.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { Context, Effect, Layer } from "effect"
import { ChatMessage, ChatResponse, HistoryStore } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import Database from "libsql"

/** A turn with this prompt. */
export const turn = (id: string, expectedVersion: number, said = "Hello"): HistoryStore.Append => ({
  id,
  expectedVersion,
  messages: [ChatMessage.user(said), ChatMessage.assistant("Hi")],
  usage: ChatResponse.emptyUsage,
  systemPrompt: "Be brief.",
  settings: {}
})

/** A temporary folder. */
export const folder = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  return yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-sql-" })
}).pipe(Effect.provide(NodeContext.layer), Effect.orDie)

/** A store in a file, and another connection to the same file. */
export const file = Effect.gen(function*() {
  const filename = `${yield* folder}/chats.db`
  const store = Context.get(yield* Layer.build(Sqlite.layer({ filename })), HistoryStore.HistoryStore)
  const other = yield* Effect.acquireRelease(
    Effect.sync(() => new Database(filename)),
    (other) => Effect.sync(() => other.close())
  )
  return { filename, other, store }
})
