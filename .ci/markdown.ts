/**
 * Compiles every `ts` block of README.md, CONTRIBUTING.md and docs/*.md in strict TypeScript, and runs those that can run,
 * against the embedded server:
 *
 * - a block with a top-level `await` is a program;
 * - a block that exports `program` is run by test/support/runBlock.ts, which provides what the program requires;
 * - a block that imports `@effect/vitest` is a test.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as Command from "@effect/platform/Command"
import * as FileSystem from "@effect/platform/FileSystem"
import { Console, Effect, Layer, Stream } from "effect"
import { LocalServer } from "effect-chat/testing"
import { createServer } from "node:http"

const root = process.cwd()

interface Block {
  /** Where the block is, for people. */
  readonly place: string
  /** The file that it is written to. */
  readonly file: string
  readonly code: string
}

const readBlocks = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const pages = (yield* fs.readDirectory("docs")).filter((file) => file.endsWith(".md")).sort()
  const documents = ["README.md", "CONTRIBUTING.md", ...pages.map((file) => `docs/${file}`)]
  return yield* Effect.forEach(
    documents,
    (document) =>
      Effect.map(
        fs.readFileString(document),
        (text) =>
          [...text.matchAll(/^```ts\n([^]*?)^```$/gm)].map((match): Block => {
            const code = match[1] ?? ""
            const line = text.slice(0, match.index).split("\n").length
            const name = `${document.replace(/\W/g, "-")}-${line}`
            const file = code.includes("\"@effect/vitest\"") ? `test/${name}.test.ts` : `${name}.ts`
            return { place: `${document}:${line}`, file, code }
          })
      )
  )
}).pipe(Effect.map((blocks) => blocks.flat()))

/** The command that runs a block, undefined if the block is only compiled. */
const runner = ({ code, file }: Block): readonly [string, ...Array<string>] | undefined => {
  if (file.startsWith("test/")) return ["npx", "vitest", "run", "--root", root, "--dir", ".", file]
  if (/^await /m.test(code)) return ["node", "--import", "tsx", file]
  return code.includes("export const program =")
    ? ["node", "--import", "tsx", `${root}/test/support/runBlock.ts`, file]
    : undefined
}

const run = Effect.fnUntraced(
  function*(directory: string, [command, ...args]: readonly [string, ...Array<string>], env: Record<string, string>) {
    const child = yield* Command.make(command, ...args).pipe(
      Command.workingDirectory(directory),
      Command.env(env),
      Command.start
    )
    const text = (stream: typeof child.stdout) => Stream.mkString(Stream.decodeText(stream))
    const [code, ...output] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
      concurrency: "unbounded"
    })
    return { code, output: output.join("") }
  },
  Effect.scoped,
  Effect.timeout("2 minutes")
)

const program = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const { url } = yield* LocalServer.LocalServer
  const directory = yield* fs.makeTempDirectoryScoped({ directory: root, prefix: ".markdown-" })
  const blocks = yield* readBlocks
  yield* fs.makeDirectory(`${directory}/test`)
  yield* Effect.forEach(blocks, ({ code, file }) => fs.writeFileString(`${directory}/${file}`, code))
  yield* fs.writeFileString(
    `${directory}/tsconfig.json`,
    JSON.stringify({
      extends: "../tsconfig.json",
      include: [],
      files: blocks.map(({ file }) => file),
      compilerOptions: { noUnusedLocals: false }
    })
  )
  const env = { LLM_BASE_URL: url, LLM_MODEL: "effect-chat-local", TSX_TSCONFIG_PATH: `${root}/tsconfig.json` }

  const compiled = yield* run(directory, ["node", `${root}/node_modules/typescript/bin/tsc`, "-p", "."], {})
  yield* Console.log(
    `${compiled.code === 0 ? "passed" : "FAILED"}  ${blocks.length} blocks compile\n${compiled.output}`
  )
  let failed = compiled.code === 0 ? 0 : 1
  for (const block of blocks) {
    const command = runner(block)
    if (command === undefined) continue
    const { code, output } = yield* run(directory, command, env)
    const passed = code === 0 && output.trim() !== ""
    yield* Console.log(`${passed ? "passed" : "FAILED"}  ${block.place}${passed ? "" : `\n${output}`}`)
    if (!passed) failed++
  }
  if (failed > 0) return yield* Effect.fail(`${failed} failed`)
})

const Server = LocalServer.layer().pipe(
  Layer.provide(NodeHttpServer.layerServer(createServer, { host: "127.0.0.1", port: 0 }))
)

program.pipe(Effect.scoped, Effect.provide(Layer.merge(Server, NodeContext.layer)), NodeRuntime.runMain)
