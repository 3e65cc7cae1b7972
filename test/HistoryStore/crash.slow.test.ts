import { FileSystem } from "@effect/platform"
import { assert, layer } from "@effect/vitest"
import { Effect, Random, Redacted } from "effect"
import * as Killing from "../support/crash/killing.ts"
import type * as Stores from "../support/crash/stores.ts"
import * as Postgres from "../support/postgres.ts"

const kills = 3

const killed = (place: Stores.Place) =>
  Effect.gen(function*() {
    const verdict = yield* Effect.withRandom(Killing.kill(place, kills), Random.make(place.kind))

    assert.deepInclude(verdict, { kills, incomplete: 0, duplicated: 0, lost: 0 })
    assert.isAbove(verdict.reported, 0)
    assert.isAtLeast(verdict.found, verdict.reported)
  })

const inFolder = (kind: Stores.Kind) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-crash-" })
    yield* killed({ kind, location: `${directory}/conversations` })
  })

layer(Killing.layer, { excludeTestServices: true, timeout: "1 minute" })(
  "After SIGKILL at any time, the store contains only complete turns, and every turn that was reported as done,",
  (it) => {
    it.scoped("in files", () => inFolder("file"), 120_000)

    it.scoped("in SQLite", () => inFolder("sqlite"), 120_000)

    it.scoped.skipIf(Postgres.unavailable !== "")(`in PostgreSQL${Postgres.unavailable}`, () =>
      Effect.gen(function*() {
        const { createDatabase } = yield* Postgres.Postgres
        yield* killed({ kind: "postgres", location: Redacted.value(yield* createDatabase) })
      }).pipe(Effect.provide(Postgres.layer)), 120_000)
  }
)
