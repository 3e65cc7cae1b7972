/**
 * Kills a program that streams, repeatedly, and checks its store after each kill.
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

/** The program, bundled into one file: it is started often, and starts seven times as fast as from its sources. */
class Program
  extends Context.Tag("effect-chat/test/support/crash/killing/Program")<Program, { readonly file: string }>()
{}

const ProgramLayer = Layer.scoped(
  Program,
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const root = fileURLToPath(new URL("../../..", import.meta.url))
    // Within node_modules, so that packages that are not bundled are found.
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
 * The program is killed during a turn, after a random number of completed turns up to `mostTurns`. With 0 it is still
 * opening its store. Turns are counted, because a time would depend on the speed of the machine.
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
    // Tool results without an answer are sent as text before the next prompt.
    const asked = messages.filter(({ role }) => role === "user").at(-1)?.content ?? ""
    return Turns.answerTo(asked.split("\n\n").at(-1) ?? "")
  }
}).pipe(Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })))

/** The services of {@link kill}. */
export const layer = Layer.merge(ServerLayer, ProgramLayer).pipe(Layer.provideMerge(NodeContext.layer))

const decode = Schema.decode(Turns.Report)

/** Runs the program, kills it at a random moment, and returns its reports. */
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

/** Checks these conversations with a new store. */
const check = (place: Stores.Place, ids: Iterable<string>, expected: ReadonlyMap<string, Turns.Expected>) =>
  Effect.gen(function*() {
    const store = yield* HistoryStore.HistoryStore
    let verdict = Turns.nothing
    for (const id of ids) {
      const messages = Option.match(yield* store.load(id), { onNone: () => [], onSome: (stored) => stored.messages })
      verdict = Turns.add(verdict, Turns.judge(messages, expected.get(id) ?? Turns.nothingExpected(id)))
    }
    return verdict
  }).pipe(Effect.provide(Stores.layer(place)))

/** The ids of all conversations that are listed or expected. */
const everyId = (place: Stores.Place, expected: Iterable<string>) =>
  HistoryStore.HistoryStore.pipe(
    Effect.flatMap((store) => Stream.runCollect(store.list)),
    Effect.map((listed) => new Set([...listed, ...expected])),
    Effect.provide(Stores.layer(place))
  )

/** Kills the program `kills` times. Stops at the first check that finds an error. */
export const kill = (place: Stores.Place, kills: number) =>
  Effect.gen(function*() {
    let expected: ReadonlyMap<string, Turns.Expected> = new Map()
    for (let run = 0; run < kills; run++) {
      const before = expected
      expected = (yield* runAndKill(place, run)).reduce(Turns.expectedAfter, expected)
      const copies = [...expected.keys()].filter((id) => !before.has(id))
      const verdict = yield* check(place, new Set([...Turns.idsOf(run), ...copies]), expected)
      if (!Turns.isSound(verdict)) return { kills: run + 1, ...verdict }
    }
    return { kills, ...yield* check(place, yield* everyId(place, expected.keys()), expected) }
  })
