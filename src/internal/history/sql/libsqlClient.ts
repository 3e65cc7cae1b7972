/**
 * A `SqlClient` for a SQLite file. It has one connection, and its transactions acquire the write lock when they begin.
 *
 * `@effect/sql-libsql` is not used: it opens a connection for each transaction without closing it, and does not recover if
 * BEGIN fails because another program writes. In this client, a failed BEGIN can be retried.
 *
 * A prepared statement of libsql that fails because the file is busy is not finalized, and still holds its locks. Therefore
 * statements that are not prepared acquire the locks first.
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
import { retryWhileInUse } from "./faults.ts"

/** Makes a client. Creates the file if it does not exist. */
export const make = (
  filename: string
): Effect.Effect<SqlClient.SqlClient, SqlError, Scope.Scope | Reactivity.Reactivity> =>
  Effect.gen(function*() {
    const semaphore = Effect.unsafeMakeSemaphore(1)
    const database = yield* Effect.acquireRelease(
      attempt(() => new Database(filename)),
      (database) => semaphore.withPermits(1)(Effect.sync(() => close(database)))
    )
    yield* retryWhileInUse(attempt(() => database.exec("PRAGMA journal_mode = WAL")))
    yield* attempt(() => database.exec("PRAGMA foreign_keys = ON"))

    const connection = connectionOf(database)
    const acquirer = Effect.as(Effect.acquireRelease(semaphore.take(1), () => semaphore.release(1)), connection)
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
 * Closes the file after it contains the data of its write-ahead log, so that a copy of the file is a complete backup. libsql
 * would write the log only at the end of the process. The log remains if another program uses the file.
 */
const close = (database: Database.Database): void => {
  try {
    database.exec("PRAGMA wal_checkpoint(TRUNCATE)")
  } catch {
    // No data is lost, because the next program that opens the file reads the log.
  } finally {
    database.close()
  }
}

/** libsql exits the process if a closed database is used. */
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

  const runLocked = (query: string, parameters: Parameters): ReadonlyArray<unknown> => {
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
    attempt(() => runLocked(query, parameters))

  return {
    execute,
    executeRaw: execute,
    executeValues: (query, parameters) =>
      Effect.map(execute(query, parameters), (rows) => rows.map((row) => Object.values(Object(row)))),
    executeUnprepared: (query) =>
      attempt(() => {
        assertOpen(database)
        // A transaction that could not begin or that SQLite has ended cannot be rolled back again.
        if (query !== "ROLLBACK" || database.inTransaction) database.exec(query)
        return []
      }),
    executeStream: () => Stream.dieMessage("This client does not stream")
  }
}
