/**
 * The SQL store with damaged rows, missing tables, broken connections and transactions of the program. `HistoryStore.test.ts`
 * runs the suite of all stores.
 */
import { Reactivity } from "@effect/experimental"
import { Migrator, SqlClient, Statement } from "@effect/sql"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Context, Effect, Layer, Option, Redacted, Stream } from "effect"
import { type ChatError, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import { file, turn } from "../support/databases.ts"
import * as Postgres from "../support/postgres.ts"

/** A store, and a direct connection to its database. */
class Stored extends Context.Tag("effect-chat/test/sql/SqlHistoryStore.test/Stored")<Stored, {
  readonly store: HistoryStore.Service
  readonly query: (statement: string) => Effect.Effect<ReadonlyArray<unknown>>
}>() {}

/** A time for rows that tests insert. */
const time = "CURRENT_TIMESTAMP"

const sqlite = Layer.scoped(
  Stored,
  Effect.map(file, ({ other, store }) => ({
    store,
    query: (statement: string) => Effect.sync(() => other.prepare(statement).all())
  }))
)

const postgres = Layer.scoped(
  Stored,
  Effect.gen(function*() {
    const { createDatabase } = yield* Postgres.Postgres
    const client = Context.get(
      yield* Layer.build(PgClient.layer({ url: yield* createDatabase, maxConnections: 4 })),
      PgClient.PgClient
    )
    const store = yield* Effect.provideService(SqlHistoryStore.make, SqlClient.SqlClient, client)
    return { store, query: (statement: string) => Effect.orDie(client.unsafe<object>(statement)) }
  })
).pipe(Layer.provide(Postgres.layerShared))

const databases: Record<string, Layer.Layer<Stored, unknown>> = {
  "a SQLite file": sqlite,
  ...(Postgres.unavailable === "" ? { PostgreSQL: postgres } : {})
}

for (const [name, stored] of Object.entries(databases)) {
  layer(Layer.orDie(stored), { excludeTestServices: true, timeout: 60_000 })(`The store in ${name}`, (it) => {
    const damages = {
      "a message that is not JSON":
        `UPDATE effect_chat_messages SET message = '{"role":"us' WHERE conversation = 'bad 0'`,
      "a message with an unknown role":
        `UPDATE effect_chat_messages SET message = '{"role":"x"}' WHERE conversation = 'bad 1'`,
      "invalid usage": `UPDATE effect_chat_conversations SET usage = '[]' WHERE id = 'bad 2'`,
      "invalid settings": `UPDATE effect_chat_conversations SET settings = '' WHERE id = 'bad 3'`
    }

    it.effect("reports the conversation of rows that do not decode, and can read the others", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        const ids = Object.keys(damages).map((_, index) => `bad ${index}`)
        for (const id of [...ids, "good"]) yield* store.append(turn(id, 0))
        for (const damage of Object.values(damages)) yield* query(damage)

        for (const id of ids) {
          const error = yield* Effect.flip(store.load(id))
          assert.strictEqual(error._tag, "HistoryStoreError")
          assert.strictEqual(error.conversationId, id)
          assert.include(error.message, `"${id}" does not decode`)
        }
        assert.strictEqual(yield* store.append(turn("good", 1)), 2)
        assert.isTrue(Option.isSome(yield* store.load("good")))
        assert.includeMembers(Array.from(yield* Stream.runCollect(store.list)), [...ids, "good"])
        for (const id of ids) assert.isTrue(yield* store.remove(id))
      }))

    it.effect("fails with the id of the conversation if the stored version is not an integer", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        yield* store.append(turn("versionless", 0))
        const typed = name === "PostgreSQL"
        if (!typed) yield* query("UPDATE effect_chat_conversations SET version = 'x' WHERE id = 'versionless'")
        const error = yield* Effect.flip(store.append(turn("versionless", typed ? 7 : 1)))
        assert.strictEqual(error._tag, typed ? "ConflictError" : "HistoryStoreError")
        assert.strictEqual(error.conversationId, "versionless")
        yield* store.remove("versionless")
      }))

    it.effect("stores ids and prompts as readable text", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        yield* store.append({ ...turn("user/42: 'Ada'", 0), systemPrompt: "Sois bref, s'il te plaît." })
        assert.deepStrictEqual(
          yield* query(`SELECT id, system_prompt FROM effect_chat_conversations WHERE id = 'user/42: ''Ada'''`),
          [{ id: "user/42: 'Ada'", system_prompt: "Sois bref, s'il te plaît." }]
        )
      }))

    it.effect("deletes all messages of a conversation that is removed or cleared", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        for (const id of ["removed", "cleared"]) yield* store.append(turn(id, 0))
        yield* store.remove("removed")
        yield* store.clear({ id: "cleared", expectedVersion: 1 })
        assert.deepStrictEqual(
          yield* query("SELECT seq FROM effect_chat_messages WHERE conversation IN ('removed', 'cleared')"),
          []
        )
      }))

    it.effect("lists more conversations than a page contains, each once", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        yield* query(`
          INSERT INTO effect_chat_conversations
            (id, long_id, version, system_prompt, usage, settings, next_seq, created_at, updated_at)
          WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < 1201)
          SELECT 'page ' || n, NULL, 1, '', '{}', '{}', 0, ${time}, ${time} FROM numbers`)
        const listed = Array.from(yield* Stream.runCollect(store.list)).filter((id) => id.startsWith("page "))
        assert.strictEqual(listed.length, 1_201)
        assert.strictEqual(new Set(listed).size, 1_201)
      }))

    it.effect("fails with the id of the conversation if the tables do not exist", () =>
      Effect.gen(function*() {
        const { query, store } = yield* Stored
        yield* query("ALTER TABLE effect_chat_messages RENAME TO elsewhere")
        const errors: ReadonlyArray<ChatError.ChatError> = yield* Effect.all([
          Effect.flip(store.load("lost")),
          Effect.flip(store.append(turn("lost", 0))),
          Effect.flip(store.remove("lost"))
        ])
        yield* query("ALTER TABLE elsewhere RENAME TO effect_chat_messages")

        for (const error of errors) {
          assert(error._tag === "HistoryStoreError")
          assert.strictEqual(error.conversationId, "lost")
        }
        // No part of the failed turn is stored, and it can be stored again.
        assert.isTrue(Option.isNone(yield* store.load("lost")))
        assert.strictEqual(yield* store.append(turn("lost", 0)), 1)
      }))
  })
}

describe("SqlHistoryStore.layer", () => {
  it.effect("refuses a database that is not supported", () =>
    Effect.gen(function*() {
      const client = yield* SqlClient.make({
        acquirer: Effect.dieMessage("the connection is not used"),
        compiler: Statement.makeCompiler({
          dialect: "mysql",
          placeholder: () => "?",
          onIdentifier: (name) => name,
          onCustom: () => ["", []],
          onRecordUpdate: () => ["", []]
        }),
        spanAttributes: []
      })
      const error = yield* Effect.flip(Effect.provideService(SqlHistoryStore.make, SqlClient.SqlClient, client))
      assert.instanceOf(error, Migrator.MigrationError)
      assert.include(error.message, "SQLite or PostgreSQL")
    }).pipe(Effect.provide(Reactivity.layer)))
})

if (Postgres.unavailable !== "") describe.skip("PostgreSQL (skipped: no PostgreSQL is installed)")
else {
  layer(Postgres.layerShared, { excludeTestServices: true, timeout: 60_000 })(
    "SqlHistoryStore.layer on PostgreSQL",
    (it) => {
      /** A new database with a store. */
      const fresh = (config?: PgClient.PgClientConfig) =>
        Effect.gen(function*() {
          const { createDatabase } = yield* Postgres.Postgres
          const url = yield* createDatabase
          const client = Context.get(yield* Layer.build(PgClient.layer({ url, ...config })), PgClient.PgClient)
          return { client, store: yield* Effect.provideService(SqlHistoryStore.make, SqlClient.SqlClient, client), url }
        })

      it.scoped("ignores name transformations of the client", () =>
        Effect.gen(function*() {
          const { store } = yield* fresh({
            transformQueryNames: (name) => name.toUpperCase(),
            transformResultNames: (name) => name.toUpperCase()
          })
          yield* store.append(turn("a", 0))
          assert.strictEqual(yield* store.append(turn("a", 1)), 2)
          const stored = yield* Effect.flatten(store.load("a"))
          assert.strictEqual(stored.messages.length, 4)
        }))

      it.scoped("stores a turn in a transaction of the program, only if the transaction commits", () =>
        Effect.gen(function*() {
          const { client, store } = yield* fresh()
          yield* Effect.flip(client.withTransaction(Effect.zipRight(store.append(turn("a", 0)), Effect.fail("no"))))
          assert.isTrue(Option.isNone(yield* store.load("a")))
          yield* client.withTransaction(store.append(turn("a", 0)))
          assert.isTrue(Option.isSome(yield* store.load("a")))
        }))

      it.scoped("does not use the transaction of another client for a SQLite file", () =>
        Effect.gen(function*() {
          const { client } = yield* fresh()
          const { store } = yield* file
          yield* Effect.flip(client.withTransaction(
            Effect.gen(function*() {
              yield* store.append(turn("a", 0))
              yield* Stream.runDrain(store.list)
              return yield* Effect.fail("no")
            })
          ))
          assert.isTrue(Option.isSome(yield* store.load("a")))
        }))

      it.scoped("fails with a typed error if the connection breaks during a write, and continues with another connection", () =>
        Effect.gen(function*() {
          const { client, store } = yield* fresh()
          yield* client.unsafe(`
          CREATE FUNCTION leave() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NEW; END $$;
          CREATE TRIGGER leave BEFORE INSERT ON effect_chat_messages EXECUTE FUNCTION leave();`)
          const error = yield* Effect.flip(store.append(turn("a", 0)))
          assert(error._tag === "HistoryStoreError")
          assert.strictEqual(error.conversationId, "a")
          yield* client`DROP TRIGGER leave ON effect_chat_messages`
          assert.isTrue(Option.isNone(yield* store.load("a")))
          assert.strictEqual(yield* store.append(turn("a", 0)), 1)
        }))

      it.scoped("fails with a typed error if COMMIT fails", () =>
        Effect.gen(function*() {
          const { client, store } = yield* fresh()
          yield* client.unsafe(`
          CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not today'; END $$;
          CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON effect_chat_messages DEFERRABLE INITIALLY DEFERRED
            FOR EACH ROW EXECUTE FUNCTION refuse();`)
          const error = yield* Effect.flip(store.append(turn("a", 0)))
          assert(error._tag === "HistoryStoreError")
          assert.include(error.message, "not today")
          assert.isTrue(Option.isNone(yield* store.load("a")))
        }))

      it.scoped("never loses a turn if the isolation level is serializable", () =>
        Effect.gen(function*() {
          const { client, url } = yield* fresh()
          const [{ name } = { name: "" }] = yield* client<{ name: string }>`SELECT current_database() AS name`
          yield* client.unsafe(`ALTER DATABASE ${name} SET default_transaction_isolation = 'serializable'`)
          const store = Context.get(
            yield* Layer.build(Layer.provide(SqlHistoryStore.layer, PgClient.layer({ url }))),
            HistoryStore.HistoryStore
          )
          const outcomes = yield* Effect.all(
            Array.from({ length: 20 }, (_, index) => Effect.either(store.append(turn("a", 0, `writer ${index}`)))),
            { concurrency: "unbounded" }
          )
          const lost = outcomes.flatMap((outcome) => outcome._tag === "Left" ? [outcome.left._tag] : [])
          assert.deepStrictEqual(lost, Array.from({ length: 19 }, () => "ConflictError" as const))
        }), 30_000)

      it.scoped("starts without the CREATE privilege if the tables exist", () =>
        Effect.gen(function*() {
          const { client, url } = yield* fresh()
          yield* client.unsafe(`
          REVOKE CREATE ON SCHEMA public FROM PUBLIC;
          CREATE ROLE guest LOGIN;
          GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO guest;`)
          const guest = Redacted.make(Redacted.value(url).replace("//test@", "//guest@"))
          const version = yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.append(turn("a", 0))).pipe(
            Effect.provide(Layer.provide(SqlHistoryStore.layer, PgClient.layer({ url: guest })))
          )
          assert.strictEqual(version, 1)
        }))

      it.scoped("allows many programs to start at the same time with an empty database", () =>
        Effect.gen(function*() {
          const { createDatabase } = yield* Postgres.Postgres
          const url = yield* createDatabase
          const start = Effect.provide(
            SqlHistoryStore.make,
            PgClient.layer({ url, maxConnections: 1 })
          )
          const stores = yield* Effect.replicateEffect(start, 20, { concurrency: "unbounded" })
          assert.strictEqual(stores.length, 20)
        }), 30_000)
    }
  )
}
