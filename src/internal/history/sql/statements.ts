/**
 * The statements of the store. Each that makes a version returns nothing where another one is stored.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Key } from "./text.ts"

/** What changes of a conversation, as its row has it. */
export interface Columns {
  readonly system_prompt?: string
  readonly usage?: string
  readonly summary?: string | null
  readonly settings?: string
}

/** A conversation has the `seq` -1 and no message; a message has nothing else. Numbers come as the driver has them. */
export interface Row {
  readonly seq: unknown
  readonly version: unknown
  readonly system_prompt: string
  readonly usage: unknown
  readonly summary: unknown
  readonly settings: unknown
  readonly message: unknown
}

/** What a page of `list` has. */
export interface Listed {
  readonly id: string
  readonly long_id: string | null
}

/** Databases take some ten thousand parameters in a statement, and a message has three. */
const rowsPerInsert = 1_000

/** How many ids are read at once. */
const page = 500

export type Statements = ReturnType<typeof make>

export const make = (sql: SqlClient) => {
  const now = Effect.map(DateTime.now, DateTime.formatIso)
  return {
    /** The version that is stored, 0 where none is. */
    version: ({ key }: Key): Effect.Effect<number, SqlError> =>
      Effect.map(
        sql<{ version: unknown }>`SELECT version FROM effect_chat_conversations WHERE id = ${key}`,
        ([row]) => row === undefined ? 0 : Number(row.version)
      ),

    /** The first version of a conversation. Gives the `seq` of its first message. */
    insert: (
      { key, longId }: Key,
      columns: Required<Omit<Columns, "summary">>,
      messages: number
    ): Effect.Effect<Option.Option<number>, SqlError> =>
      Effect.gen(function*() {
        const time = yield* now
        const rows = yield* sql`
          INSERT INTO effect_chat_conversations ${
          sql.insert({
            ...columns,
            id: key,
            long_id: longId,
            version: 1,
            next_seq: messages,
            created_at: time,
            updated_at: time
          })
        } ON CONFLICT (id) DO NOTHING RETURNING version`
        return rows.length === 0 ? Option.none() : Option.some(0)
      }),

    /** The version after `version`. Gives the `seq` of the first of its new messages. */
    update: (
      { key }: Key,
      version: number,
      columns: Columns,
      messages: number
    ): Effect.Effect<Option.Option<number>, SqlError> =>
      Effect.gen(function*() {
        const rows = yield* sql<{ next_seq: unknown }>`
          UPDATE effect_chat_conversations
          SET ${sql.update({ ...columns, updated_at: yield* now })},
            version = version + 1, next_seq = next_seq + ${messages}
          WHERE id = ${key} AND version = ${version}
          RETURNING next_seq`
        return Option.map(Option.fromNullable(rows[0]), (row) => Number(row.next_seq) - messages)
      }),

    insertMessages: ({ key }: Key, first: number, messages: ReadonlyArray<string>): Effect.Effect<void, SqlError> =>
      Effect.gen(function*() {
        const rows = messages.map((message, index) => ({ conversation: key, seq: first + index, message }))
        for (let start = 0; start < rows.length; start += rowsPerInsert) {
          yield* sql`INSERT INTO effect_chat_messages ${sql.insert(rows.slice(start, start + rowsPerInsert))}`
        }
      }),

    deleteMessages: ({ key }: Key): Effect.Effect<void, SqlError> =>
      Effect.asVoid(sql`DELETE FROM effect_chat_messages WHERE conversation = ${key}`),

    /** Whether there was one. */
    delete: ({ key }: Key): Effect.Effect<boolean, SqlError> =>
      Effect.map(
        sql`DELETE FROM effect_chat_conversations WHERE id = ${key} RETURNING version`,
        (rows) => rows.length > 0
      ),

    /** A conversation and its messages: in one statement, so that nobody writes between the two. */
    select: ({ key }: Key): Effect.Effect<ReadonlyArray<Row>, SqlError> =>
      sql<Row>`
        SELECT -1 AS seq, version, system_prompt, usage, summary, settings, NULL AS message
        FROM effect_chat_conversations WHERE id = ${key}
        UNION ALL
        SELECT seq, NULL, NULL, NULL, NULL, NULL, message
        FROM effect_chat_messages WHERE conversation = ${key}
        ORDER BY seq`,

    /** The conversations after this one. */
    page: (after: string | undefined): Effect.Effect<ReadonlyArray<Listed>, SqlError> =>
      sql<Listed>`
        SELECT id, long_id FROM effect_chat_conversations
        ${after === undefined ? sql`` : sql`WHERE id > ${after}`}
        ORDER BY id LIMIT ${sql.literal(String(page))}`
  }
}
