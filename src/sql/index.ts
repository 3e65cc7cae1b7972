/**
 * Stores conversations in a SQLite or PostgreSQL database, through any client of `@effect/sql`.
 *
 * `effect-chat/sql/Sqlite` stores them in a SQLite file and needs no client.
 *
 * @since 0.1.0
 */

/**
 * The history store on a `SqlClient`.
 *
 * @since 0.1.0
 */
export * as SqlHistoryStore from "./SqlHistoryStore.ts"
