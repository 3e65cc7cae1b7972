/**
 * A program that shares a store with other programs. Each line of its standard input is a `Job`, and each line of its output
 * the `Outcome` of a job.
 */
import { PgClient } from "@effect/sql-pg"
import { Cause, Effect, Either, Exit, Layer, Option, Redacted, Schema } from "effect"
import { ChatMessage, ChatResponse, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { createInterface } from "node:readline"

export const Job = Schema.parseJson(Schema.Struct({
  /** A SQLite file, or the address of a PostgreSQL database. */
  database: Schema.String,
  conversation: Schema.String,
  writer: Schema.String,
  turns: Schema.Int
}))

export const Outcome = Schema.parseJson(Schema.Union(
  Schema.Struct({ conflicts: Schema.Int }),
  Schema.Struct({ error: Schema.String })
))

/** The store in a database. */
export const storeOf = (database: string) =>
  database.startsWith("postgres:")
    ? Layer.provide(SqlHistoryStore.layer, PgClient.layer({ url: Redacted.make(database), maxConnections: 2 }))
    : Sqlite.layer({ filename: database })

/**
 * Adds turns to a conversation, starting with version 0 and continuing with the version of each conflict. Returns the number
 * of conflicts: of two programs that start together, at least one has a conflict.
 */
const work = ({ conversation, database, turns, writer }: typeof Job.Type) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    const version = Effect.map(
      store.load(conversation),
      Option.match({ onNone: () => 0, onSome: (stored) => stored.version })
    )
    let [conflicts, done, expectedVersion] = [0, 0, 0]
    while (done < turns) {
      const said = `${writer} ${done}`
      const outcome = yield* Effect.either(store.append({
        id: conversation,
        expectedVersion,
        messages: [ChatMessage.user(said), ChatMessage.assistant(`You said: ${said}`)],
        usage: ChatResponse.emptyUsage,
        systemPrompt: "",
        settings: {}
      }))
      if (Either.isRight(outcome)) {
        done++
        expectedVersion = outcome.right
      } else if (outcome.left._tag === "ConflictError") {
        conflicts++
        expectedVersion = yield* version
      } else {
        return yield* outcome.left
      }
    }
    return conflicts
  }).pipe(Effect.provide(storeOf(database)))

if (process.argv.includes("--work")) {
  process.stdout.write("ready\n")
  for await (const line of createInterface({ input: process.stdin })) {
    const exit = await Effect.runPromiseExit(Effect.flatMap(Schema.decode(Job)(line), work))
    const outcome = Exit.match(exit, {
      onFailure: (cause) => ({ error: Cause.pretty(cause, { renderErrorCause: true }) }),
      onSuccess: (conflicts) => ({ conflicts })
    })
    process.stdout.write(`${Schema.encodeSync(Outcome)(outcome)}\n`)
  }
}
