/**
 * Conversations in tables of a SQLite or PostgreSQL database, through any `SqlClient` of `@effect/sql`:
 *
 * ```
 * SqlHistoryStore.layer.pipe(Layer.provide(PgClient.layer({ url })))
 * ```
 *
 * - `effect_chat_conversations` has a row for each conversation, `effect_chat_messages` one for each message, and
 *   `effect_chat_migrations` tells which version the tables have. They are created, and brought up to date, when the
 *   layer is built; programs that start at the same time wait for one another.
 * - A turn is one transaction. Programs may share a database: of two that write to one conversation at a time the second
 *   gets `ConflictError`. Where they only are in each other's way (SQLITE_BUSY, deadlocks, serialization failures), the
 *   transaction is tried anew for 10 seconds. In a transaction of your own, a turn is stored when yours is.
 * - Messages, summaries, usage and settings are JSON. Ids and system prompts are stored as they are, except that `\`, NUL and lone
 *   surrogates, which not every database can keep, are escaped as `\\`, `\0` and `\ud800`. An id of more than 255
 *   characters is in `long_id`, and its hash stands for it in `id`.
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
 * A store in the database of a client. Creates its tables where they are missing.
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
