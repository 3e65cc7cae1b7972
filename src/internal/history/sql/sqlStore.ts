/**
 * The history store in tables of a database: a row for each conversation, and one for each message.
 *
 * The first statement of a transaction always writes, and is the one that checks the version: of two writers the second
 * waits for the first, and then finds another version.
 */
import type { MigrationError } from "@effect/sql/Migrator"
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { ConflictError, type HistoryStoreError } from "../../../ChatError.ts"
import { ChatMessage } from "../../../ChatMessage.ts"
import { emptyUsage, Usage } from "../../../ChatResponse.ts"
import type { Service, Target } from "../../../HistoryStore.ts"
import { Summary } from "../../../HistoryWindow.ts"
import { conflict, listFailed, notDecodable, storeFailed } from "../errors.ts"
import { whenFree, withFaults } from "./faults.ts"
import * as Statements from "./statements.ts"
import { escape, fromKey, type Key, toKey, unescape } from "./text.ts"

type Fault = SqlError | MigrationError | ParseResult.ParseError

const Settings = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
const encodeSettings = Schema.encode(Settings)
const encodeSummary = Schema.encode(Schema.parseJson(Summary))
const encodeUsage = Schema.encode(Schema.parseJson(Usage))
const encodeMessages = Schema.encode(Schema.Array(Schema.parseJson(ChatMessage)))

const decode = Schema.decodeUnknown(Schema.Struct({
  version: Schema.Int,
  systemPrompt: Schema.String,
  messages: Schema.Array(Schema.parseJson(ChatMessage)),
  summary: Schema.NullOr(Schema.parseJson(Summary)),
  usage: Schema.parseJson(Usage),
  settings: Settings
}))

/** The store in this database, whose tables are there. */
export const make = (client: SqlClient): Service => {
  const sql = client.withoutTransforms()
  const statements = Statements.make(sql)

  /** Runs in a transaction, and anew where another program was in the way. */
  const write = <A>(
    id: string,
    what: string,
    f: (key: Key) => Effect.Effect<A, Fault | ConflictError>
  ): Effect.Effect<A, HistoryStoreError | ConflictError> =>
    Effect.flatMap(toKey(id), (key) => whenFree(withFaults(sql.withTransaction(f(key))))).pipe(
      Effect.mapError((error) => error instanceof ConflictError ? error : storeFailed(id, what, error))
    )

  /** What a write made, or what was there instead of what it expected. */
  const orConflict = (
    { expectedVersion, id }: Target,
    key: Key,
    made: Effect.Effect<Option.Option<number>, SqlError>
  ): Effect.Effect<number, SqlError | ConflictError> =>
    Effect.flatMap(
      made,
      Option.match({
        onNone: () =>
          Effect.flatMap(
            statements.version(key),
            (version) => Effect.fail(conflict(id, expectedVersion, version))
          ),
        onSome: Effect.succeed
      })
    )

  return {
    load: (id) =>
      Effect.gen(function*() {
        const key = yield* toKey(id)
        const [head, ...rest] = yield* Effect.mapError(
          whenFree(statements.select(key)),
          (cause) => storeFailed(id, "read", cause)
        )
        if (head === undefined || Number(head.seq) !== -1) return Option.none()
        const stored = yield* decode({
          version: Number(head.version),
          systemPrompt: unescape(head.system_prompt),
          messages: rest.map(({ message }) => message),
          summary: head.summary,
          usage: head.usage,
          settings: head.settings
        }).pipe(Effect.mapError((cause) => notDecodable(id, cause)))
        return Option.some({ id, ...stored, summary: stored.summary ?? undefined })
      }),

    append: (turn) =>
      write(turn.id, "written", (key) =>
        Effect.gen(function*() {
          const columns = { system_prompt: escape(turn.systemPrompt), usage: yield* encodeUsage(turn.usage) }
          const messages = yield* encodeMessages(turn.messages)
          const first = yield* orConflict(
            turn,
            key,
            turn.expectedVersion === 0
              ? statements.insert(key, { ...columns, settings: yield* encodeSettings(turn.settings) }, messages.length)
              : statements.update(key, turn.expectedVersion, columns, messages.length)
          )
          yield* statements.insertMessages(key, first, messages)
          return turn.expectedVersion + 1
        })),

    setSystemPrompt: (target) =>
      write(target.id, "written", (key) =>
        Effect.gen(function*() {
          const columns = { system_prompt: escape(target.systemPrompt) }
          if (target.expectedVersion > 0) {
            yield* orConflict(target, key, statements.update(key, target.expectedVersion, columns, 0))
            return target.expectedVersion + 1
          }
          const usage = yield* encodeUsage(emptyUsage)
          const settings = yield* encodeSettings(target.settings)
          yield* orConflict(target, key, statements.insert(key, { ...columns, usage, settings }, 0))
          return 1
        })),

    setSummary: (target) =>
      write(target.id, "written", (key) =>
        Effect.gen(function*() {
          if (target.expectedVersion === 0 && (yield* statements.version(key)) === 0) return 0
          const columns = { summary: yield* encodeSummary(target.summary), usage: yield* encodeUsage(target.usage) }
          yield* orConflict(target, key, statements.update(key, target.expectedVersion, columns, 0))
          return target.expectedVersion + 1
        })),

    clear: (target) =>
      write(target.id, "cleared", (key) =>
        Effect.gen(function*() {
          if (target.expectedVersion === 0 && (yield* statements.version(key)) === 0) return 0
          yield* orConflict(target, key, statements.update(key, target.expectedVersion, { summary: null }, 0))
          yield* statements.deleteMessages(key)
          return target.expectedVersion + 1
        })),

    // The row of the conversation first: who writes a message holds it.
    remove: (id) =>
      write(id, "removed", (key) => Effect.zipLeft(statements.delete(key), statements.deleteMessages(key))).pipe(
        Effect.catchTag("ConflictError", () => Effect.succeed(false))
      ),

    list: Stream.paginateChunkEffect(
      undefined as string | undefined,
      (after) =>
        Effect.mapBoth(whenFree(statements.page(after)), {
          onFailure: listFailed,
          onSuccess: (rows) => [
            Chunk.map(Chunk.unsafeFromArray(rows), ({ id, long_id }) => fromKey({ key: id, longId: long_id })),
            Option.map(Option.fromNullable(rows.at(-1)), ({ id }) => id)
          ]
        })
    )
  }
}
