/**
 * Stores conversations in a SQLite file with `libsql`, which has prebuilt binaries.
 *
 * @since 0.1.0
 */
import * as Reactivity from "@effect/experimental/Reactivity"
import type { MigrationError } from "@effect/sql/Migrator"
import { SqlClient, TransactionConnection } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Stream from "effect/Stream"
import * as HistoryStore from "../HistoryStore.ts"
import * as LibsqlClient from "../internal/history/sql/libsqlClient.ts"
import * as SqlHistoryStore from "./SqlHistoryStore.ts"

/**
 * The options of {@link layer}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The file, or `:memory:`. The file is created if it does not exist, but its folder is not. */
  readonly filename: string
}

/**
 * A store in a SQLite file. Programs on one machine can share the file.
 *
 * The file is in WAL mode, and a stored turn is on the disk. SQLite runs in the thread of the program, so a write blocks the
 * thread until the data is on the disk. See {@link SqlHistoryStore} for the tables.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { ChatManager } from "effect-chat"
 * import * as Sqlite from "effect-chat/sql/Sqlite"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.ChatManager
 *   const chat = yield* manager.getChat("ada")
 *   yield* chat.chat("Hi") // returns after the turn is stored
 *   const { turns } = yield* manager.export("ada")
 *   assert.strictEqual(turns.length, 1)
 * })
 *
 * const Manager = ChatManager.layer({ config: { baseUrl: "http://localhost/v1" } }).pipe(
 *   Layer.provide(Sqlite.layer({ filename: ":memory:" })),
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Manager))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (options: Options): Layer.Layer<HistoryStore.HistoryStore, SqlError | MigrationError> =>
  Layer.scoped(
    HistoryStore.HistoryStore,
    LibsqlClient.make(options.filename).pipe(
      Effect.flatMap((client) => Effect.provideService(SqlHistoryStore.make, SqlClient, client)),
      Effect.map(outsideTransactions)
    )
  ).pipe(Layer.provide(Reactivity.layer))

/** Prevents the store from joining a transaction of another client. `@effect/sql` has one tag for transactions of all clients. */
const outsideTransactions = (store: HistoryStore.Service): HistoryStore.Service => {
  const outside = Effect.mapInputContext(withoutTransaction)
  return {
    isShared: store.isShared,
    load: (id) => outside(store.load(id)),
    loadTail: (id, options) => outside(store.loadTail(id, options)),
    findTurn: (id, turnId) => outside(store.findTurn(id, turnId)),
    version: (id) => outside(store.version(id)),
    commit: (commit) => outside(store.commit(commit)),
    copy: (from, to, options) => outside(store.copy(from, to, options)),
    conversations: (query) => outside(store.conversations(query)),
    append: (turn) => outside(store.append(turn)),
    setSystemPrompt: (target) => outside(store.setSystemPrompt(target)),
    setSummary: (target) => outside(store.setSummary(target)),
    clear: (target) => outside(store.clear(target)),
    remove: (id) => outside(store.remove(id)),
    list: Stream.mapInputContext(store.list, withoutTransaction)
  }
}

const withoutTransaction = (context: Context.Context<never>): Context.Context<never> => {
  const services = new Map(context.unsafeMap)
  services.delete(TransactionConnection.key)
  return Context.unsafeMake(services)
}
