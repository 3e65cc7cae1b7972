/**
 * Programs that share a database: real processes, on a SQLite file and on PostgreSQL.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, layer } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Schema } from "effect"
import { HistoryStore } from "effect-chat"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { createInterface } from "node:readline"
import * as Postgres from "../support/postgres.ts"
import { Job, Outcome, storeOf } from "../support/storeWorker.ts"

const program = new URL("../support/storeWorker.ts", import.meta.url).pathname

/** A process that runs jobs one after another. */
const worker = Effect.acquireRelease(
  Effect.promise(async () => {
    const child = spawn(process.execPath, ["--import", "tsx", program, "--work"], {
      stdio: ["pipe", "pipe", "inherit"]
    })
    const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
    assert.strictEqual((await lines.next()).value, "ready")
    return {
      child,
      work: (job: typeof Job.Type) =>
        Effect.gen(function*() {
          const line = yield* Schema.encode(Job)(job)
          const { value } = yield* Effect.promise(() => {
            child.stdin.write(`${line}\n`)
            return lines.next()
          })
          return yield* Schema.decode(Outcome)(String(value))
        }).pipe(Effect.orDie)
    }
  }),
  ({ child }) =>
    Effect.promise(async () => {
      child.stdin.end()
      if (child.exitCode === null) await once(child, "exit")
    })
)

/** Makes new, empty databases. */
class Databases extends Context.Tag("effect-chat/test/HistoryStore/processes.slow.test/Databases")<Databases, {
  readonly create: Effect.Effect<string>
}>() {}

const sqlite = Layer.scoped(
  Databases,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-shared-" })
    let files = 0
    return { create: Effect.sync(() => `${directory}/${++files}.db`) }
  })
).pipe(Layer.provide(NodeContext.layer), Layer.orDie)

const postgres = Layer.effect(
  Databases,
  Effect.map(Postgres.Postgres, ({ createDatabase }) => ({ create: Effect.map(createDatabase, Redacted.value) }))
).pipe(Layer.provide(Postgres.layer))

class Programs extends Effect.Service<Programs>()("effect-chat/test/HistoryStore/processes.slow.test/Programs", {
  scoped: Effect.gen(function*() {
    const workers = yield* Effect.replicateEffect(worker, 2, { concurrency: 2 })
    return {
      /** Runs the same job in both processes at the same time, with different names. */
      both: (job: Omit<typeof Job.Type, "writer">) =>
        Effect.forEach(
          workers,
          ({ work }, index) => work({ ...job, writer: index === 0 ? "Ada" : "Bob" }),
          { concurrency: 2 }
        )
    }
  })
}) {}

const turns = 100

const kinds = [
  ["a SQLite file", sqlite],
  ...(Postgres.unavailable === "" ? [["PostgreSQL", postgres] as const] : [])
] as const

if (Postgres.unavailable !== "") {
  describe.skip("Programs that share PostgreSQL (skipped: no PostgreSQL is installed)")
}

for (const [kind, databases] of kinds) {
  layer(Layer.merge(databases, Programs.Default), { excludeTestServices: true, timeout: 60_000 })(
    `Programs that share ${kind}`,
    (it) => {
      it.effect(
        "two programs that write to one conversation store each turn once",
        () =>
          Effect.gen(function*() {
            const { create } = yield* Databases
            const { both } = yield* Programs
            const database = yield* create

            // The tables exist already, so both programs write at the same time.
            yield* Effect.provide(HistoryStore.HistoryStore, storeOf(database))
            const outcomes = yield* both({ database, conversation: "shared", turns })

            const stored = yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load("shared")).pipe(
              Effect.flatten,
              Effect.provide(storeOf(database))
            )
            const said = stored.messages.flatMap(({ content, role }) =>
              role === "user" && typeof content === "string" ? [content] : []
            )
            const of = (writer: string) => Array.from({ length: turns }, (_, turn) => `${writer} ${turn}`)
            assert.deepStrictEqual(outcomes.filter((outcome) => "error" in outcome), [])
            assert.isAbove(
              outcomes.reduce((sum, outcome) => sum + ("conflicts" in outcome ? outcome.conflicts : 0), 0),
              0
            )
            assert.strictEqual(stored.version, 2 * turns)
            assert.strictEqual(stored.messages.length, 4 * turns)
            for (const writer of ["Ada", "Bob"]) {
              assert.deepStrictEqual(said.filter((text) => text.startsWith(writer)), of(writer))
            }
          }),
        60_000
      )

      it.effect(
        "two programs can start at the same time with an empty database",
        () =>
          Effect.gen(function*() {
            const { create } = yield* Databases
            const { both } = yield* Programs
            for (let round = 0; round < 12; round++) {
              const database = yield* create
              const outcomes = yield* both({ database, conversation: "first", turns: 1 })
              assert.deepStrictEqual(outcomes.filter((outcome) => "error" in outcome), [])
              const { version } = yield* Effect.flatMap(HistoryStore.HistoryStore, (store) => store.load("first")).pipe(
                Effect.flatten,
                Effect.provide(storeOf(database))
              )
              assert.strictEqual(version, 2)
            }
          }),
        60_000
      )
    }
  )
}
