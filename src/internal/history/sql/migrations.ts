/**
 * Creates and migrates the tables of conversations.
 */
import * as Migrator from "@effect/sql/Migrator"
import * as SqlClient from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import { catchSqlDefects, retryWhileInUse } from "./faults.ts"

const table = "effect_chat_migrations"

/** Ids and prompts are escaped (see `text.ts`). Usage, summaries, settings and messages are JSON. */
const createTables = Effect.flatMap(SqlClient.SqlClient, (sql) => {
  const time = sql.literal(sql.onDialectOrElse({ pg: () => "timestamptz", orElse: () => "text" }))
  return Effect.zipRight(
    sql`
      CREATE TABLE effect_chat_conversations (
        id text PRIMARY KEY,
        long_id text,
        version integer NOT NULL,
        system_prompt text NOT NULL,
        usage text NOT NULL,
        summary text,
        settings text NOT NULL,
        next_seq integer NOT NULL,
        created_at ${time} NOT NULL,
        updated_at ${time} NOT NULL
      )`,
    sql`
      CREATE TABLE effect_chat_messages (
        conversation text NOT NULL REFERENCES effect_chat_conversations (id) ON DELETE CASCADE,
        seq integer NOT NULL,
        message text NOT NULL,
        PRIMARY KEY (conversation, seq)
      )`
  )
})

/** Whether a message begins a turn: the first message, and a user message after a message with another role. */
const begins = `CASE WHEN before IS NULL OR (message LIKE '{"role":"user"%' AND before NOT LIKE '{"role":"user"%')
  THEN 1 ELSE 0 END`

/** Adds turns: each message has the index of its turn, and the first message of a turn has the id and the time of the turn. */
const addTurns = Effect.gen(function*() {
  const sql = yield* SqlClient.SqlClient
  const millis = sql.literal(sql.onDialectOrElse({
    pg: () => "CAST(EXTRACT(EPOCH FROM updated_at) * 1000 AS bigint)",
    orElse: () => "COALESCE(CAST(strftime('%s', updated_at) AS integer) * 1000, 0)"
  }))
  for (
    const column of [
      "incarnation text NOT NULL DEFAULT ''",
      "turns integer NOT NULL DEFAULT 0",
      "title text",
      "owner text",
      "created_millis bigint NOT NULL DEFAULT 0",
      "updated_millis bigint NOT NULL DEFAULT 0"
    ]
  ) yield* sql`ALTER TABLE effect_chat_conversations ADD COLUMN ${sql.literal(column)}`
  for (const column of ["turn integer NOT NULL DEFAULT 0", "turn_id text", "turn_millis bigint"]) {
    yield* sql`ALTER TABLE effect_chat_messages ADD COLUMN ${sql.literal(column)}`
  }
  yield* sql`
    UPDATE effect_chat_messages SET turn = numbered.turn,
      turn_id = CASE WHEN numbered.begins = 1 THEN 'turn-' || numbered.turn END,
      turn_millis = CASE WHEN numbered.begins = 1 THEN 0 END
    FROM (
      SELECT conversation, seq, begins,
        CAST(SUM(begins) OVER (PARTITION BY conversation ORDER BY seq) - 1 AS integer) AS turn
      FROM (
        SELECT conversation, seq, ${sql.literal(begins)} AS begins FROM (
          SELECT conversation, seq, message, LAG(message) OVER (PARTITION BY conversation ORDER BY seq) AS before
          FROM effect_chat_messages
        ) AS pairs
      ) AS marked
    ) AS numbered
    WHERE effect_chat_messages.conversation = numbered.conversation AND effect_chat_messages.seq = numbered.seq`
  yield* sql`
    UPDATE effect_chat_conversations SET updated_millis = ${millis},
      turns = (SELECT COUNT(turn_id) FROM effect_chat_messages WHERE conversation = id)`
  yield* sql`CREATE INDEX effect_chat_messages_turn ON effect_chat_messages (conversation, turn)`
  yield* sql`CREATE INDEX effect_chat_conversations_updated ON effect_chat_conversations (updated_millis, id)`
  yield* sql`CREATE INDEX effect_chat_conversations_owner ON effect_chat_conversations (owner, updated_millis, id)`
})

const migrations = { "0001_conversations": Effect.asVoid(createTables), "0002_turns": Effect.asVoid(addTurns) }

const latest = Object.keys(migrations).length

/** Creates and migrates the tables. Programs that start at the same time wait for each other. */
export const migrate: Effect.Effect<void, SqlError | Migrator.MigrationError, SqlClient.SqlClient> = Effect.gen(
  function*() {
    const sql = (yield* SqlClient.SqlClient).withoutTransforms()
    if (yield* isCurrent(sql)) return
    yield* sql.onDialectOrElse({
      pg: () => runWithLock(sql),
      sqlite: () => run,
      orElse: () => unsupported
    }).pipe(Effect.provideService(SqlClient.SqlClient, sql))
    // The Migrator succeeds without waiting if another program is migrating.
    if (!(yield* isCurrent(sql))) {
      return yield* new Migrator.MigrationError({ reason: "locked", message: "Another program is migrating" })
    }
  }
).pipe(catchSqlDefects, retryWhileInUse)

const run = Migrator.make({})({ loader: Migrator.fromRecord(migrations), table })

const unsupported = Effect.fail(
  new Migrator.MigrationError({ reason: "failed", message: "Conversations can only be stored in SQLite or PostgreSQL" })
)

/** Creates the table of the Migrator first, because the Migrator's own check for the table would abort the transaction. */
const runWithLock = (sql: SqlClient.SqlClient) =>
  sql`SELECT pg_advisory_xact_lock(hashtext(${table}))`.pipe(
    Effect.zipRight(sql`
      CREATE TABLE IF NOT EXISTS ${sql(table)} (
        migration_id integer PRIMARY KEY,
        created_at timestamptz NOT NULL DEFAULT now(),
        name text NOT NULL
      )`),
    Effect.zipRight(run),
    sql.withTransaction
  )

/** Whether all migrations are done. In this case, the program does not need the CREATE privilege. */
const isCurrent = (sql: SqlClient.SqlClient): Effect.Effect<boolean, SqlError> =>
  Effect.gen(function*() {
    const tables = yield* sql.onDialectOrElse({
      pg: () => sql`SELECT 1 WHERE to_regclass(${table}) IS NOT NULL`,
      sqlite: () => sql`SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ${table}`,
      orElse: () => Effect.succeed([])
    })
    if (tables.length === 0) return false
    const rows = yield* sql`SELECT 1 FROM ${sql(table)} WHERE migration_id >= ${latest} LIMIT 1`
    return rows.length > 0
  })
