/**
 * Stores conversations in tables of a SQLite or PostgreSQL database, through any `SqlClient` of `@effect/sql`.
 *
 * **Details**
 *
 * - `effect_chat_conversations` has a row for each conversation, `effect_chat_messages` has a row for each message, and
 *   `effect_chat_migrations` has the version of the tables. The layer creates and migrates the tables when it is built;
 *   programs that start at the same time wait for each other.
 * - A turn is one transaction. Programs can share a database: if two write to one conversation at the same time, the second
 *   fails with `ConflictError`. After SQLITE_BUSY, deadlocks and serialization failures, the transaction is retried for 10
 *   seconds. Within a transaction of the program, a turn is stored when that transaction commits.
 * - Messages, summaries, usage and settings are JSON. Ids and system prompts are stored as text. `\`, NUL and lone surrogates
 *   are escaped as `\\`, `\0` and `\ud800`, because not every database can store them. An id of more than 255 characters is
 *   stored in `long_id`, and its hash in `id`.
 *
 * @since 0.1.0
 */
import type { MigrationError } from "@effect/sql/Migrator"
import { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as HistoryStore from "../HistoryStore.ts"
import { migrate } from "../internal/history/sql/migrations.ts"
import * as SqlStore from "../internal/history/sql/sqlStore.ts"

/**
 * Makes a store in the database of the client. Creates the tables if they do not exist.
 *
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Effect, Redacted } from "effect"
 * import { SqlHistoryStore } from "effect-chat/sql"
 *
 * export const program = Effect.gen(function*() {
 *   const store = yield* SqlHistoryStore.make
 *   return yield* store.conversations({ owner: "ada" })
 * }).pipe(Effect.provide(PgClient.layer({ url: Redacted.make("postgres://localhost/chats") })))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<HistoryStore.Service, SqlError | MigrationError, SqlClient> = Effect.zipRight(
  migrate,
  Effect.map(SqlClient, SqlStore.make)
)

/**
 * {@link make} as a layer.
 *
 * @example
 * import { PgClient } from "@effect/sql-pg"
 * import { Layer, Redacted } from "effect"
 * import { ChatManager, Provider } from "effect-chat"
 * import { SqlHistoryStore } from "effect-chat/sql"
 *
 * export const Manager = ChatManager.layer({ config: { ...Provider.ollama, model: "qwen3" } }).pipe(
 *   Layer.provide(SqlHistoryStore.layer),
 *   Layer.provide(PgClient.layer({ url: Redacted.make("postgres://localhost/chats") }))
 * )
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<HistoryStore.HistoryStore, SqlError | MigrationError, SqlClient> = Layer.effect(
  HistoryStore.HistoryStore,
  make
)
