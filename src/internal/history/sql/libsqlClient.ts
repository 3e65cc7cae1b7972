/**
 * A `SqlClient` on a SQLite file: one connection that stays, and transactions that begin with the right to write.
 *
 * `@effect/sql-libsql` opens a connection for each transaction and leaves it open, and never recovers from a BEGIN that
 * fails because another program writes. Here it fails as it should, and the next try finds everything as it was.
 *
 * A prepared statement of libsql that fails because the file is busy stays unfinished, and keeps its locks with it. So
 * the locks are taken before, by statements that are not prepared.
 */
import type * as Reactivity from "@effect/experimental/Reactivity"
import * as SqlClient from "@effect/sql/SqlClient"
import type { Connection } from "@effect/sql/SqlConnection"
import { SqlError } from "@effect/sql/SqlError"
import * as Statement from "@effect/sql/Statement"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import Database from "libsql"
import { whenFree } from "./faults.ts"

/** A client of this file, which is created if it does not exist. */
export const make = (
  filename: string
): Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const turn = Effect.unsafeMakeSemaphore(1)
    const database = yield* Effect.acquireRelease(
      attempt(() => new Database(filename)),
      (database) => turn.withPermits(1)(Effect.sync(() => close(database)))
    )
    yield* whenFree(attempt(() => database.exec("PRAGMA journal_mode = WAL")))
    yield* attempt(() => database.exec("PRAGMA foreign_keys = ON"))

    const connection = connectionOf(database)
    const acquirer = Effect.as(Effect.acquireRelease(turn.take(1), () => turn.release(1)), connection)
    return yield* SqlClient.make({
      acquirer,
      compiler: Statement.makeCompilerSqlite(),
      beginTransaction: "BEGIN IMMEDIATE",
      spanAttributes: [["db.system.name", "sqlite"]]
    })
  })

const attempt = <A>(f: () => A): Effect.Effect<A, SqlError> =>
  Effect.try({ try: f, catch: (cause) => new SqlError({ cause, message: "Failed to execute statement" }) })

/**
 * Closes the file once it has everything that is in its write-ahead log, so that the file alone is a backup. libsql leaves
 * the log to the end of the process. The log stays if another program uses the file now.
 */
const close = (database: Database.Database): void => {
  try {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // Nothing is lost: the next program that opens the file reads the log.
  } finally {
    database.close()
  }
}

/** libsql ends the process if a closed database is used. */
const assertOpen = (database: Database.Database): void => {
  if (!database.open) throw new Error("The file is closed")
}

type Parameters = ReadonlyArray<unknown>

const connectionOf = (database: Database.Database): Connection => {
  const run = (query: string, parameters: Parameters): ReadonlyArray<unknown> => {
    const statement = database.prepare(query)
    if (statement.reader) return statement.all(...parameters)
    statement.run(...parameters)
    return []
  }

  const locked = (query: string, parameters: Parameters): ReadonlyArray<unknown> => {
    assertOpen(database)
    if (database.inTransaction) return run(query, parameters)
    database.exec(/^\s*SELECT\b/i.test(query) ? "BEGIN; SELECT 1 FROM sqlite_master LIMIT 1" : "BEGIN IMMEDIATE")
    try {
      const rows = run(query, parameters)
      database.exec("COMMIT")
      return rows
    } finally {
      if (database.inTransaction) database.exec("ROLLBACK")
    }
  }

  const execute = (query: string, parameters: Parameters): Effect.Effect<ReadonlyArray<unknown>, SqlError> =>
    attempt(() => locked(query, parameters))

  return {
    execute,
    executeRaw: execute,
    executeValues: (query, parameters) =>
      Effect.map(execute(query, parameters), (rows) => rows.map((row) => Object.values(Object(row)))),
    executeUnprepared: (query) =>
      attempt(() => {
        assertOpen(database)
        // A transaction that could not begin, or that SQLite has ended, is rolled back already.
        if (query !== "ROLLBACK" || database.inTransaction) database.exec(query)
        return []
      }),
    executeStream: () => Stream.dieMessage("This client does not stream")
  }
}
