import { AiError, type Prompt, Tokenizer } from "@effect/ai"
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { ChatMessage, HistoryWindow } from "effect-chat"
import { AiTokenCounter } from "effect-chat/ai"
import { estimate } from "effect-chat/tokens/TokenCounter"

const textOf = (prompt: Prompt.Prompt): string =>
  prompt.content.flatMap(({ content }) =>
    typeof content === "string" ? [content] : content.map((part) => part.type === "text" ? part.text : "")
  ).join("")

const words = AiTokenCounter.fromTokenizer(Tokenizer.make({
  tokenize: (prompt) =>
    Effect.succeed(textOf(prompt).split(/\s+/).filter((word) => word !== "").map((_, index) => index))
}))

describe("fromTokenizer", () => {
  it.effect("counts the texts of a message with the tokenizer, and 4 for the message", () =>
    Effect.gen(function*() {
      assert.strictEqual(yield* words.count(ChatMessage.user("three small words")), 7)
      assert.strictEqual(yield* words.count(ChatMessage.toolResult("1", "two words")), 6)
    }))

  it.effect("counts reasoning and calls", () =>
    Effect.gen(function*() {
      const message: ChatMessage.ChatMessage = {
        role: "assistant",
        content: "one",
        reasoning: "two words",
        toolCalls: [{ id: "1", name: "tool", arguments: "{}" }]
      }
      assert.strictEqual(yield* words.count(message), 4 + 1 + 2 + 4 + 2)
    }))

  it.effect("counts images like the estimate, and never their bytes", () =>
    Effect.gen(function*() {
      const image = ChatMessage.imageData(new Uint8Array(100_000), "image/png")
      assert.strictEqual(yield* words.count(ChatMessage.user([ChatMessage.text("a cat"), image])), 4 + 2 + 765)
    }))

  it.effect("estimates if the tokenizer fails", () =>
    Effect.gen(function*() {
      const failing = AiTokenCounter.fromTokenizer(Tokenizer.make({
        tokenize: () => new AiError.UnknownError({ module: "Tokenizer", method: "tokenize" })
      }))
      const message = ChatMessage.user("three small words")
      assert.strictEqual(yield* failing.count(message), estimate.count(message))
    }))

  it.effect("can be used in a window", () =>
    Effect.gen(function*() {
      const window = HistoryWindow.tokens(20, words)
      const turns = [1, 2, 3, 4].flatMap((
        n
      ) => [ChatMessage.user(`question ${n}`), ChatMessage.assistant(`answer ${n}`)])
      const messages = yield* HistoryWindow.assemble(window, {
        system: undefined,
        messages: turns,
        newMessages: [ChatMessage.user("now")]
      })
      assert.deepStrictEqual(messages, [...turns.slice(-2), ChatMessage.user("now")])
    }))
})
