/**
 * A history store in SQL tables, with a row for each conversation and a row for each message.
 *
 * The first statement of a transaction always writes the row of the conversation and checks its version. A concurrent writer
 * therefore waits for the first one, and then finds another version.
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
import { ConflictError, HistoryStoreError } from "../../../ChatError.ts"
import { ChatMessage } from "../../../ChatMessage.ts"
import { emptyUsage, Usage } from "../../../ChatResponse.ts"
import { Summary } from "../../../HistoryWindow.ts"
import type {
  Commit,
  ConversationInfo,
  ConversationQuery,
  Service,
  StoredConversation,
  StoredTurn,
  Tail,
  Version
} from "../../../StoredConversation.ts"
import * as Commits from "../commits.ts"
import type { CommitContext } from "../commits.ts"
import { conflict, listFailed, notDecodable, notStored, notVersion, storeFailed } from "../errors.ts"
import { pageSize, previewOf, toCopy, toTurn } from "../storedConversation.ts"
import { catchSqlDefects, retryWhileInUse } from "./faults.ts"
import { type Columns, type MessageRow, type Row, Statements } from "./statements.ts"
import { escape, fromKey, type Key, toKey, unescape } from "./text.ts"

type Fault = SqlError | MigrationError | ParseResult.ParseError

const Settings = Schema.parseJson(Schema.Record({ key: Schema.String, value: Schema.Unknown }))
const encodeSettings = Schema.encode(Settings)
const encodeSummary = Schema.encode(Schema.parseJson(Summary))
const encodeUsage = Schema.encode(Schema.parseJson(Usage))
const encodeMessages = Schema.encode(Schema.Array(Schema.parseJson(ChatMessage)))

const decodeMessages = Schema.decodeUnknown(Schema.Array(Schema.parseJson(ChatMessage)))
const decodePreview = Schema.decodeUnknownOption(Schema.parseJson(ChatMessage))

const decode = Schema.decodeUnknown(Schema.Struct({
  version: Schema.Int,
  systemPrompt: Schema.String,
  messages: Schema.Array(Schema.parseJson(ChatMessage)),
  summary: Schema.NullOr(Schema.parseJson(Summary)),
  usage: Schema.parseJson(Usage),
  settings: Settings
}))

const unescapeNullable = (text: string | null): string | undefined => text === null ? undefined : unescape(text)

/** The columns that a commit changes. */
const toColumns = (commit: Commit): Effect.Effect<Columns, ParseResult.ParseError> =>
  Effect.gen(function*() {
    return {
      ...(commit.systemPrompt === undefined ? {} : { system_prompt: escape(commit.systemPrompt) }),
      ...(commit.usage === undefined ? {} : { usage: yield* encodeUsage(commit.usage) }),
      ...(commit.settings === undefined ? {} : { settings: yield* encodeSettings(commit.settings) }),
      ...(commit.summary === undefined
        ? commit.keepTurns === undefined ? {} : { summary: null }
        : { summary: yield* encodeSummary(commit.summary) }),
      ...(commit.title === undefined ? {} : { title: escape(commit.title) }),
      ...(commit.owner === undefined ? {} : { owner: escape(commit.owner) })
    }
  })

/** The values of a new conversation that its commit does not set. */
const defaultColumns: Effect.Effect<Columns, ParseResult.ParseError> = Effect.map(
  encodeUsage(emptyUsage),
  (usage) => ({ system_prompt: "", usage, settings: "{}" })
)

/** Another program may have written a version that is not a whole number. */
const checkVersion = (id: string, stored: Version): Effect.Effect<Version, HistoryStoreError> =>
  Number.isSafeInteger(stored.version) ? Effect.succeed(stored) : Effect.fail(notVersion(id))

/** Makes a store. The tables must exist. */
export const make = (client: SqlClient): Service => {
  const store = new SqlStore(client.withoutTransforms())
  return Commits.toService({
    isShared: true,
    load: (id) => store.load(id),
    loadTail: (id, options) => store.loadTail(id, options?.turns),
    version: (id) => store.version(id),
    findTurn: (id, turnId) => store.findTurn(id, turnId),
    commit: (commit, context) => store.commit(commit, context),
    copy: (from, to, options) => store.copy(from, to, options?.keepTurns),
    conversations: (query) => store.conversations(query ?? {}),
    remove: (id) => store.remove(id),
    list: store.list
  })
}

class SqlStore {
  readonly #sql: SqlClient
  readonly #statements: Statements

  constructor(sql: SqlClient) {
    this.#sql = sql
    this.#statements = new Statements(sql)
  }

  load(id: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> {
    return Effect.map(
      this.loadTail(id, undefined),
      Option.map(({ firstTurn: _first, turnCount: _count, ...all }) => all)
    )
  }

  loadTail(id: string, lastTurns: number | undefined): Effect.Effect<Option.Option<Tail>, HistoryStoreError> {
    return Effect.gen(this, function*() {
      const key = yield* toKey(id)
      const rows = yield* this.#read(id, this.#statements.select(key, lastTurns))
      return yield* toTail(id, rows)
    })
  }

  version(id: string): Effect.Effect<Version, HistoryStoreError> {
    return Effect.gen(this, function*() {
      const key = yield* toKey(id)
      return yield* checkVersion(id, yield* this.#read(id, this.#statements.version(key)))
    })
  }

  findTurn(id: string, turnId: string): ReturnType<Service["findTurn"]> {
    return Effect.gen(this, function*() {
      const key = yield* toKey(id)
      const rows = yield* this.#read(id, this.#statements.turn(key, escape(turnId)))
      const [first] = rows
      if (first === undefined) return Option.none()
      const messages = yield* Effect.mapError(
        decodeMessages(rows.map(({ message }) => message)),
        (cause) => notDecodable(id, cause)
      )
      return Option.some({ index: Number(first.turn), turnId, createdAt: Number(first.turn_millis), messages })
    })
  }

  commit(commit: Commit, context: CommitContext): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return this.#write(commit.id, "written", (key) => this.#commitWith(commit, context, key))
  }

  copy(
    from: string,
    to: string,
    keepTurns: number | undefined
  ): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return Effect.gen(this, function*() {
      const stored = yield* this.loadTail(from, undefined)
      if (Option.isNone(stored)) return yield* notStored(from)
      return yield* this.commit(toCopy(stored.value, to, keepTurns), yield* Commits.makeContext)
    })
  }

  conversations(
    { before, limit, owner }: ConversationQuery
  ): Effect.Effect<ReadonlyArray<ConversationInfo>, HistoryStoreError> {
    return Effect.gen(this, function*() {
      const cursor = before === undefined
        ? undefined
        : { millis: before.updatedAt, key: (yield* toKey(before.id)).key }
      const page = this.#statements.conversations(
        owner === undefined ? undefined : escape(owner),
        cursor,
        limit ?? pageSize
      )
      return (yield* Effect.mapError(retryWhileInUse(page), listFailed)).map(toInfo)
    })
  }

  /** Deletes the row of the conversation first, because every writer locks this row first. */
  remove(id: string): Effect.Effect<boolean, HistoryStoreError> {
    return this.#write(
      id,
      "removed",
      (key) => Effect.zipLeft(this.#statements.delete(key), this.#statements.deleteMessages(key))
    ).pipe(Effect.catchTag("ConflictError", () => Effect.succeed(false)))
  }

  get list(): Stream.Stream<string, HistoryStoreError> {
    return Stream.paginateChunkEffect(
      undefined as string | undefined,
      (after) =>
        Effect.mapBoth(retryWhileInUse(this.#statements.page(after)), {
          onFailure: listFailed,
          onSuccess: (rows) => [
            Chunk.map(Chunk.unsafeFromArray(rows), ({ id, long_id }) => fromKey({ key: id, longId: long_id })),
            Option.map(Option.fromNullable(rows.at(-1)), ({ id }) => id)
          ]
        })
    )
  }

  /** Runs a transaction, and retries it while the database is in use. */
  #write<A>(
    id: string,
    done: string,
    f: (key: Key) => Effect.Effect<A, Fault | ConflictError | HistoryStoreError>
  ): Effect.Effect<A, HistoryStoreError | ConflictError> {
    return Effect.flatMap(toKey(id), (key) => retryWhileInUse(catchSqlDefects(this.#sql.withTransaction(f(key))))).pipe(
      Effect.mapError((error) =>
        error instanceof ConflictError || error instanceof HistoryStoreError ? error : storeFailed(id, done, error)
      )
    )
  }

  #read<A>(id: string, effect: Effect.Effect<A, SqlError>): Effect.Effect<A, HistoryStoreError> {
    return Effect.mapError(retryWhileInUse(effect), (cause) => storeFailed(id, "read", cause))
  }

  /** Writes the commit in the current transaction. */
  #commitWith(
    commit: Commit,
    context: CommitContext,
    key: Key
  ): Effect.Effect<Version, Fault | ConflictError | HistoryStoreError> {
    return Effect.gen(this, function*() {
      const statements = this.#statements
      const { expected, id, keepTurns, turns } = commit
      const columns = yield* toColumns(commit)
      const encoded = yield* Effect.forEach(turns, ({ messages }) => encodeMessages(messages))
      const count = encoded.reduce((sum, messages) => sum + messages.length, 0)
      const written = expected.version === 0
        ? yield* statements.insert(key, { ...yield* defaultColumns, ...columns }, context, turns.length, count)
        : yield* statements.update(key, expected, columns, context.now, keepTurns, turns.length, count)
      if (Option.isNone(written)) {
        const actual = yield* checkVersion(id, yield* statements.version(key))
        return yield* conflict(id, expected.version, actual.version)
      }
      const { incarnation, seq, turns: total } = written.value
      const first = total - turns.length
      if (keepTurns !== undefined) yield* statements.deleteTurns(key, first)
      const version = expected.version + 1
      const rows = turns.flatMap((turn, n) =>
        toMessageRows(toTurn(turn, version, first + n, 0, context), encoded[n] ?? [])
      )
      yield* statements.insertMessages(key, seq, rows)
      return { incarnation, version }
    })
  }
}

/** The rows of a turn. */
const toMessageRows = (
  { createdAt, index, turnId }: StoredTurn,
  messages: ReadonlyArray<string>
): ReadonlyArray<MessageRow> =>
  messages.map((message, position) => ({
    turn: index,
    turn_id: position === 0 ? escape(turnId) : null,
    turn_millis: position === 0 ? createdAt : null,
    message
  }))

/** Converts rows to a conversation. None if there are no rows. */
const toTail = (id: string, rows: ReadonlyArray<Row>): Effect.Effect<Option.Option<Tail>, HistoryStoreError> =>
  Effect.gen(function*() {
    const [row] = rows
    if (row === undefined) return Option.none()
    const messages = rows.filter((row) => row.message !== null)
    const stored = yield* decode({
      version: Number(row.version),
      systemPrompt: unescape(row.system_prompt),
      messages: messages.map(({ message }) => message),
      summary: row.summary,
      usage: row.usage,
      settings: row.settings
    }).pipe(Effect.mapError((cause) => notDecodable(id, cause)))
    const turns = messages.flatMap(({ turn, turn_id, turn_millis }, start): ReadonlyArray<StoredTurn> =>
      turn_id === null
        ? []
        : [{ index: Number(turn), turnId: unescape(turn_id), createdAt: Number(turn_millis), start }]
    )
    const turnCount = Number(row.turns)
    return Option.some({
      id,
      ...stored,
      summary: stored.summary ?? undefined,
      incarnation: row.incarnation,
      turns,
      title: unescapeNullable(row.title),
      owner: unescapeNullable(row.owner),
      createdAt: Number(row.created_millis),
      updatedAt: Number(row.updated_millis),
      firstTurn: turns[0]?.index ?? turnCount,
      turnCount
    })
  })

const toInfo = (row: Row): ConversationInfo => ({
  id: fromKey({ key: row.id, longId: row.long_id }),
  title: unescapeNullable(row.title),
  owner: unescapeNullable(row.owner),
  createdAt: Number(row.created_millis),
  updatedAt: Number(row.updated_millis),
  turnCount: Number(row.turns),
  preview: Option.match(decodePreview(row.message), {
    onNone: () => "",
    onSome: ({ content }) => previewOf(content)
  })
})
