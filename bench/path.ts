/**
 * Lists the files of `src` that run code during one `chatStream` of an `LLMChat`, without those of `testing`. Run with
 * `node --import tsx bench/path.ts`.
 */
import { NodeHttpClient, NodeHttpServer } from "@effect/platform-node"
import { Effect, Layer, Stream } from "effect"
import { createServer } from "node:http"
import { Session } from "node:inspector/promises"
import { make } from "../src/LLMChat.ts"
import { layer, LocalServer } from "../src/testing/LocalServer.ts"

const src = new URL("../src/", import.meta.url).href

const filesOf = async (run: () => Promise<unknown>): Promise<ReadonlyArray<string>> => {
  const session = new Session()
  session.connect()
  await session.post("Profiler.enable")
  await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: false })
  await run()
  const { result } = await session.post("Profiler.takePreciseCoverage")
  session.disconnect()
  const ran = result.filter(({ functions, url }) =>
    url.startsWith(src) && functions.some(({ ranges }) => ranges.some(({ count }) => count > 0))
  )
  return ran.map(({ url }) => url.slice(src.length)).filter((file) => !file.startsWith("testing/")).sort()
}

const program = Effect.gen(function*() {
  const { url } = yield* LocalServer
  const chat = yield* make({ baseUrl: url, model: "effect-chat-local" })
  const files = yield* Effect.promise(() =>
    filesOf(() => Effect.runPromise(Stream.runDrain(chat.chatStream("Hello, how are you?"))))
  )
  return `${files.length} files\n${files.join("\n")}`
})

const server = layer().pipe(Layer.provide(NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })))

const run = program.pipe(Effect.scoped, Effect.provide([server, NodeHttpClient.layerUndici]))

console.log(await Effect.runPromise(run))
