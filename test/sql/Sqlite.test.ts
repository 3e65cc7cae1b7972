/**
 * The SQLite store with a file that other programs also use.
 */
import { SqlError } from "@effect/sql"
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Layer, Option, Schedule, TestClock } from "effect"
import { HistoryStore } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import Database from "libsql"
import { copyFileSync } from "node:fs"
import { file, folder, turn } from "../support/databases.ts"

describe("Sqlite.layer", () => {
  it.scopedLive("waits for a writing program without blocking its own program, and continues", () =>
    Effect.gen(function*() {
      const { other, store } = yield* file
      other.exec("BEGIN IMMEDIATE")
      const write = yield* Effect.fork(store.append(turn("a", 0)))
      const read = yield* Effect.repeat(
        store.load("a"),
        Schedule.intersect(Schedule.spaced("2 millis"), Schedule.recurs(20))
      )
      assert.isDefined(read)
      assert.isTrue(Option.isNone(yield* Fiber.poll(write)))
      other.exec("COMMIT")

      assert.strictEqual(yield* Fiber.join(write), 1)
      // Neither program holds a lock.
      other.exec("BEGIN IMMEDIATE")
      other.exec("ROLLBACK")
      assert.strictEqual(yield* store.append(turn("a", 1)), 2)
    }))

  it.scoped("fails with a typed error after ten seconds, and works again as soon as the file is unlocked", () =>
    Effect.gen(function*() {
      const { other, store } = yield* file
      other.exec("BEGIN IMMEDIATE")
      const write = yield* Effect.fork(Effect.flip(store.append(turn("a", 0))))
      yield* Effect.repeatN(Effect.zipRight(TestClock.adjust("100 millis"), Effect.yieldNow()), 110)

      const error = yield* Fiber.join(write)
      assert(error._tag === "HistoryStoreError")
      assert.strictEqual(error.conversationId, "a")
      assert.match(error.message, /locked/)
      other.exec("ROLLBACK")
      assert.strictEqual(yield* store.append(turn("a", 0)), 1)
    }))

  it.scopedLive("fails with a typed error after its scope is closed", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const store = yield* Effect.provide(HistoryStore.HistoryStore, Sqlite.layer({ filename }))
      assert.strictEqual((yield* Effect.flip(store.load("a")))._tag, "HistoryStoreError")
      assert.strictEqual((yield* Effect.flip(store.append(turn("a", 0))))._tag, "HistoryStoreError")
    }))

  it.scoped("stores times of the Clock", () =>
    Effect.gen(function*() {
      const { other, store } = yield* file
      yield* TestClock.setTime(Duration.toMillis("1 day"))
      yield* store.append(turn("a", 0))
      yield* TestClock.adjust("1 hour")
      yield* store.append(turn("a", 1))
      assert.deepStrictEqual(other.prepare("SELECT created_at, updated_at FROM effect_chat_conversations").all(), [
        { created_at: "1970-01-02T00:00:00.000Z", updated_at: "1970-01-02T01:00:00.000Z" }
      ])
    }))

  it.scoped("reads the stored conversations after a restart, and uses WAL mode", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const store = Effect.provide(
        Effect.flatMap(HistoryStore.HistoryStore, (store) => store.append(turn("a", 0))),
        Sqlite.layer({ filename })
      )
      yield* store
      const stored = yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load("a")).pipe(
        Effect.flatten,
        Effect.provide(Sqlite.layer({ filename }))
      )
      assert.strictEqual(stored.version, 1)
      const other = new Database(filename)
      assert.deepStrictEqual(other.prepare("PRAGMA journal_mode").all(), [{ journal_mode: "wal" }])
      other.close()
    }))

  it.scoped("stores everything in the file itself when its scope closes, so that a copy of the file is a backup", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const copy = `${yield* folder}/copy.db`
      const use = <A, E>(filename: string, f: (store: HistoryStore.Service) => Effect.Effect<A, E>) =>
        Effect.provide(Effect.flatMap(HistoryStore.HistoryStore, f), Sqlite.layer({ filename }))
      yield* use(filename, (store) => store.append(turn("a", 0)))
      copyFileSync(filename, copy)

      assert.isTrue(Option.isSome(yield* use(copy, (store) => store.load("a"))))
    }))

  it.scopedLive("closes immediately while another program reads", () =>
    Effect.gen(function*() {
      const filename = `${yield* folder}/chats.db`
      const store = Effect.flatMap(HistoryStore.HistoryStore, (store) => store.append(turn("a", 0)))
      const other = new Database(filename)
      other.exec("PRAGMA journal_mode = WAL")
      yield* Effect.provide(
        Effect.zipRight(store, Effect.sync(() => other.exec("BEGIN; SELECT * FROM sqlite_master"))),
        Sqlite.layer({ filename })
      ).pipe(Effect.timeout("2 seconds"))
      other.exec("COMMIT")

      assert.lengthOf(other.prepare("SELECT * FROM effect_chat_conversations").all(), 1)
      other.close()
    }))

  it.scoped("fails if the folder does not exist", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(Layer.build(Sqlite.layer({ filename: "/nowhere/at/all/chats.db" })))
      assert.instanceOf(error, SqlError.SqlError)
    }))
})
