/**
 * A bot with memory: one conversation per user in SQLite, `/stop` and `/forget`, and a graceful shutdown.
 *
 * Each line of the input is a message of a user, such as `ada: My name is Ada.`. With `--file FILE` the conversations stay
 * in that file. docs/bot.md explains the program.
 */
import * as NodeContext from "@effect/platform-node/NodeContext"
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as FileSystem from "@effect/platform/FileSystem"
import { Chunk, Console, Effect, FiberSet, Layer, Stream } from "effect"
import { ChatError, ChatManager, HistoryWindow, Limits, LocalSessions } from "effect-chat"
import * as Sqlite from "effect-chat/sql/Sqlite"
import { parseArgs } from "node:util"
import * as Server from "./internal/server.ts"
import { oneLine } from "./internal/visible.ts"

/** Shows the text of a reply. A bot of a chat platform sends a message with the first call, and edits it with later ones. */
const show = (user: string) => (text: string) => Console.log(`to ${user}: ${oneLine(text)}`)

/** Answers one message of a user. */
const answer = Effect.fnUntraced(function*(user: string, message: string) {
  const manager = yield* ChatManager.ChatManager
  const chat = yield* manager.getChat(user)
  if (message === "/stop") {
    yield* chat.stop
    return yield* show(user)("Stopped.")
  }
  if (message === "/forget") {
    yield* manager.removeChat(user)
    return yield* show(user)("I have forgotten everything.")
  }
  yield* chat.chatStream(message).pipe(
    Stream.groupedWithin(1000, "1 second"), // one edit a second
    Stream.scan("", (text, deltas) => text + Chunk.join(deltas, "")),
    Stream.drop(1), // the empty start
    Stream.runForEach(show(user))
  )
})

/** Users see the part that arrived and a sentence about an error, the log has the error. */
const handle = (user: string, message: string) =>
  answer(user, message).pipe(
    Effect.catchAll((error) =>
      Effect.zipRight(
        Effect.logError(error),
        show(user)(`${error.partial?.text ?? ""} [${ChatError.toPublic(error)}]`.trim())
      )
    )
  )

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  yield* Console.log(about)
  const { events } = yield* LocalSessions.LocalSessions
  yield* events.pipe(
    Stream.runForEach((event) => Effect.logDebug(event._tag, event.id)),
    Effect.forkScoped
  )
  // Messages are answered in fibers of their own, so that `/stop` is read while an answer is on its way. The set of fibers
  // outlives the manager: the manager waits for the turns that run.
  const answers = yield* FiberSet.make<void>()
  yield* NodeStream.stdin.pipe(
    Stream.decodeText(),
    Stream.splitLines,
    Stream.runForEach((line) => {
      const [, user = "", message = ""] = /^(\w+): *(.*)$/.exec(line.trim()) ?? []
      return message === "" ? Effect.void : FiberSet.run(answers, handle(user, message))
    })
  )
  yield* FiberSet.awaitEmpty(answers)
})

const Manager = Layer.unwrapEffect(Effect.map(Server.Server, ({ config }) =>
  ChatManager.layer({
    config,
    timeout: "30 minutes", // idle conversations leave memory; SQLite has them
    capacity: 10_000,
    grace: "10 seconds", // at the end, turns that run may go on for so long
    limits: Limits.make({ concurrency: 20 }),
    window: HistoryWindow.withShrink(HistoryWindow.tokens(30_000))
  })))

const Store = Layer.unwrapScoped(Effect.gen(function*() {
  const { values } = parseArgs({ options: { file: { type: "string" } } })
  if (values.file !== undefined) return Sqlite.layer({ filename: values.file })
  const fs = yield* FileSystem.FileSystem
  return Sqlite.layer({ filename: `${yield* fs.makeTempDirectoryScoped()}/bot.sqlite` })
}))

const Main = Manager.pipe(
  Layer.provide(Store),
  Layer.provideMerge(Server.layer()),
  Layer.provide(NodeHttpClient.layerUndici),
  Layer.provide(NodeContext.layer)
)

program.pipe(Effect.provide(Main), Effect.scoped, NodeRuntime.runMain)
