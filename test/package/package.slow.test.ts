/**
 * The package as its users get it: packed, installed in an empty project, compiled there and run.
 */
import { FileSystem, HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse, Path } from "@effect/platform"
import { NodeContext, NodeHttpServer } from "@effect/platform-node"
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Schema } from "effect"
import * as esbuild from "esbuild"
import { createServer } from "node:http"
import { Consumer, root, run, succeed, tsc } from "../support/consumer.ts"

/** What OpenAI's server answers, with `reply` for text, streamed when the request asks for it. */
const answer = (reply: string, stream: boolean) => {
  const head = { id: "chatcmpl-1", created: 0, model: "stub" }
  const usage = { prompt_tokens: 1, completion_tokens: 1, total_tokens: 2 }
  if (!stream) {
    const message = { role: "assistant", content: reply }
    return HttpServerResponse.unsafeJson({
      ...head,
      object: "chat.completion",
      choices: [{ index: 0, message, finish_reason: "stop" }],
      usage
    })
  }
  const chunk = (delta: object, finish_reason: "stop" | null) =>
    `data: ${
      JSON.stringify({ ...head, object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason }] })
    }\n\n`
  return HttpServerResponse.text(
    chunk({ role: "assistant", content: reply }, null) + chunk({}, "stop") + "data: [DONE]\n\n",
    { contentType: "text/event-stream" }
  )
}

/** An endpoint that gives every prompt the same reply. Yields its base URL and what it was asked. */
const endpoint = Effect.fnUntraced(function*(reply: string) {
  const requests: Array<{ readonly model: string; readonly stream: boolean }> = []
  const Request = Schema.Struct({
    model: Schema.String,
    stream: Schema.optionalWith(Schema.Boolean, { default: () => false })
  })
  yield* HttpRouter.empty.pipe(
    HttpRouter.post(
      "/v1/chat/completions",
      Effect.gen(function*() {
        const request = yield* HttpServerRequest.schemaBodyJson(Request)
        requests.push(request)
        return answer(reply, request.stream)
      })
    ),
    HttpServer.serveEffect()
  )
  const url = yield* HttpServer.addressFormattedWith((address) => Effect.succeed(`${address}/v1`))
  return { requests, url }
})

const Server = NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })

/** The `ts` blocks of the README. The first one is the program that a reader copies. */
const readmeBlocks = Effect.gen(function*() {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const readme = yield* fs.readFileString(path.join(root, "README.md"))
  return [...readme.matchAll(/^```ts\n([^]*?)^```$/gm)].map(([, code = ""]) => code)
})

const tsconfig = (
  { files, ...compilerOptions }: { readonly files: ReadonlyArray<string>; readonly [name: string]: unknown }
) =>
  JSON.stringify({
    compilerOptions: {
      target: "ES2022",
      lib: ["ES2022", "DOM", "DOM.Iterable"],
      module: "NodeNext",
      strict: true,
      exactOptionalPropertyTypes: true,
      noUncheckedIndexedAccess: true,
      verbatimModuleSyntax: true,
      types: ["node"],
      ...compilerOptions
    },
    files
  })

layer(Consumer.Default.pipe(Layer.provideMerge(NodeContext.layer)), {
  excludeTestServices: true,
  timeout: 240_000
})("the packed package", (it) => {
  it.effect("installs beside its peers without a conflict", () =>
    Effect.gen(function*() {
      const { directory, installed } = yield* Consumer
      assert.notMatch(installed, /ERESOLVE|EBADENGINE/)
      const { code, output } = yield* run(directory, ["npm", "ls", "--all"])
      assert.strictEqual(code, 0, output)
      assert.notMatch(output, /invalid|UNMET DEPENDENCY|extraneous/)
    }), 60_000)

  it.effect("compiles and runs the README's first program", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      const { requests, url } = yield* endpoint("Hello from the endpoint")
      const [first = ""] = yield* readmeBlocks
      yield* write("program.ts", first)
      yield* write("tsconfig.json", tsconfig({ files: ["program.ts"], skipLibCheck: true }))

      yield* succeed(directory, ["node", tsc])
      const output = yield* succeed(directory, ["node", "program.js"], {
        LLM_BASE_URL: url,
        LLM_API_KEY: "sk-that-no-server-checks",
        LLM_MODEL: "stub"
      })

      assert.include(output, "Hello from the endpoint")
      assert.notInclude(output, "sk-that-no-server-checks")
      assert.isAbove(requests.length, 0)
      assert.strictEqual(requests[0]?.model, "stub")
    }).pipe(Effect.provide(Server), Effect.scoped), 60_000)

  it.effect("compiles all programs of the README in strict TypeScript", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      // A test needs packages that no program needs.
      const programs = (yield* readmeBlocks).filter((code) => !code.includes("@effect/vitest"))
      assert.isAbove(programs.length, 6)
      const files = programs.map((_, index) => `readme-${index}.ts`)
      for (const [index, code] of programs.entries()) yield* write(`readme-${index}.ts`, code)
      yield* write("tsconfig.json", tsconfig({ files, noEmit: true, skipLibCheck: true }))
      yield* succeed(directory, ["node", tsc])
    }), 60_000)

  for (const resolution of [{ module: "NodeNext" }, { module: "ESNext", moduleResolution: "Bundler" }]) {
    it.effect(
      `has declarations that hold under strict, with every library checked (${resolution.module})`,
      () =>
        Effect.gen(function*() {
          const { directory, write } = yield* Consumer
          yield* write(
            "types.ts",
            `import { LLMChat } from "effect-chat"
           import * as Direct from "effect-chat/LLMChat"
           import * as Testing from "effect-chat/testing"
           export const all: readonly [typeof Direct, object] = [LLMChat, Testing]`
          )
          yield* write("tsconfig.json", tsconfig({ files: ["types.ts"], skipLibCheck: false, ...resolution }))
          yield* succeed(directory, ["node", tsc, "--noEmit"])
        }),
      60_000
    )
  }

  it.effect("exports the same module by its own path and from the index", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      yield* write(
        "same.mjs",
        `import { LLMChat } from "effect-chat"
         import * as Direct from "effect-chat/LLMChat"
         console.log(LLMChat === Direct && typeof LLMChat.make === "function")`
      )
      assert.strictEqual((yield* succeed(directory, ["node", "same.mjs"])).trim(), "true")
    }), 30_000)

  it.effect("shares its classes among all its entry points", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      yield* write(
        "shared.mjs",
        `import { ChatError, HistoryStore, LLMChat } from "effect-chat"
         import { ConflictError } from "effect-chat/ChatError"
         import * as Sqlite from "effect-chat/sql/Sqlite"
         import { HistoryStoreSuite, ScriptedHttpClient } from "effect-chat/testing"
         import { Effect, Layer } from "effect"

         const program = Effect.gen(function*() {
           const store = yield* HistoryStore.HistoryStore
           const conflict = yield* Effect.flip(store.clear({ id: "a", expectedVersion: 7 }))
           const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", model: "m" })
           const failure = yield* Effect.flip(chat.ask("Hi"))
           for (const { test } of HistoryStoreSuite.cases.slice(0, 3)) yield* test
           return [ChatError.ConflictError === ConflictError, conflict instanceof ConflictError, failure._tag]
         })
         const client = ScriptedHttpClient.layer([ScriptedHttpClient.text("", { status: 401 })])
         const store = Sqlite.layer({ filename: "shared.sqlite" })
         const shared = await Effect.runPromise(Effect.provide(program, Layer.merge(client, store)))
         console.log(shared.join())`
      )
      assert.strictEqual((yield* succeed(directory, ["node", "shared.mjs"])).trim(), "true,true,AuthenticationError")
    }), 30_000)

  const needed: ReadonlyArray<readonly [entry: string, ...packages: ReadonlyArray<string>]> = [
    ["effect-chat"],
    ["effect-chat/testing"],
    ["effect-chat/tokens/GptTokenizer"],
    ["effect-chat/sql", "@effect/experimental", "@effect/sql"],
    ["effect-chat/ai", "@effect/ai"]
  ]
  for (const [entry, ...peers] of needed) {
    it.effect(`loads ${peers.join(", ") || "no optional peer"} for ${entry}`, () =>
      Effect.gen(function*() {
        const { directory, optional, write } = yield* Consumer
        yield* write(
          "hooks.mjs",
          `import { writeSync } from "node:fs"
           export const load = (url, context, next) => {
             writeSync(1, url + "\\n")
             return next(url, context)
           }`
        )
        yield* write(
          "loads.mjs",
          `import { register } from "node:module"
           register("./hooks.mjs", import.meta.url)
           await import("${entry}")`
        )
        const loaded = (yield* succeed(directory, ["node", "loads.mjs"])).split("\n")
        assert.isTrue(loaded.some((url) => url.includes("/effect-chat/dist/internal/core.js")))
        const found = optional.filter((name) => loaded.some((url) => url.includes(`/node_modules/${name}/`)))
        assert.deepStrictEqual(found, peers)
      }), 30_000)
  }

  it.effect("has source maps that lead to the sources in it", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      yield* write(
        "maps.mjs",
        `import { existsSync, readdirSync, readFileSync } from "node:fs"
         const dist = new URL("node_modules/effect-chat/dist/", import.meta.url)
         const maps = readdirSync(dist, { recursive: true }).filter((file) => file.endsWith(".map"))
         const sources = maps.flatMap((map) => {
           const url = new URL(map, dist)
           const { sourceRoot = "", sources } = JSON.parse(readFileSync(url, "utf8"))
           return sources.map((source) => new URL(sourceRoot + source, url))
         })
         const missing = sources.filter((source) => !source.pathname.endsWith(".ts") || !existsSync(source))
         console.log(missing.join("\\n") || (sources.length > 100 ? "right" : "there are few sources"))`
      )
      assert.strictEqual((yield* succeed(directory, ["node", "maps.mjs"])).trim(), "right")
    }), 30_000)

  it.effect("opens every public module and closes every internal one", () =>
    Effect.gen(function*() {
      const { directory, write } = yield* Consumer
      yield* write(
        "closed.mjs",
        `import { readdirSync } from "node:fs"
         const files = readdirSync("node_modules/effect-chat/dist", { recursive: true })
         const wrong = []
         let closed = 0
         for (const file of files.filter((file) => file.endsWith(".js") && !/index.js$/.test(file))) {
           const name = "effect-chat/" + file.slice(0, -3)
           const code = await import(name).then(() => "open", (error) => error.code)
           const internal = name.includes("/internal/")
           if (internal) closed++
           if (code !== (internal ? "ERR_PACKAGE_PATH_NOT_EXPORTED" : "open")) wrong.push(name + ": " + code)
         }
         console.log(wrong.join("\\n") || (closed > 0 ? "right" : "nothing is internal"))`
      )
      assert.strictEqual((yield* succeed(directory, ["node", "closed.mjs"])).trim(), "right")
    }), 30_000)

  it.effect("bundles LLMChat without other services, testing, Node or complete barrels", () =>
    Effect.gen(function*() {
      const { directory } = yield* Consumer
      const { metafile, outputFiles } = yield* Effect.promise(() =>
        esbuild.build({
          absWorkingDir: directory,
          bundle: true,
          external: ["effect", "@effect/*"],
          format: "esm",
          metafile: true,
          stdin: {
            contents: `import { LLMChat } from "effect-chat"\nglobalThis.make = LLMChat.make`,
            resolveDir: directory
          },
          write: false
        })
      )
      const outputs = Object.values(metafile.outputs)
      const bundled = outputs.flatMap((output) => Object.keys(output.inputs))
      const imports = outputs.flatMap((output) => output.imports.map(({ path }) => path))

      assert.include(bundled, "node_modules/effect-chat/dist/LLMChat.js")
      const services = outputFiles.flatMap(({ text }) => text.match(/Context\.Tag\("[^"]+"\)/g) ?? [])
      assert.deepStrictEqual(services, [`Context.Tag("effect-chat/LLMChat")`])
      assert.deepStrictEqual(bundled.filter((file) => file.includes("/testing/")), [])
      assert.deepStrictEqual(
        imports.filter((name) => /^(node:|@effect\/platform-node|effect$|@effect\/platform$)/.test(name)),
        []
      )
    }), 30_000)
})
