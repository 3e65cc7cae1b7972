/**
 * Handles errors of databases: retries when the database is in use, and converts defects of `@effect/sql` to errors.
 */
import { MigrationError } from "@effect/sql/Migrator"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"

/** How long an operation is retried while another program uses the same data. */
const retryDuration = "10 seconds"

const retries = Schedule.exponential("1 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("50 millis")),
  Schedule.jittered,
  Schedule.upTo(retryDuration)
)

/** Retries while the database is in use. A wait in a driver of SQLite would block the program, because it is synchronous. */
export const retryWhileInUse = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { schedule: retries, while: isInUse })

/** The codes of serialization failures and deadlocks of PostgreSQL, and of BUSY and LOCKED of SQLite with their variants. */
const inUseCodes = /^(?:40001|40P01|SQLITE_BUSY\w*|SQLITE_LOCKED\w*)$/

/** Whether the operation failed only because another transaction used the same data. */
const isInUse = (error: unknown): boolean => {
  if (error instanceof MigrationError) return error.reason === "locked" || isInUse(error.cause)
  return error instanceof SqlError && codesOf(error.cause).some((code) => inUseCodes.test(code))
}

const codesOf = (cause: unknown): ReadonlyArray<string> => {
  if (!Predicate.isRecord(cause)) return []
  const { cause: inner, code } = cause
  return typeof code === "string" ? [code, ...codesOf(inner)] : codesOf(inner)
}

/** Converts defects to errors. `@effect/sql` dies if BEGIN, COMMIT, ROLLBACK or a migration fails. */
export const catchSqlDefects = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError | MigrationError, R> =>
  Effect.catchSomeDefect(effect, (defect) =>
    defect instanceof SqlError || defect instanceof MigrationError
      ? Option.some(Effect.fail(defect))
      : Option.none())
