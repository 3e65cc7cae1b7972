/**
 * Runs the published `HistoryStoreSuite` on every store, and on broken stores.
 */
import { FileSystem, KeyValueStore } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { PgClient } from "@effect/sql-pg"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Exit, Layer, Option, Stream } from "effect"
import { ChatMessage, ChatResponse, HistoryStore } from "effect-chat"
import { SqlHistoryStore } from "effect-chat/sql"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { HistoryStoreSuite } from "effect-chat/testing"
import * as Postgres from "./support/postgres.ts"

/** A store in a temporary folder. */
const inFolder = <A, E, R>(f: (directory: string) => Layer.Layer<A, E, R>) =>
  Layer.unwrapScoped(
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      return f(yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-store-" }))
    })
  )

const postgres = Layer.unwrapEffect(
  Effect.gen(function*() {
    const { createDatabase } = yield* Postgres.Postgres
    return Layer.provide(SqlHistoryStore.layer, PgClient.layer({ url: yield* createDatabase }))
  })
).pipe(Layer.provide(Postgres.layerShared), Layer.orDie)

const stores: Record<string, Layer.Layer<HistoryStore.HistoryStore, unknown>> = {
  "HistoryStore.layerMemory": HistoryStore.layerMemory,
  "HistoryStore.layerKeyValueStore in memory": HistoryStore.layerKeyValueStore.pipe(
    Layer.provide(KeyValueStore.layerMemory)
  ),
  "HistoryStore.layerKeyValueStore on files": inFolder((directory) =>
    HistoryStore.layerKeyValueStore.pipe(Layer.provide(KeyValueStore.layerFileSystem(directory)))
  ).pipe(Layer.provide(NodeContext.layer)),
  "HistoryStore.layerFileSystem": inFolder((directory) => HistoryStore.layerFileSystem({ directory })).pipe(
    Layer.provide(NodeContext.layer)
  ),
  "Sqlite.layer": inFolder((directory) => Sqlite.layer({ filename: `${directory}/chats.db` })).pipe(
    Layer.provide(NodeContext.layer)
  ),
  "Sqlite.layer in memory": Sqlite.layer({ filename: ":memory:" }),
  ...(Postgres.unavailable === "" ? { "SqlHistoryStore.layer on PostgreSQL": postgres } : {})
}

if (Postgres.unavailable !== "") {
  describe.skip("SqlHistoryStore.layer on PostgreSQL (skipped: no PostgreSQL is installed)")
}

for (const [name, store] of Object.entries(stores)) {
  layer(Layer.orDie(store), { excludeTestServices: true, timeout: 60_000 })(name, (it) => {
    for (const { name, test } of HistoryStoreSuite.cases) it.effect(name, () => test, 30_000)
  })
}

describe("HistoryStoreSuite", () => {
  /** The names of the cases that fail on a memory store with these operations replaced. */
  const failures = (broken: (store: HistoryStore.Service) => Partial<HistoryStore.Service>) =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const exits = yield* Effect.forEach(HistoryStoreSuite.cases, ({ test }) =>
        Effect.exit(Effect.provideService(test, HistoryStore.HistoryStore, { ...store, ...broken(store) })))
      return HistoryStoreSuite.cases.filter((_, index) =>
        Exit.isFailure(exits[index] ?? Exit.void)
      ).map(({ name }) => name)
    }).pipe(Effect.provide(HistoryStore.layerMemory))

  it.live("passes on a store with conversations, and does not change them", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const turn = {
        id: "mine",
        expectedVersion: 0,
        messages: [ChatMessage.user("Hello"), ChatMessage.assistant("Hi")],
        usage: ChatResponse.emptyUsage,
        systemPrompt: "",
        settings: {}
      }
      yield* store.append(turn)
      yield* Effect.forEach(HistoryStoreSuite.cases, ({ test }) => test, { concurrency: "unbounded", discard: true })
      yield* store.append({ ...turn, expectedVersion: 1 })
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(store.list)), ["mine"])
    }).pipe(Effect.provide(HistoryStore.layerMemory)))

  it.live("reports the expected and the actual value", () =>
    Effect.gen(function*() {
      const store = yield* HistoryStore.HistoryStore
      const [, first] = HistoryStoreSuite.cases
      assert(first !== undefined)
      const error = yield* Effect.flip(first.test).pipe(
        Effect.provideService(HistoryStore.HistoryStore, { ...store, append: () => Effect.succeed(7) })
      )
      assert(error instanceof HistoryStoreSuite.Mismatch)
      assert.deepInclude(error, { actual: 7, expected: 1, message: "The version differs from the expected value" })
    }).pipe(Effect.provide(HistoryStore.layerMemory)))

  it.live.each<[string, (store: HistoryStore.Service) => Partial<HistoryStore.Service>]>([
    ["does not check versions", (store) => ({
      append: (turn) =>
        Effect.flatMap(
          store.load(turn.id),
          (stored) =>
            store.append({
              ...turn,
              expectedVersion: Option.match(stored, { onNone: () => 0, onSome: ({ version }) => version })
            })
        )
    })],
    ["truncates texts at NUL", (store) => ({
      append: (turn) => store.append({ ...turn, systemPrompt: turn.systemPrompt.replace(/\0[^]*/, "") })
    })],
    ["lists each conversation twice", (store) => ({
      list: Stream.concat(store.list, store.list)
    })],
    ["treats ids that differ in case as equal", (store) => ({
      append: (turn) => store.append({ ...turn, id: turn.id.toLowerCase() }),
      load: (id) => store.load(id.toLowerCase())
    })],
    ["reports that it removed a conversation that did not exist", (store) => ({
      remove: (id) => Effect.as(store.remove(id), true)
    })],
    ["loses the last message of a turn", (store) => ({
      append: (turn) => store.append({ ...turn, messages: turn.messages.slice(0, -1) })
    })],
    ["replaces the settings", (store) => ({
      load: (id) => Effect.map(store.load(id), Option.map((stored) => ({ ...stored, settings: {} })))
    })]
  ])("fails on a store that %s", ([, broken]) =>
    Effect.gen(function*() {
      assert.isAbove((yield* failures(broken)).length, 0)
    }))
})
