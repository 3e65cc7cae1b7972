/**
 * Conversations in a SQL database: SQLite or PostgreSQL, through any client of `@effect/sql`.
 *
 * For a SQLite file without a client of your own there is `effect-chat/sql/Sqlite`.
 *
 * @since 0.1.0
 */

/**
 * The history store on a `SqlClient`.
 *
 * @since 0.1.0
 */
export * as SqlHistoryStore from "./SqlHistoryStore.ts"
