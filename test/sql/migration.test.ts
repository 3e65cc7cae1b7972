/**
 * What the release before stored turns wrote, read by this one.
 */
import { KeyValueStore } from "@effect/platform"
import { SqlClient } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Option, Schema } from "effect"
import { ChatMessage, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"
import Database from "libsql"
import { folder } from "../support/databases.ts"
import * as Postgres from "../support/postgres.ts"

const usage =
  `{"inputTokens":1,"outputTokens":2,"totalTokens":3,"reasoningTokens":0,"cachedTokens":0,"estimated":false,"raw":null}`
const messages = ["a", "b"].flatMap((said) => [ChatMessage.user(said), ChatMessage.assistant(`${said}!`)])
const encoded = messages.map((message) => Schema.encodeSync(Schema.parseJson(ChatMessage.ChatMessage))(message))

const oldTables = `
  CREATE TABLE effect_chat_migrations (migration_id integer PRIMARY KEY NOT NULL,
    created_at datetime NOT NULL DEFAULT current_timestamp, name VARCHAR(255) NOT NULL);
  INSERT INTO effect_chat_migrations (migration_id, name) VALUES (1, 'conversations');
  CREATE TABLE effect_chat_conversations (id text PRIMARY KEY, long_id text, version integer NOT NULL,
    system_prompt text NOT NULL, usage text NOT NULL, summary text, settings text NOT NULL, next_seq integer NOT NULL,
    created_at text NOT NULL, updated_at text NOT NULL);
  CREATE TABLE effect_chat_messages (
    conversation text NOT NULL REFERENCES effect_chat_conversations (id) ON DELETE CASCADE,
    seq integer NOT NULL, message text NOT NULL, PRIMARY KEY (conversation, seq));
  INSERT INTO effect_chat_conversations VALUES ('old', NULL, 2, 'Be brief.', '${usage}', NULL, '{"model":"m"}', 4,
    '2026-11-01T00:00:00.000Z', '2026-11-01T00:00:01.000Z');
  ${encoded.map((text, seq) => `INSERT INTO effect_chat_messages VALUES ('old', ${seq}, '${text}');`).join("\n")}`

const check = Effect.gen(function*() {
  const store = yield* HistoryStore.HistoryStore
  const old = Option.getOrThrow(yield* store.load("old"))
  assert.deepStrictEqual(old.messages, messages)
  assert.deepStrictEqual(old.turns.map(({ index, start, turnId }) => [index, start, turnId]), [
    [0, 0, "turn-0"],
    [1, 2, "turn-1"]
  ])
  yield* store.commit({ id: "old", expected: { incarnation: "", version: 2 }, keepTurns: 1, turns: [] })
  assert.deepStrictEqual(Option.getOrThrow(yield* store.load("old")).messages, messages.slice(0, 2))
})

describe("Data of the release before stored turns", () => {
  it.scoped("is migrated in a SQLite file, with its turns", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const database = new Database(filename)
      database.exec(oldTables)
      database.close()
      yield* Effect.provide(check, Sqlite.layer({ filename }))
    }))

  it.scopedLive.skipIf(Postgres.unavailable !== "")(
    "is migrated in PostgreSQL, with its turns",
    () =>
      Effect.gen(function*() {
        const { createDatabase } = yield* Postgres.Postgres
        const client = Context.get(
          yield* Layer.build(PgClient.layer({ url: yield* createDatabase })),
          PgClient.PgClient
        )
        yield* client.unsafe(
          oldTables.replace(/datetime|_at text/g, (type) => type === "datetime" ? "timestamptz" : "_at timestamptz")
        )
        const store = yield* Effect.provideService(SqlHistoryStore.make, SqlClient.SqlClient, client)
        yield* Effect.provideService(check, HistoryStore.HistoryStore, store)
      }).pipe(Effect.provide(Postgres.layerShared)),
    60_000
  )

  it.effect("is read from a document, with its turns", () =>
    Effect.gen(function*() {
      const document = `{"id":"old","version":2,"systemPrompt":"Be brief.","messages":[${encoded.join(",")}],` +
        `"usage":${usage},"settings":{"model":"m"}}`
      yield* (yield* KeyValueStore.KeyValueStore).set("conversation-id-old", document)
      yield* Effect.provide(check, HistoryStore.layerKeyValueStore)
    }).pipe(Effect.provide(KeyValueStore.layerMemory)))
})
