/**
 * The installed package on Bun and Deno.
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import { LocalServer } from "effect-chat/testing"
import { Consumer, copyPrograms, succeed } from "../support/consumer.ts"
import * as Expected from "../support/runtimes/expected.ts"

const Report = Schema.Struct({
  chat: Schema.String,
  stream: Schema.String,
  stopped: Schema.Tuple(Schema.String, Schema.UndefinedOr(Schema.String)),
  history: Schema.Array(Schema.String)
})

const Reports = Schema.parseJson(Schema.Struct({ files: Report, keyValues: Report, sqlite: Report }))

const versions = ["bun@1.4.5", "deno@2.9.6"]

/** The programs of Bun and Deno. npm has them in packages for each platform, which no script has to unpack. */
class Runtimes extends Effect.Service<Runtimes>()("effect-chat/test/package/runtimes.slow.test/Runtimes", {
  scoped: Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-runtimes-" })
    yield* fs.writeFileString(path.join(directory, "package.json"), JSON.stringify({ private: true }))
    const install = ["npm", "install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"] as const
    yield* succeed(directory, [...install, ...versions])
    const find = (scope: string, ...names: ReadonlyArray<string>) =>
      Effect.gen(function*() {
        const folder = path.join(directory, "node_modules", scope)
        const [installed = "none"] = (yield* fs.readDirectory(folder)).filter((name) => !name.endsWith("-musl"))
        return path.join(folder, installed, ...names)
      })
    return { bun: yield* find("@oven", "bin", "bun"), deno: yield* find("@deno", "deno") }
  })
}) {}

layer(
  Layer.mergeAll(Consumer.Default, Runtimes.Default, Expected.server).pipe(Layer.provideMerge(NodeContext.layer)),
  { excludeTestServices: true, timeout: 240_000 }
)("the installed package", (it) => {
  const commands = {
    bun: ["run"],
    deno: ["run", "--allow-all", "--no-check", "--node-modules-dir=manual"]
  } as const

  for (const name of ["bun", "deno"] as const) {
    it.effect(`chats, streams, stops and stores on ${name}`, () =>
      Effect.gen(function*() {
        const fs = yield* FileSystem.FileSystem
        const runtimes = yield* Runtimes
        const { url } = yield* LocalServer.LocalServer
        const directory = yield* copyPrograms("program.ts", "conversation.ts")
        const stores = yield* fs.makeTempDirectoryScoped({ prefix: `effect-chat-${name}-` })

        const output = yield* succeed(directory, [runtimes[name], ...commands[name], "program.ts", url, stores])

        const reports = yield* Schema.decode(Reports)(output)
        for (const report of Object.values(reports)) yield* Expected.assertRight(report)
        assert.includeMembers(yield* fs.readDirectory(stores), ["conversations.db", "files", "values"])
      }).pipe(Effect.scoped), 60_000)
  }
})
