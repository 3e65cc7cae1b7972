/**
 * `npm run crash -- [KILLS] [SEED] [STORE…]`: kills a program that streams 20 conversations, 50 times per store, and
 * prints how many of its turns were stored, lost, incomplete or duplicated. The seed determines the moments.
 */
import { FileSystem } from "@effect/platform"
import { NodeRuntime } from "@effect/platform-node"
import { Console, Duration, Effect, Layer, Random, Redacted, Schema } from "effect"
import * as Postgres from "../postgres.ts"
import * as Killing from "./killing.ts"
import * as Stores from "./stores.ts"
import * as Turns from "./turns.ts"

const [kills = "50", seed = "1", ...kinds] = process.argv.slice(2)

const available = Stores.Kind.literals.filter((kind) => kind !== "postgres" || Postgres.unavailable === "")

const attempt = (kind: Stores.Kind) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-crash-" })
    const location = kind === "postgres"
      ? yield* Postgres.Postgres.pipe(
        Effect.flatMap(({ createDatabase }) => createDatabase),
        Effect.map(Redacted.value),
        Effect.provide(yield* Layer.build(Postgres.layer))
      )
      : `${directory}/conversations`
    const [time, verdict] = yield* Effect.timed(
      Effect.withRandom(
        Killing.kill({ kind, location }, yield* Schema.decode(Schema.NumberFromString)(kills)),
        Random.make(seed)
      )
    )
    return { store: kind, ...verdict, seconds: Math.round(Duration.toSeconds(time)) }
  }).pipe(Effect.scoped)

const program = Effect.gen(function*() {
  const chosen = yield* Schema.decodeUnknown(Schema.Array(Stores.Kind))(kinds.length > 0 ? kinds : available)
  if (Postgres.unavailable !== "") yield* Console.log(`postgres${Postgres.unavailable}`)
  const rows = yield* Effect.forEach(chosen, (kind) => Effect.tap(attempt(kind), (row) => Console.table([row])))
  if (!rows.every(Turns.isSound)) return yield* Effect.fail("Turns were incomplete, duplicated or lost.")
})

program.pipe(Effect.provide(Killing.layer), NodeRuntime.runMain)
