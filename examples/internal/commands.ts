/**
 * The commands of the terminal chat: they show and change its conversation.
 */
import { Effect } from "effect"
import { LLMChat } from "effect-chat"
import { writeLine } from "./output.ts"
import { visible } from "./visible.ts"

const showHistory = Effect.gen(function*() {
  const chat = yield* LLMChat.LLMChat
  for (const message of yield* chat.history) {
    const name = message.role === "user" ? "you" : message.role === "assistant" ? "model" : message.role
    const text = typeof message.content === "string" ? message.content : "(parts)"
    const note = message.role === "assistant" && message.finishReason === "interrupted" ? " [stopped]" : ""
    yield* writeLine(`${name}: ${visible(text)}${note}`)
  }
})

const systemPrompt = Effect.fnUntraced(function*(prompt: string) {
  const chat = yield* LLMChat.LLMChat
  if (prompt !== "") yield* chat.updateSystemPrompt(prompt)
  const [first] = yield* chat.history
  yield* writeLine(first?.role === "system" ? `The system prompt is: ${visible(first.content)}` : "No system prompt.")
})

const clear = Effect.gen(function*() {
  const chat = yield* LLMChat.LLMChat
  yield* chat.clearHistory
  yield* writeLine("The history is empty. The system prompt stays.")
})

const showUsage = Effect.gen(function*() {
  const chat = yield* LLMChat.LLMChat
  const { inputTokens, outputTokens, totalTokens } = yield* chat.usage
  yield* writeLine(`Tokens so far: ${inputTokens} in, ${outputTokens} out, ${totalTokens} in all.`)
})

const help = `/history         shows the messages so far
/system [text]   shows the system prompt, or sets it
/clear           removes the messages so far
/usage           shows the tokens of the conversation
/exit            leaves, as Ctrl-D does, and Ctrl-C at an empty line
Ctrl-C stops an answer; the history keeps the part that arrived.
A message that begins with / needs a space before it.`

/** Runs a command of the dialogue, such as `/history`. */
export const command = (name: string, rest: string) => {
  switch (name) {
    case "/history":
      return showHistory
    case "/system":
      return systemPrompt(rest)
    case "/clear":
      return clear
    case "/usage":
      return showUsage
    case "/help":
      return writeLine(help)
    default:
      return writeLine(`There is no command ${visible(name)}. /help lists those that there are.`)
  }
}
