/**
 * What a server that stalls gives: an error that says which limit was passed, and the part of the answer that came.
 *
 * Always against the embedded server, some of whose model names are faults.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Duration, Effect, Layer, Stream } from "effect"
import { LLMChat, type LLMConfig } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import * as Server from "./internal/server.ts"

/** Streams one turn with these settings, and prints the part that arrived and how it ended. */
const attempt = Effect.fnUntraced(function*(title: string, settings: Omit<LLMConfig.Options, "baseUrl">) {
  const { url } = yield* LocalServer.LocalServer
  const chat = yield* LLMChat.make({ baseUrl: url, ...settings })
  yield* Console.log(`\n${title}`)
  yield* chat.chatStream("Are you there?").pipe(
    Stream.runForEach((piece) => Console.log(`  came: ${JSON.stringify(piece)}`)),
    Effect.catchTags({
      TimeoutError: (error) =>
        Console.log(
          `  ${error._tag}, phase ${error.phase}, limit ${Duration.format(error.limit)}: ${error.message}\n` +
            `  partial answer: ${JSON.stringify(error.partial?.text ?? "")}`
        ),
      TruncatedError: (error) =>
        Console.log(
          `  ${error._tag}: ${error.message}\n  partial answer: ${JSON.stringify(error.partial?.text ?? "")}`
        )
    })
  )
  const history = yield* chat.history
  yield* Console.log(
    `  A failed turn leaves nothing behind; the history: ${history.map(({ role }) => role).join(", ")}`
  )
})

const program = Effect.gen(function*() {
  yield* Console.log("Embedded test server: no model is inside.")
  yield* attempt("The server accepts the request and says nothing:", {
    model: "effect-chat-silent",
    firstTokenTimeout: "300 millis"
  })
  yield* attempt("The server falls silent within its answer:", {
    model: "effect-chat-stall",
    idleTimeout: "300 millis"
  })
  yield* attempt("The answer is not slow anywhere, but takes too long in all:", {
    model: "slow-but-steady",
    totalTimeout: "300 millis"
  })
  yield* attempt("The answer just ends, without saying that it is whole:", { model: "effect-chat-cut" })
})

const Main = Layer.merge(Server.layerLocal({ tokenDelay: "50 millis" }), NodeHttpClient.layer)

program.pipe(Effect.provide(Main), NodeRuntime.runMain)
