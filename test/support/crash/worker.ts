/**
 * The program that is killed: it streams turns of all its conversations at once, without end, and prints each when its
 * stream has ended. Its arguments are a kind of store, its location, the URL of the server, and the number of the run.
 */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Effect, Schema, Stream } from "effect"
import { ChatManager } from "effect-chat"
import { writeSync } from "node:fs"
import * as Stores from "./stores.ts"
import * as Turns from "./turns.ts"

const Arguments = Schema.Tuple(Stores.Kind, Schema.String, Schema.String, Schema.NumberFromString)

const encode = Schema.encode(Turns.Report)

/** Given to the system before this is done: a kill cannot take it back. */
const print = (report: Turns.Report) => Effect.map(encode(report), (line) => void writeSync(1, `${line}\n`))

let done = 0

const talk = (manager: ChatManager.Service, id: string, run: number) =>
  Effect.gen(function*() {
    const chat = yield* manager.getChat(id)
    for (let turn = 0;; turn++) {
      const prompt = Turns.promptOf(id, run, turn)
      yield* Stream.runDrain(chat.chatStream(prompt))
      yield* print({ _tag: "Done", count: ++done, id, prompt })
    }
  })

const program = Effect.gen(function*() {
  const [kind, location, baseUrl, run] = yield* Schema.decodeUnknown(Arguments)(process.argv.slice(2))
  yield* print({ _tag: "Begun", count: 0 })
  yield* Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config: { baseUrl } })
    yield* Effect.forEach(Turns.idsOf(run), (id) => talk(manager, id, run), { concurrency: "unbounded", discard: true })
  }).pipe(Effect.provide(Stores.layer({ kind, location })))
})

program.pipe(Effect.scoped, Effect.provide(NodeHttpClient.layer), NodeRuntime.runMain)
