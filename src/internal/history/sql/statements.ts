/**
 * The statements of the store. Each one that makes a version returns no row if another version is stored.
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

/** A message as its row has it. The first one of a turn has the turn's id and time. */
export interface MessageRow {
  readonly turn: number
  readonly turn_id: string | null
  readonly turn_millis: number | null
  readonly message: string
}

/** The row of a conversation. Numbers have the types of the driver. */
export interface Head {
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
export interface Row extends Head {
  readonly seq: unknown
  readonly turn: unknown
  readonly turn_id: string | null
  readonly turn_millis: unknown
  readonly message: unknown
}

/** The result of a write. */
export interface Written {
  readonly incarnation: string
  /** The `seq` of its first message. */
  readonly seq: number
  /** How many turns there are after the write. */
  readonly turns: number
}

/** A row of a page of `list`. */
export interface Listed {
  readonly id: string
  readonly long_id: string | null
}

/** Databases take some ten thousand parameters in a statement, and a message has six. */
const rowsPerInsert = 1_000

/** How many ids are read at once. */
const page = 500

const timestamp = Effect.map(DateTime.now, DateTime.formatIso)

/** The statements in one database. */
export class Statements {
  readonly #sql: SqlClient

  constructor(sql: SqlClient) {
    this.#sql = sql
  }

  /** The stored version, 0 if there is none. */
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

  /** The first version of a conversation, with this many turns and messages. */
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

  /** The version after the expected one, with its first turns and this many more turns and messages. */
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

  /** Removes the messages of all turns but the first ones. */
  deleteTurns({ key }: Key, keep: number): Effect.Effect<void, SqlError> {
    return Effect.asVoid(this.#sql`DELETE FROM effect_chat_messages WHERE conversation = ${key} AND turn >= ${keep}`)
  }

  deleteMessages({ key }: Key): Effect.Effect<void, SqlError> {
    return Effect.asVoid(this.#sql`DELETE FROM effect_chat_messages WHERE conversation = ${key}`)
  }

  /** Whether there was one. */
  delete({ key }: Key): Effect.Effect<boolean, SqlError> {
    return Effect.map(
      this.#sql`DELETE FROM effect_chat_conversations WHERE id = ${key} RETURNING version`,
      (rows) => rows.length > 0
    )
  }

  /** A conversation and the messages of its last turns: in one statement, so that nobody writes between the two. */
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

  /** The conversations after this one. */
  page(after: string | undefined): Effect.Effect<ReadonlyArray<Listed>, SqlError> {
    const sql = this.#sql
    return sql<Listed>`
      SELECT id, long_id FROM effect_chat_conversations
      ${after === undefined ? sql`` : sql`WHERE id > ${after}`}
      ORDER BY id LIMIT ${sql.literal(String(page))}`
  }
}
