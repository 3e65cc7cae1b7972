/**
 * Kills a program that streams, again and again, and looks each time at what its store has.
 */
import { Command, FileSystem } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { Array as Arr, Context, Deferred, Effect, Fiber, Layer, Option, Random, Schema, Stream } from "effect"
import { HistoryStore } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import { build } from "esbuild"
import { createServer } from "node:http"
import { fileURLToPath } from "node:url"
import * as Stores from "./stores.ts"
import * as Turns from "./turns.ts"

/** The program, in one file: it starts seven times as fast as from its sources, and it is started often. */
class Program
  extends Context.Tag("effect-chat/test/support/crash/killing/Program")<Program, { readonly file: string }>()
{}

const ProgramLayer = Layer.scoped(
  Program,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const root = fileURLToPath(new URL("../../..", import.meta.url))
    // Where what is not bundled is found.
    const file = `${root}/node_modules/.cache/effect-chat/crash-${process.pid}.mjs`
    yield* Effect.acquireRelease(
      Effect.promise(() =>
        build({
          entryPoints: [`${root}/test/support/crash/worker.ts`],
          tsconfig: `${root}/tsconfig.json`,
          outfile: file,
          bundle: true,
          platform: "node",
          format: "esm",
          external: ["libsql", "pg-native"],
          banner: { js: `import { createRequire } from "node:module"; const require = createRequire(import.meta.url)` },
          logLevel: "error"
        })
      ),
      () => Effect.ignore(fs.remove(file))
    )
    return { file }
  })
)

/**
 * The program is killed between 0 and so many turns that it was told to be done, in the course of the next: counted and
 * not timed, so that a slow machine kills at the same moments. With 0 it is just opening its store.
 */
const mostTurns = 100
const longestTurn = 60

/** The server that the program talks to. It outlives the program. */
const ServerLayer = LocalServer.layer({
  tokenDelay: "2 millis",
  answer: ({ messages, tools }) => {
    const [tool] = tools
    const isAsked = messages.at(-1)?.role === "user"
    if (tool !== undefined && isAsked) return { toolCalls: [{ name: tool.name }, { name: tool.name }] }
    // Results that nobody answered are sent as text in front of the next prompt.
    const asked = messages.filter(({ role }) => role === "user").at(-1)?.content ?? ""
    return Turns.answerTo(asked.split("\n\n").at(-1) ?? "")
  }
}).pipe(Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))

/** What killing needs. */
export const layer = Layer.merge(ServerLayer, ProgramLayer).pipe(Layer.provideMerge(NodeContext.layer))

const decode = Schema.decode(Turns.Report)

/** Runs the program until it is killed, at a random moment, and gives what it was told to be done. */
const runAndKill = (place: Stores.Place, run: number) =>
  Effect.gen(function*() {
    const { url } = yield* LocalServer.LocalServer
    const { file } = yield* Program
    const command = Command.make(process.execPath, file, place.kind, place.location, url, `${run}`)
    const child = yield* Command.start(Command.stderr(command, "inherit"))
    const turns = yield* Random.nextIntBetween(0, mostTurns)
    const due = yield* Deferred.make<void>()
    const reports = yield* child.stdout.pipe(
      Stream.decodeText(),
      Stream.splitLines,
      Stream.mapEffect(decode),
      Stream.tap(({ count }) => count >= turns ? Deferred.succeed(due, undefined) : Effect.void),
      Stream.runCollect,
      Effect.ensuring(Deferred.succeed(due, undefined)),
      Effect.fork
    )
    yield* Deferred.await(due)
    yield* Effect.sleep(yield* Random.nextIntBetween(0, longestTurn))
    if (!(yield* child.isRunning)) return yield* Effect.dieMessage("The program ended before it was killed")
    yield* child.kill("SIGKILL")
    return Arr.fromIterable(yield* Fiber.join(reports))
  }).pipe(Effect.scoped)

/** Judges these conversations, as a program that has just begun finds them. */
const look = (place: Stores.Place, ids: Iterable<string>, told: ReadonlyMap<string, Turns.Told>) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    let verdict = Turns.nothing
    for (const id of ids) {
      const messages = Option.match(yield* store.load(id), { onNone: () => [], onSome: (stored) => stored.messages })
      verdict = Turns.add(verdict, Turns.judge(messages, told.get(id) ?? Turns.untold(id)))
    }
    return verdict
  }).pipe(Effect.provide(Stores.layer(place)))

/** What is listed, and what should be. */
const everyId = (place: Stores.Place, told: Iterable<string>) =>
  HistoryStore.HistoryStore.pipe(
    Effect.flatMap((store) => Stream.runCollect(store.list)),
    Effect.map((listed) => new Set([...listed, ...told])),
    Effect.provide(Stores.layer(place))
  )

/** Kills the program so many times. Stops at the first look that finds something wrong. */
export const kill = (place: Stores.Place, kills: number) =>
  Effect.gen(function*() {
    let told: ReadonlyMap<string, Turns.Told> = new Map()
    for (let run = 0; run < kills; run++) {
      const before = told
      told = (yield* runAndKill(place, run)).reduce(Turns.hear, told)
      const copies = [...told.keys()].filter((id) => !before.has(id))
      const verdict = yield* look(place, new Set([...Turns.idsOf(run), ...copies]), told)
      if (!Turns.isSound(verdict)) return { kills: run + 1, ...verdict }
    }
    return { kills, ...yield* look(place, yield* everyId(place, told.keys()), told) }
  })
