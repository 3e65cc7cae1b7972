/**
 * A project with the package as users get it: built, packed and installed by npm.
 */
import { Command, FileSystem, Path } from "@effect/platform"
import { assert } from "@effect/vitest"
import { Effect, Schema, Stream } from "effect"

/** The work tree. */
export const root = process.cwd()
/** The compiler of the work tree. */
export const tsc = `${root}/node_modules/typescript/bin/tsc`

const Manifest = Schema.parseJson(Schema.Struct({
  peerDependencies: Schema.Record({ key: Schema.String, value: Schema.String }),
  peerDependenciesMeta: Schema.Record({ key: Schema.String, value: Schema.Struct({ optional: Schema.Boolean }) }),
  devDependencies: Schema.Record({ key: Schema.String, value: Schema.String })
}))

interface Exit {
  readonly code: number
  /** Standard output and standard error, in that order. */
  readonly output: string
}

/** Runs a command in `cwd` and waits for its end, with any exit code. */
export const run = Effect.fnUntraced(function*(
  cwd: string,
  [command, ...args]: readonly [string, ...Array<string>],
  env: Record<string, string> = {}
) {
  const child = yield* Command.make(command, ...args).pipe(
    Command.workingDirectory(cwd),
    Command.env(env),
    Command.start
  )
  const text = (stream: typeof child.stdout) => Stream.mkString(Stream.decodeText(stream))
  const [code, stdout, stderr] = yield* Effect.all([child.exitCode, text(child.stdout), text(child.stderr)], {
    concurrency: "unbounded"
  })
  const exit: Exit = { code, output: stdout + stderr }
  return exit
}, Effect.scoped)

/** Like `run`, but fails the test if the exit code is not 0. */
export const succeed = Effect.fnUntraced(function*(
  cwd: string,
  command: readonly [string, ...Array<string>],
  env: Record<string, string> = {}
) {
  const { code, output } = yield* run(cwd, command, env)
  assert.strictEqual(code, 0, `${command.join(" ")}\n${output}`)
  return output
})

/** Builds and packs a copy of the package, without writing to the work tree. */
export const pack = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const stage = yield* fs.makeTempDirectoryScoped()
  const files = [
    "package.json",
    "README.md",
    "LICENSE",
    "src",
    "tsconfig.json",
    "tsconfig.build.json",
    "rollup.config.mjs"
  ]
  for (const file of files) {
    yield* fs.copy(path.join(root, file), path.join(stage, file))
  }
  yield* fs.symlink(path.join(root, "node_modules"), path.join(stage, "node_modules"))
  yield* succeed(stage, ["npm", "pack"])
  const tarball = (yield* fs.readDirectory(stage)).find((file) => file.endsWith(".tgz"))
  return path.join(stage, tarball ?? "there is no tarball")
})

/** A project with only the package, its peers at the versions of development, and Node's types. */
export class Consumer extends Effect.Service<Consumer>()("effect-chat/test/support/consumer", {
  scoped: Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const manifest = yield* Schema.decode(Manifest)(yield* fs.readFileString(path.join(root, "package.json")))
    const directory = yield* fs.realPath(yield* fs.makeTempDirectoryScoped())
    const write = (file: string, content: string) => fs.writeFileString(path.join(directory, file), content)
    yield* write("package.json", JSON.stringify({ name: "consumer", private: true, type: "module" }))
    const peers = [...Object.keys(manifest.peerDependencies), "@types/node"].map((name) =>
      `${name}@${manifest.devDependencies[name]}`
    )
    const installed = yield* succeed(directory, [
      "npm",
      "install",
      "--prefer-offline",
      "--ignore-scripts",
      "--no-audit",
      "--no-fund",
      yield* pack,
      ...peers
    ])
    return { directory, installed, optional: Object.keys(manifest.peerDependenciesMeta), write }
  })
}) {}

/** Copies programs of `test/support/runtimes` into the project. Returns their folder. */
export const copyPrograms = Effect.fnUntraced(function*(...files: ReadonlyArray<string>) {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const { directory } = yield* Consumer
  for (const file of files) {
    yield* fs.copyFile(path.join(root, "test/support/runtimes", file), path.join(directory, file))
  }
  return directory
})
