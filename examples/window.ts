/**
 * A long conversation that sends a short one: the last turns, what fits into a budget of tokens, or a summary of the
 * older turns. The history keeps everything.
 *
 * It always uses an embedded server, which answers with the messages that it received.
 */
import * as NodeHttpClient from "@effect/platform-node/NodeHttpClient"
import * as NodeRuntime from "@effect/platform-node/NodeRuntime"
import { Console, Effect, Layer } from "effect"
import { HistoryWindow, LLMChat } from "effect-chat"
import { LocalServer } from "effect-chat/testing"
import * as Server from "./internal/server.ts"

const prompts = ["My name is Ada.", "I live in Paris.", "I like tea.", "I play chess.", "What do you know?"]

/** A server that shows the messages that it received, and can summarize them. */
const answer = ({ messages }: LocalServer.ChatRequest): string => {
  const facts = messages.flatMap(({ content, role }) =>
    role === "user" ? content.match(/^I .*|^My .*/g) ?? [] : content.match(/^Summary: .*/g) ?? []
  )
  const isSummary = messages.at(-1)?.content.startsWith("Summarize") ?? false
  return isSummary ? `Summary: ${facts.join(" ")}` : `${messages.length} messages, and I know: ${facts.join(" ")}`
}

const converse = Effect.fnUntraced(function*(title: string, window: HistoryWindow.HistoryWindow) {
  const { url } = yield* LocalServer.LocalServer
  const chat = yield* LLMChat.make({ baseUrl: url, systemPrompt: "Be brief." }, { window })
  yield* Console.log(`\n${title}`)
  for (const prompt of prompts) {
    const { text } = yield* chat.chat(prompt)
    yield* Console.log(`  ${prompt.padEnd(18)} → ${text}`)
  }
  yield* Console.log(`  The history has ${(yield* chat.history).length} messages.`)
})

const program = Effect.gen(function*() {
  yield* converse("Everything:", HistoryWindow.all)
  yield* converse("The last turn, beside the new one:", HistoryWindow.lastTurns(1))
  yield* converse("What fits into 60 tokens, as they are estimated:", HistoryWindow.tokens(60))
  yield* converse(
    "When there are more than two turns, all but the last are summarized by the model:",
    HistoryWindow.summarize({ when: { turns: 2 }, keep: 1 })
  )
})

const Main = Layer.merge(Server.layerLocal({ answer }), NodeHttpClient.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
