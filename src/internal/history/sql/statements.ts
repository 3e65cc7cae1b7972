/**
 * The SQL statements of the store. Statements that write a version return no row if another version is stored.
 */
import type { SqlClient } from "@effect/sql/SqlClient"
import type { SqlError } from "@effect/sql/SqlError"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { Commit, Version } from "../../../StoredConversation.ts"
import type { CommitContext } from "../commits.ts"
import type { Key } from "./text.ts"

/** The changed columns of a conversation. */
export interface Columns {
  readonly system_prompt?: string
  readonly usage?: string
  readonly summary?: string | null
  readonly settings?: string
  readonly title?: string
  readonly owner?: string
}

/** The row of a message. Only the first message of a turn has `turn_id` and `turn_millis`. */
export interface MessageRow {
  readonly turn: number
  readonly turn_id: string | null
  readonly turn_millis: number | null
  readonly message: string
}

/** The row of a conversation. The driver determines the types of numbers. */
export interface ConversationRow {
  readonly id: string
  readonly long_id: string | null
  readonly version: unknown
  readonly incarnation: string
  readonly turns: unknown
  readonly system_prompt: string
  readonly usage: unknown
  readonly summary: unknown
  readonly settings: unknown
  readonly title: string | null
  readonly owner: string | null
  readonly created_millis: unknown
  readonly updated_millis: unknown
}

/** A conversation with one of its messages, or with none. */
export interface Row extends ConversationRow {
  readonly seq: unknown
  readonly turn: unknown
  readonly turn_id: string | null
  readonly turn_millis: unknown
  readonly message: unknown
}

/** The result of a write. */
export interface Written {
  readonly incarnation: string
  /** The `seq` of the first written message. */
  readonly seq: number
  /** The number of turns after the write. */
  readonly turns: number
}

/** A row of `list`. */
export interface Listed {
  readonly id: string
  readonly long_id: string | null
}

/** Databases accept tens of thousands of parameters in a statement, and a message has six. */
const rowsPerInsert = 1_000

/** The number of ids in a page of `list`. */
const pageSize = 500

const timestamp = Effect.map(DateTime.now, DateTime.formatIso)

export class Statements {
  readonly #sql: SqlClient

  constructor(sql: SqlClient) {
    this.#sql = sql
  }

  /** The stored version, 0 if the conversation is not stored. */
  version({ key }: Key): Effect.Effect<Version, SqlError> {
    return Effect.map(
      this.#sql<{ version: unknown; incarnation: string }>`
        SELECT version, incarnation FROM effect_chat_conversations WHERE id = ${key}`,
      ([row]) =>
        row === undefined
          ? { incarnation: "", version: 0 }
          : { incarnation: row.incarnation, version: Number(row.version) }
    )
  }

  /** Writes the first version of a conversation. `turns` and `messages` are the numbers of its turns and messages. */
  insert(
    { key, longId }: Key,
    columns: Columns,
    { incarnation, now: millis }: CommitContext,
    turns: number,
    messages: number
  ): Effect.Effect<Option.Option<Written>, SqlError> {
    const sql = this.#sql
    return Effect.gen(function*() {
      const time = yield* timestamp
      const rows = yield* sql`
        INSERT INTO effect_chat_conversations ${
        sql.insert({
          ...columns,
          id: key,
          long_id: longId,
          incarnation,
          version: 1,
          turns,
          next_seq: messages,
          created_at: time,
          updated_at: time,
          created_millis: millis,
          updated_millis: millis
        })
      } ON CONFLICT (id) DO NOTHING RETURNING version`
      return rows.length === 0 ? Option.none() : Option.some({ incarnation, seq: 0, turns })
    })
  }

  /** Writes the version after the expected one. `turns` and `messages` are the numbers of the added turns and messages. */
  update(
    { key }: Key,
    { incarnation, version }: Commit["expected"],
    columns: Columns,
    millis: number,
    keepTurns: number | undefined,
    turns: number,
    messages: number
  ): Effect.Effect<Option.Option<Written>, SqlError> {
    const sql = this.#sql
    return Effect.gen(function*() {
      const kept = keepTurns === undefined
        ? sql`turns`
        : sql`CASE WHEN turns < ${keepTurns} THEN turns ELSE ${keepTurns} END`
      const rows = yield* sql<{ incarnation: string; next_seq: unknown; turns: unknown }>`
        UPDATE effect_chat_conversations
        SET ${sql.update({ ...columns, updated_at: yield* timestamp, updated_millis: millis })},
          version = version + 1, next_seq = next_seq + ${messages}, turns = ${kept} + ${turns}
        WHERE id = ${key} AND version = ${version}
          ${incarnation === undefined ? sql`` : sql`AND incarnation = ${incarnation}`}
        RETURNING incarnation, next_seq, turns`
      return Option.map(Option.fromNullable(rows[0]), (row) => ({
        incarnation: row.incarnation,
        seq: Number(row.next_seq) - messages,
        turns: Number(row.turns)
      }))
    })
  }

  insertMessages({ key }: Key, first: number, messages: ReadonlyArray<MessageRow>): Effect.Effect<void, SqlError> {
    const sql = this.#sql
    return Effect.gen(function*() {
      const rows = messages.map((message, index) => ({ ...message, conversation: key, seq: first + index }))
      for (let start = 0; start < rows.length; start += rowsPerInsert) {
        yield* sql`INSERT INTO effect_chat_messages ${sql.insert(rows.slice(start, start + rowsPerInsert))}`
      }
    })
  }

  /** Deletes the messages of the turns after the first `keepTurns`. */
  deleteTurns({ key }: Key, keepTurns: number): Effect.Effect<void, SqlError> {
    return Effect.asVoid(
      this.#sql`DELETE FROM effect_chat_messages WHERE conversation = ${key} AND turn >= ${keepTurns}`
    )
  }

  deleteMessages({ key }: Key): Effect.Effect<void, SqlError> {
    return Effect.asVoid(this.#sql`DELETE FROM effect_chat_messages WHERE conversation = ${key}`)
  }

  /** Returns whether the conversation existed. */
  delete({ key }: Key): Effect.Effect<boolean, SqlError> {
    return Effect.map(
      this.#sql`DELETE FROM effect_chat_conversations WHERE id = ${key} RETURNING version`,
      (rows) => rows.length > 0
    )
  }

  /** A conversation and the messages of its last turns. It is one statement, so that both are of the same version. */
  select({ key }: Key, lastTurns: number | undefined): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    const sql = this.#sql
    return sql<Row>`
      SELECT c.*, m.seq, m.turn, m.turn_id, m.turn_millis, m.message
      FROM effect_chat_conversations c LEFT JOIN effect_chat_messages m ON m.conversation = c.id
        ${lastTurns === undefined ? sql`` : sql`AND m.turn >= c.turns - ${lastTurns}`}
      WHERE c.id = ${key} ORDER BY m.seq`
  }

  /** The messages of the turn with this id. */
  turn({ key }: Key, turnId: string): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    return this.#sql<Row>`
      SELECT m.* FROM effect_chat_messages m
      WHERE m.conversation = ${key} AND m.turn = (
        SELECT MIN(turn) FROM effect_chat_messages WHERE conversation = ${key} AND turn_id = ${turnId}
      ) ORDER BY m.seq`
  }

  /** A page of conversations with their last messages, newest first. */
  conversations(
    owner: string | undefined,
    before: { readonly millis: number; readonly key: string } | undefined,
    limit: number
  ): Effect.Effect<ReadonlyArray<Row>, SqlError> {
    const sql = this.#sql
    return sql<Row>`
      SELECT c.*, (
        SELECT message FROM effect_chat_messages WHERE conversation = c.id ORDER BY seq DESC LIMIT 1
      ) AS message
      FROM effect_chat_conversations c
      WHERE 1 = 1 ${owner === undefined ? sql`` : sql`AND owner = ${owner}`} ${
      before === undefined
        ? sql``
        : sql`AND (updated_millis < ${before.millis} OR (updated_millis = ${before.millis} AND id < ${before.key}))`
    }
      ORDER BY updated_millis DESC, id DESC LIMIT ${limit}`
  }

  /** The ids of the conversations after this key. */
  page(after: string | undefined): Effect.Effect<ReadonlyArray<Listed>, SqlError> {
    const sql = this.#sql
    return sql<Listed>`
      SELECT id, long_id FROM effect_chat_conversations
      ${after === undefined ? sql`` : sql`WHERE id > ${after}`}
      ORDER BY id LIMIT ${sql.literal(String(pageSize))}`
  }
}
