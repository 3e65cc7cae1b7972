/**
 * The README's line that installs the package, in an empty folder, by several package managers.
 */
import { FileSystem, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer } from "effect"
import { pack, root, succeed, tsc } from "../support/consumer.ts"

/** What the README says after `npm install`. */
const readPackages = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const readme = yield* fs.readFileString(path.join(root, "README.md"))
  const packages = /^npm install (effect-chat .*)$/m.exec(readme)?.[1]?.split(" ")
  assert.isDefined(packages, "README.md has no line that installs effect-chat")
  return packages
})

class Packed extends Effect.Service<Packed>()("effect-chat/test/package/install.slow.test/Packed", {
  scoped: Effect.map(pack, (tarball) => ({ tarball }))
}) {}

const npx = ["npx", "--yes", "--prefer-offline"] as const

const managers = {
  npm: ["npm", "install", "--prefer-offline", "--ignore-scripts", "--no-audit", "--no-fund"],
  pnpm: [...npx, "pnpm@10.34.9", "add", "--prefer-offline", "--ignore-scripts"],
  yarn: [...npx, "yarn@1.22.22", "add", "--prefer-offline", "--ignore-scripts", "--non-interactive"]
} as const

const program = `import { FetchHttpClient } from "@effect/platform"
import { Effect, Layer } from "effect"
import { LLMChat } from "effect-chat"

const Chat = LLMChat.layer({ baseUrl: "http://127.0.0.1:9/v1", maxRetries: 0 }).pipe(Layer.provide(FetchHttpClient.layer))

const ask = Effect.flatMap(LLMChat.LLMChat, (chat) => Effect.flip(chat.ask("Hi")))
const tag: string = await Effect.runPromise(Effect.map(Effect.provide(ask, Chat), (error) => error._tag))

export default tag
`

layer(Packed.Default.pipe(Layer.provideMerge(NodeContext.layer)), { excludeTestServices: true, timeout: 240_000 })(
  "the README's line",
  (it) => {
    for (const [name, command] of Object.entries(managers)) {
      it.effect(`installs packages that run and have the right types, with ${name}`, () =>
        Effect.gen(function*() {
          const fs = yield* FileSystem.FileSystem
          const path = yield* Path.Path
          const { tarball } = yield* Packed
          const directory = yield* fs.realPath(yield* fs.makeTempDirectoryScoped({ prefix: `effect-chat-${name}-` }))
          const write = (file: string, content: string) => fs.writeFileString(path.join(directory, file), content)
          const packages = (yield* readPackages).map((word) => word === "effect-chat" ? tarball : word)
          yield* write("package.json", JSON.stringify({ name: "empty", private: true, type: "module" }))
          yield* write("program.ts", program)
          yield* write("run.mjs", `console.log((await import("./program.js")).default)`)

          yield* succeed(directory, [...command, ...packages])
          const options = ["--strict", "--module", "NodeNext", "--target", "ES2022", "--skipLibCheck"]
          yield* succeed(directory, ["node", tsc, ...options, "program.ts"])
          const output = yield* succeed(directory, ["node", "run.mjs"])

          assert.strictEqual(output.trim(), "TransportError")
        }).pipe(Effect.scoped), 240_000)
    }
  }
)
