/**
 * How many turns a second the stores take, one after another and from 16 conversations at once, and what that is of the
 * same SQL written by hand, over the same drivers.
 *
 * A turn is two messages of 600 characters in all, and a conversation has 20 of them. The two take turns in rounds of half
 * a second, and the medians of the rounds are printed, with their ratio. PostgreSQL runs on this machine and does not
 * sync its disk; files and SQLite do.
 * Run with `npm run bench:stores -- [ROUNDS]`.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeRuntime } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { Console, Context, Effect, Layer, Redacted } from "effect"
import { ChatMessage, ChatResponse, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"
import Database from "libsql"
import { createRequire } from "node:module"
import * as Postgres from "../test/support/postgres.ts"

const turnsPerConversation = 20
const atOnce = 16
const roundMillis = 500

const messages = [ChatMessage.user("What is it? ".repeat(10)), ChatMessage.assistant("It is this. ".repeat(40))]
const settings = { baseUrl: "http://127.0.0.1:9/v1", model: "deepseek-chat", temperature: 0.7, maxTokens: 8192 }

/** Stores turns until the time is over, and gives how many. */
type Subject = (line: string, until: number) => Promise<number>

const turnOf = (line: string, n: number): HistoryStore.Append => ({
  id: `${line}-${Math.floor(n / turnsPerConversation)}`,
  expectedVersion: n % turnsPerConversation,
  messages,
  usage: ChatResponse.emptyUsage,
  systemPrompt: "Be brief.",
  settings
})

const ofStore = (store: HistoryStore.Service): Subject => (line, until) =>
  Effect.runPromise(Effect.gen(function*() {
    let n = 0
    while (performance.now() < until) yield* store.append(turnOf(line, n++))
    return n
  }))

/** One turn by hand, on whatever driver. */
const ofHand = (append: (turn: HistoryStore.Append) => Promise<void>): Subject => async (line, until) => {
  let n = 0
  while (performance.now() < until) await append(turnOf(line, n++))
  return n
}

const insertConversation = (parameters: ReadonlyArray<string>) => `
  INSERT INTO effect_chat_conversations
    (system_prompt, usage, settings, id, long_id, version, next_seq, created_at, updated_at)
  VALUES (${parameters.join(", ")}) ON CONFLICT (id) DO NOTHING RETURNING version`

const updateConversation = ([prompt, usage, time, messages, id, version]: ReadonlyArray<string>) => `
  UPDATE effect_chat_conversations
  SET system_prompt = ${prompt}, usage = ${usage}, updated_at = ${time},
    version = version + 1, next_seq = next_seq + ${messages}
  WHERE id = ${id} AND version = ${version}
  RETURNING next_seq`

const insertMessages = ([a, b, c, d, e, f]: ReadonlyArray<string>) => `
  INSERT INTO effect_chat_messages (conversation, seq, message) VALUES (${a}, ${b}, ${c}), (${d}, ${e}, ${f})`

/** The values of these statements, in their order. */
const valuesOf = ({ expectedVersion, id, messages, settings, systemPrompt, usage }: HistoryStore.Append) => {
  const time = new Date().toISOString()
  const json = JSON.stringify(usage)
  const first = expectedVersion * messages.length
  return {
    isNew: expectedVersion === 0,
    insert: [systemPrompt, json, JSON.stringify(settings), id, null, 1, messages.length, time, time],
    update: [systemPrompt, json, time, messages.length, id, expectedVersion],
    messages: messages.flatMap((message, index) => [id, first + index, JSON.stringify(message)])
  }
}

const numbered = (count: number) => Array.from({ length: count }, (_, n) => `$${n + 1}`)
const unnumbered = (count: number) => Array.from({ length: count }, () => "?")

const sqliteByHand = (database: Database.Database): Subject => {
  database.exec("PRAGMA journal_mode = WAL")
  database.exec("PRAGMA foreign_keys = ON")
  const insert = database.prepare(insertConversation(unnumbered(9)))
  const update = database.prepare(updateConversation(unnumbered(6)))
  const add = database.prepare(insertMessages(unnumbered(6)))
  return ofHand(async (turn) => {
    const values = valuesOf(turn)
    database.exec("BEGIN IMMEDIATE")
    const rows = values.isNew ? insert.all(...values.insert) : update.all(...values.update)
    if (rows.length === 0) throw new Error("conflict")
    add.run(...values.messages)
    database.exec("COMMIT")
  })
}

/** What is used here of `pg`, which has no types. */
interface Pool {
  readonly connect: () => Promise<{
    readonly query: (
      text: string,
      values?: ReadonlyArray<unknown>
    ) => Promise<{ readonly rows: ReadonlyArray<unknown> }>
    readonly release: () => void
  }>
  readonly end: () => Promise<void>
  readonly on: (event: "error", listener: () => void) => void
}
const { Pool }: {
  readonly Pool: new(options: { readonly connectionString: string; readonly max: number }) => Pool
} = createRequire(import.meta.url)("pg")

const postgresByHand = (pool: Pool): Subject => {
  const insert = insertConversation(numbered(9))
  const update = updateConversation(numbered(6))
  const add = insertMessages(numbered(6))
  return ofHand(async (turn) => {
    const values = valuesOf(turn)
    const client = await pool.connect()
    try {
      await client.query("BEGIN")
      const { rows } = await (values.isNew ? client.query(insert, values.insert) : client.query(update, values.update))
      if (rows.length === 0) throw new Error("conflict")
      await client.query(add, values.messages)
      await client.query("COMMIT")
    } finally {
      client.release()
    }
  })
}

/** A store in a layer that lives as long as the scope. */
const opened = <E, R>(layer: Layer.Layer<HistoryStore.HistoryStore, E, R>) =>
  Effect.map(Layer.build(layer), (context) => Context.get(context, HistoryStore.HistoryStore))

const subjects = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const folder = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-bench-" })
  const byHand = `${folder}/by-hand`
  // The tables are the same.
  yield* Effect.scoped(opened(Sqlite.layer({ filename: byHand })))
  const database = yield* Effect.acquireRelease(
    Effect.sync(() => new Database(byHand)),
    (database) => Effect.sync(() => database.close())
  )
  const pairs: Array<Pair> = [
    { name: "memory", store: yield* opened(HistoryStore.layerMemory) },
    { name: "file", store: yield* opened(HistoryStore.layerFileSystem({ directory: `${folder}/files` })) },
    {
      name: "SQLite",
      store: yield* opened(Sqlite.layer({ filename: `${folder}/sqlite` })),
      byHand: sqliteByHand(database),
      warmUp: yield* opened(Sqlite.layer({ filename: ":memory:" }))
    }
  ]
  if (Postgres.unavailable !== "") return pairs
  const { createDatabase } = Context.get(yield* Layer.build(Postgres.layer), Postgres.Postgres)
  const url = yield* createDatabase
  const client = PgClient.layer({ url, maxConnections: atOnce })
  const store = yield* opened(Layer.provide(SqlHistoryStore.layer, client))
  const pool = yield* Effect.acquireRelease(
    Effect.sync(() => new Pool({ connectionString: Redacted.value(url), max: atOnce })),
    (pool) => Effect.promise(() => pool.end())
  )
  // Connections that the server closes before the pool does.
  pool.on("error", () => {})
  return [...pairs, { name: "PostgreSQL", store, byHand: postgresByHand(pool) }]
})

/** A store, and what does the same without it. */
interface Pair {
  readonly name: string
  readonly store: HistoryStore.Service
  readonly byHand?: Subject
  /** The same code without a disk. */
  readonly warmUp?: HistoryStore.Service
}

/** So long the code is run before it is measured: it is compiled by then. */
const warmUpMillis = 3000

let lines = 0

/** What a round came to. */
interface Round {
  readonly perSecond: number
  /** Microseconds of this program's CPU for each turn. */
  readonly cpu: number
}

const measure = async (subject: Subject, concurrency: number, millis = roundMillis): Promise<Round> => {
  const begun = performance.now()
  const before = process.cpuUsage()
  const counts = await Promise.all(
    Array.from({ length: concurrency }, () => subject(`line ${lines++}`, begun + millis))
  )
  const turns = counts.reduce((a, b) => a + b)
  const { system, user } = process.cpuUsage(before)
  return { perSecond: turns / (performance.now() - begun) * 1000, cpu: (system + user) / turns }
}

const median = (values: ReadonlyArray<number>): number =>
  Array.from(values).sort((a, b) => a - b)[Math.floor(values.length / 2)] ?? NaN

const compare = async ({ byHand, name, store, warmUp = store }: Pair, rounds: number) => {
  const row: Record<string, string> = { store: name }
  await measure(ofStore(warmUp), atOnce, warmUpMillis)
  if (byHand !== undefined) await measure(byHand, atOnce, warmUpMillis)
  for (const concurrency of [1, atOnce]) {
    const own: Array<Round> = []
    const others: Array<Round> = []
    for (let round = 0; round < rounds; round++) {
      own.push(await measure(ofStore(store), concurrency))
      if (byHand !== undefined) others.push(await measure(byHand, concurrency))
    }
    const cell = (pick: (round: Round) => number): string => {
      const value = median(own.map(pick))
      const beside = median(others.map(pick))
      const ratio = byHand === undefined ? "" : ` (${beside.toFixed(0)} by hand: ${(value / beside).toFixed(2)}×)`
      return `${value.toFixed(0)}${ratio}`
    }
    row[`turns/s, ${concurrency} at once`] = cell(({ perSecond }) => perSecond)
    row[`CPU µs a turn, ${concurrency} at once`] = cell(({ cpu }) => cpu)
  }
  return row
}

const program = Effect.gen(function*() {
  const rounds = Number(process.argv[2] ?? 7)
  if (Postgres.unavailable !== "") yield* Console.log(`PostgreSQL${Postgres.unavailable}`)
  const rows = []
  for (const pair of yield* subjects) rows.push(yield* Effect.promise(() => compare(pair, rounds)))
  yield* Console.table(rows)
})

program.pipe(Effect.scoped, Effect.provide(NodeContext.layer), NodeRuntime.runMain)
