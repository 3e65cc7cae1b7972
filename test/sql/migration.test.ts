/**
 * Reads data of the last release without stored turns. That release wrote the data in `test/support/olderRelease`: a SQLite
 * database as SQL and a folder of files, with the same conversations.
 */
import { NodeContext } from "@effect/platform-node"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Chunk, Context, Effect, Layer, Option, Stream } from "effect"
import { ChatManager, HistoryStore, LLMConfig } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { ScriptedHttpClient } from "effect-chat/testing"
import Database from "libsql"
import { cpSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { answer, lines, sent } from "../support/chats.ts"
import { folder } from "../support/databases.ts"
import * as Postgres from "../support/postgres.ts"

const data = (name: string) => fileURLToPath(new URL(`../support/olderRelease/${name}`, import.meta.url))
const tables = readFileSync(data("chats.sql"), "utf8")

const config = LLMConfig.make({ baseUrl: "http://today/v1", model: "today", systemPrompt: "Be kind.", maxRetries: 0 })

const TestClient = ScriptedHttpClient.layer(() => answer("ok"))

const load = (id: string) =>
  Effect.flatMap(HistoryStore.HistoryStore, (store) => Effect.map(store.load(id), Option.getOrThrow))

const starts = ({ turns }: HistoryStore.StoredConversation) =>
  turns.map(({ index, start, turnId }) => [index, start, turnId])

const check = Effect.gen(function*() {
  const store = yield* HistoryStore.HistoryStore
  const long = "x".repeat(300)
  const ids = ["ada", "tools", "image/Ünï code", "cleared", long, "own", "summary"]
  assert.sameMembers(Chunk.toArray(yield* Stream.runCollect(store.list)), ids)
  assert.deepStrictEqual(lines((yield* load(long)).messages), ["user: hi", "assistant: re hi"])

  const ada = yield* load("ada")
  assert.deepStrictEqual(lines(ada.messages), [
    "user: one",
    "assistant: re one",
    "user: two 🙂",
    "assistant: re two 🙂",
    "user: three",
    "assistant: re three"
  ])
  assert.deepStrictEqual(starts(ada), [[0, 0, "turn-0"], [1, 2, "turn-1"], [2, 4, "turn-2"]])
  assert.deepInclude(ada.usage, { inputTokens: 15, outputTokens: 9, cachedTokens: 6 })

  const tools = yield* load("tools")
  assert.deepStrictEqual(starts(tools), [[0, 0, "turn-0"], [1, 4, "turn-1"]])
  assert.deepNestedPropertyVal(tools.messages[1], "toolCalls[0]", {
    id: "call_1",
    name: "weather",
    arguments: `{"city":"Köln"}`
  })
  assert.deepNestedPropertyVal((yield* load("image/Ünï code")).messages[0], "content[1]", {
    type: "image",
    url: "https://example.org/a.png"
  })
  assert.deepInclude(yield* load("cleared"), { messages: [], turns: [], systemPrompt: "Mine." })
  assert.deepInclude((yield* load("summary")).summary, { text: "They counted." })

  yield* store.commit({ id: "tools", expected: { incarnation: "", version: 3 }, keepTurns: 1, turns: [] })
  assert.strictEqual((yield* load("tools")).messages.length, 4)
})

/** Continues the conversations with another server and system prompt. */
const goOn = Effect.gen(function*() {
  const manager = yield* ChatManager.make({ config })
  for (const id of ["ada", "own", "cleared"]) yield* Effect.flatMap(manager.getChat(id), (chat) => chat.chat("next"))
  yield* Effect.flatMap(manager.getChat("ada"), (chat) => chat.rewind(2))

  const { requests } = yield* ScriptedHttpClient.ScriptedHttpClient
  const [ada, own, cleared] = yield* requests
  assert.isTrue(ada?.url.startsWith("http://today/v1"))
  assert.deepStrictEqual(sent(ada).slice(0, 2), ["system: Be kind.", "user: one"])
  assert.strictEqual(sent(ada).length, 8)
  assert.deepInclude(own?.body, { model: "own", temperature: 0.1 })
  assert.deepStrictEqual(sent(cleared), ["system: Mine.", "user: next"])
  assert.deepStrictEqual(starts(yield* load("ada")), [[0, 0, "turn-0"], [1, 2, "turn-1"]])
}).pipe(Effect.scoped, Effect.provide(TestClient))

const all = Effect.zipRight(check, goOn)

describe("Data of the release before turns were stored", () => {
  it.scoped("is migrated in a SQLite file", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const database = new Database(filename)
      database.exec(tables)
      database.close()
      yield* Effect.provide(all, Sqlite.layer({ filename }))
    }))

  it.scopedLive.skipIf(Postgres.unavailable !== "")(
    "is migrated in PostgreSQL",
    () =>
      Effect.gen(function*() {
        const { createDatabase } = yield* Postgres.Postgres
        const client = Context.get(
          yield* Layer.build(PgClient.layer({ url: yield* createDatabase })),
          PgClient.PgClient
        )
        yield* client.unsafe(
          tables.replace(/datetime|_at text/g, (type) => type === "datetime" ? "timestamptz" : "_at timestamptz")
        )
        const store = yield* Effect.provideService(SqlHistoryStore.make, SqlClient.SqlClient, client)
        yield* Effect.provideService(all, HistoryStore.HistoryStore, store)
      }).pipe(Effect.provide(Postgres.layerShared)),
    60_000
  )

  it.scoped("is read from files", () =>
    Effect.gen(function*() {
      const directory = yield* folder
      cpSync(data("files"), directory, { recursive: true })
      const store = HistoryStore.layerFileSystem({ directory }).pipe(Layer.provide(NodeContext.layer))
      yield* Effect.provide(all, store)
    }))
})
