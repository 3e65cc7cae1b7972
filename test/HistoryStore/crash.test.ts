import { FileSystem } from "@effect/platform"
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Random, Redacted } from "effect"
import { ChatMessage } from "effect-chat"
import * as Killing from "../support/crash/killing.ts"
import type * as Stores from "../support/crash/stores.ts"
import * as Turns from "../support/crash/turns.ts"
import * as Postgres from "../support/postgres.ts"

const kills = 3

const killed = (place: Stores.Place) =>
  Effect.gen(function*() {
    const verdict = yield* Effect.withRandom(Killing.kill(place, kills), Random.make(place.kind))

    assert.deepInclude(verdict, { kills, torn: 0, doubled: 0, lost: 0 })
    assert.isAbove(verdict.told, 0)
    assert.isAtLeast(verdict.found, verdict.told)
  })

const inFolder = (kind: Stores.Kind) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-crash-" })
    yield* killed({ kind, location: `${directory}/conversations` })
  })

layer(Killing.layer, { excludeTestServices: true, timeout: "1 minute" })(
  "After SIGKILL at any moment there are whole turns only, and all that were told to be done,",
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

describe("What is found after a kill", () => {
  const turn = (prompt: string) => [ChatMessage.user(prompt), ChatMessage.assistant(Turns.answerTo(prompt))]
  const [one, two] = [Turns.promptOf("ada", 0, 0), Turns.promptOf("ada", 0, 1)]

  it("is sound where a turn is stored that nobody was told of yet", () => {
    const verdict = Turns.judge("ada", [...turn(one), ...turn(two)], [one])

    assert.deepStrictEqual(verdict, { told: 1, found: 2, torn: 0, doubled: 0, lost: 0 })
  })

  it("is not where a turn is missing", () => {
    assert.strictEqual(Turns.judge("ada", turn(two), [one, two]).lost, 1)
  })

  it("is not where a turn is stored twice", () => {
    assert.strictEqual(Turns.judge("ada", [...turn(one), ...turn(one)], [one]).doubled, 1)
  })

  it("is not where half a turn is stored", () => {
    assert.strictEqual(Turns.judge("ada", [...turn(one), ChatMessage.user(two)], [one]).torn, 1)
    assert.strictEqual(Turns.judge("ada", turn(one).slice(1), []).torn, 1)
  })

  it("is not where an answer is cut, or belongs to another prompt or conversation", () => {
    const cut = ChatMessage.assistant(Turns.answerTo(one).slice(0, -1))

    assert.strictEqual(Turns.judge("ada", [ChatMessage.user(one), cut], []).torn, 2)
    assert.strictEqual(
      Turns.judge("ada", [ChatMessage.user(one), ChatMessage.assistant(Turns.answerTo(two))], []).torn,
      2
    )
    assert.strictEqual(Turns.judge("bob", turn(one), []).torn, 2)
  })
})
