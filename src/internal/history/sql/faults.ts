/**
 * What goes wrong between a program and its database: what a second try helps, and what `@effect/sql` throws.
 */
import { MigrationError } from "@effect/sql/Migrator"
import { SqlError } from "@effect/sql/SqlError"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Predicate from "effect/Predicate"
import * as Schedule from "effect/Schedule"

/** How long a write is retried while another program uses the same data. */
const patience = "10 seconds"

const retries = Schedule.exponential("1 millis", 1.5).pipe(
  Schedule.union(Schedule.spaced("50 millis")),
  Schedule.jittered,
  Schedule.upTo(patience)
)

/** Waits until the database is free. Waiting in the driver would stop the whole program: SQLite's are synchronous. */
export const whenFree = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.retry(effect, { schedule: retries, while: isInUse })

/** PostgreSQL: serialization failure, deadlock. SQLite: BUSY and LOCKED, each with kinds of its own. */
const inUse = /^(?:40001|40P01|SQLITE_BUSY\w*|SQLITE_LOCKED\w*)$/

/** Whether a look that somebody else had at the same data is all that went wrong. */
const isInUse = (error: unknown): boolean => {
  if (error instanceof MigrationError) return error.reason === "locked" || isInUse(error.cause)
  return error instanceof SqlError && codesOf(error.cause).some((code) => inUse.test(code))
}

const codesOf = (cause: unknown): ReadonlyArray<string> => {
  if (!Predicate.isRecord(cause)) return []
  const { cause: beneath, code } = cause
  return typeof code === "string" ? [code, ...codesOf(beneath)] : codesOf(beneath)
}

/** A BEGIN, COMMIT or ROLLBACK that fails, and a migration that does, are defects in `@effect/sql`: here they are not. */
export const withFaults = <A, E, R>(
  effect: Effect.Effect<A, E, R>
): Effect.Effect<A, E | SqlError | MigrationError, R> =>
  Effect.catchSomeDefect(effect, (defect) =>
    defect instanceof SqlError || defect instanceof MigrationError
      ? Option.some(Effect.fail(defect))
      : Option.none())
