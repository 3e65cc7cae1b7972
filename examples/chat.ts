/**
 * A terminal chat that streams and remembers: `npm start`.
 *
 * On a terminal it is a dialogue. With piped input each line is a turn. With an argument it answers that and ends.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import * as NodeStream from "@effect/platform-node/NodeStream"
import { Cause, Console, Effect, Exit, Layer, Option, Stream } from "effect"
import { LLMChat } from "effect-chat"
import { command } from "./internal/commands.ts"
import { explain, isOfSettings } from "./internal/explain.ts"
import * as Keyboard from "./internal/keyboard.ts"
import { write, writeLine } from "./internal/output.ts"
import { Printer } from "./internal/printer.ts"
import * as Server from "./internal/server.ts"
import { oneLine } from "./internal/visible.ts"

const isDialogue = process.stdin.isTTY && process.stdout.isTTY

/** One turn: prints the answer as it comes. */
const turn = Effect.fnUntraced(function*(prompt: string) {
  const chat = yield* LLMChat.LLMChat
  const printer = new Printer({ showReasoning: process.stdout.isTTY && process.stdout.hasColors() })
  yield* chat.chatEvents(prompt).pipe(
    Stream.runForEachChunk((events) => write(printer.add(events))),
    Effect.ensuring(Effect.suspend(() => Effect.ignore(write(printer.end()))))
  )
})

const dialogue = Effect.gen(function*() {
  const chat = yield* LLMChat.LLMChat
  const keyboard = yield* Keyboard.make("> ")
  const stopOnInterrupt = Effect.zipRight(keyboard.interrupted, chat.stop)
  yield* writeLine("Ctrl-C stops an answer. /help lists the commands, /exit leaves.")
  let hasAnswered = false
  while (true) {
    const input = Option.getOrElse(yield* keyboard.line, () => "/exit")
    const [, name, rest = ""] = /^(\/\S*)\s*(.*)$/.exec(input.trimEnd()) ?? []
    if (name === "/exit") return
    if (name !== undefined) {
      yield* command(name, rest) // such as /history and /clear
    } else if (input.trim() !== "") {
      yield* turn(input.trim()).pipe(
        Effect.raceFirst(Effect.zipRight(stopOnInterrupt, Effect.never)),
        Effect.tap(() => {
          hasAnswered = true
        }),
        Effect.catchAll((error) =>
          error._tag === "OutputError" || (!hasAnswered && isOfSettings(error))
            ? Effect.fail(error)
            : Console.error(explain(error))
        )
      )
    }
  }
})

const pipe = NodeStream.stdin.pipe(
  Stream.decodeText(),
  Stream.splitLines,
  Stream.filter((line) => line.trim() !== ""),
  Stream.runForEach(turn)
)

const program = Effect.gen(function*() {
  const { about } = yield* Server.Server
  const question = process.argv.slice(2).join(" ").trim()
  yield* writeLine(oneLine(about))
  if (question !== "") return yield* turn(question)
  return yield* isDialogue ? dialogue : pipe
})

const Chat = Layer.unwrapEffect(Effect.map(Server.Server, ({ config }) => LLMChat.layer(config)))

const Main = Chat.pipe(
  Layer.provideMerge(Server.layer({ tokenDelay: isDialogue ? "40 millis" : 0 })),
  Layer.provide(NodeHttpClient.layer)
)

program.pipe(
  Effect.scoped,
  Effect.provide(Main),
  Effect.catchTag("OutputError", (error) => error.isGone ? Effect.void : Effect.fail(error)),
  Effect.tapErrorCause((cause) => {
    const failure = Cause.failureOption(cause)
    if (Option.isSome(failure)) return Console.error(explain(failure.value))
    return Cause.isInterruptedOnly(cause) ? Effect.void : Console.error(Cause.pretty(cause))
  }),
  NodeRuntime.runMain({
    disableErrorReporting: true,
    teardown: (exit, leave) => leave(Exit.isSuccess(exit) ? 0 : Cause.isInterruptedOnly(exit.cause) ? 130 : 1)
  })
)
