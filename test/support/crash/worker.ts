/**
 * The program that is killed: it runs endless turns in all its conversations at the same time, and prints a report after the
 * end of each turn. Its arguments are a kind of store, its location, the URL of the server, and the number of the run.
 */
import { NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Effect, Logger, Schema, Stream } from "effect"
import { ChatManager, Tool, ToolSet, Turn } from "effect-chat"
import { writeSync } from "node:fs"
import * as Stores from "./stores.ts"
import * as Turns from "./turns.ts"

const Arguments = Schema.Tuple(Stores.Kind, Schema.String, Schema.String, Schema.NumberFromString)

const encode = Schema.encode(Turns.Report)

/** Writes a report synchronously, so that a later kill cannot lose it. */
const print = (report: Turns.Report) => Effect.map(encode(report), (line) => void writeSync(1, `${line}\n`))

let count = 0

const toolOf = (name: string, needsApproval: boolean) =>
  Effect.orDie(ToolSet.make([
    Tool.make({ name, parameters: {}, needsApproval, handler: () => Effect.as(Effect.sleep("2 millis"), "noted") })
  ]))

/** Runs a turn. One of ten turns is started in the background, one has tools, and one has tools that need approval. */
const take = (chat: ChatManager.ManagedChat, kind: number, prompt: string) =>
  Effect.gen(function*() {
    switch (kind) {
      case 1:
        return yield* Stream.runDrain(chat.chatStream(prompt, { toolSet: yield* toolOf("note", false) }))
      case 2: {
        const toolSet = yield* toolOf("ask", true)
        yield* Stream.runDrain(chat.chatStream(prompt, { toolSet }))
        const answers = (yield* chat.openCalls).map(({ callId }) => ({ callId, approved: true }))
        return yield* Stream.runDrain(chat.chatStream(Turn.respond(answers), { toolSet }))
      }
      case 3:
        yield* chat.start(prompt, { turnId: prompt })
        return yield* Stream.runDrain(chat.attach(prompt))
      default:
        return yield* Stream.runDrain(chat.chatStream(prompt))
    }
  })

/**
 * Runs endless turns in one conversation. Some are regenerated, removed, or copied with all turns before them.
 */
const talk = (manager: ChatManager.Service, id: string, run: number, place: number) =>
  Effect.gen(function*() {
    const chat = yield* manager.getChat(id)
    const prompts: Array<string> = []
    for (let turn = 0;; turn++) {
      const prompt = Turns.promptOf(id, run, turn)
      const kind = (turn + place) % 10
      yield* take(chat, kind, prompt)
      prompts.push(prompt)
      yield* print({ _tag: "Done", count: ++count, id, prompt })
      if (kind === 5) yield* Stream.runDrain(chat.chatStream(Turn.regenerate()))
      if (kind === 7) {
        prompts.pop()
        yield* print({ _tag: "Removing", count, id, prompt })
        yield* chat.rewind()
        yield* print({ _tag: "Removed", count, id, prompt })
      }
      if (kind === 9) {
        const copy = Turns.copyOf(id, run, turn)
        yield* manager.fork(id, copy)
        yield* print({ _tag: "Copied", count, id: copy, prompts })
      }
    }
  })

const program = Effect.gen(function*() {
  const [kind, location, baseUrl, run] = yield* Schema.decodeUnknown(Arguments)(process.argv.slice(2))
  yield* print({ _tag: "Begun", count: 0 })
  yield* Effect.gen(function*() {
    const manager = yield* ChatManager.make({ config: { baseUrl } })
    yield* Effect.forEach(Turns.idsOf(run), (id, place) => talk(manager, id, run, place), {
      concurrency: "unbounded",
      discard: true
    })
  }).pipe(Effect.provide(Stores.layer({ kind, location })))
})

// The standard output is only for reports.
const logger = Logger.replace(Logger.defaultLogger, Logger.withConsoleError(Logger.logfmtLogger))

program.pipe(Effect.scoped, Effect.provide([NodeHttpClient.layer, logger]), NodeRuntime.runMain)
