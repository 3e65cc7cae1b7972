/**
 * Counts the tokens of messages with tokenizers of `@effect/ai`, for `HistoryWindow`.
 *
 * @since 0.1.0
 */
import type * as Tokenizer from "@effect/ai/Tokenizer"
import * as Effect from "effect/Effect"
import type { ChatMessage } from "../ChatMessage.ts"
import * as TokenCounter from "../tokens/TokenCounter.ts"

/**
 * Makes a counter that counts the texts of a message with a tokenizer of `@effect/ai`.
 *
 * It counts everything else like `TokenCounter.make`: 4 tokens for each message and call, and an estimate for images,
 * recordings and files. If the tokenizer fails, the count is the one of `TokenCounter.estimate`.
 *
 * @example
 * import { Tokenizer } from "@effect/ai"
 * import { Effect } from "effect"
 * import { ChatMessage, HistoryWindow } from "effect-chat"
 * import { AiTokenCounter } from "effect-chat/ai"
 *
 * const tokenizer = Tokenizer.make({ tokenize: () => Effect.succeed([1, 2, 3]) })
 * const counter = AiTokenCounter.fromTokenizer(tokenizer)
 *
 * assert.strictEqual(Effect.runSync(counter.count(ChatMessage.user("three tokens here"))), 7)
 *
 * const window = HistoryWindow.tokens(1000, counter)
 * assert.ok(window)
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromTokenizer = (tokenizer: Tokenizer.Service): Asynchronous => ({
  count: (message) => {
    const texts: Array<string> = []
    const otherTokens = TokenCounter.make({
      text: (text) => {
        texts.push(text)
        return 0
      }
    }).count(message)
    return tokenizer.tokenize(texts.join("\n")).pipe(
      Effect.map((tokens) => tokens.length + otherTokens),
      Effect.orElseSucceed(() => TokenCounter.estimate.count(message))
    )
  }
})

/**
 * A counter that returns every count as an Effect.
 *
 * @since 0.1.0
 * @category models
 */
export interface Asynchronous extends TokenCounter.TokenCounter {
  readonly count: (message: ChatMessage) => Effect.Effect<number>
}
