/**
 * Counts or estimates the tokens of messages. Windows use a counter to fit a history into a budget of tokens.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { ChatMessage, ContentPart } from "../ChatMessage.ts"
import type { ToolCall } from "../ChatResponse.ts"

/**
 * Counts the tokens of messages.
 *
 * A count is a number, or an Effect if it has to be computed elsewhere. A count that is `NaN` fits no budget.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenCounter {
  readonly count: (message: ChatMessage) => number | Effect.Effect<number>
}

/**
 * A counter that returns every count as a number.
 *
 * @since 0.1.0
 * @category models
 */
export interface Synchronous extends TokenCounter {
  readonly count: (message: ChatMessage) => number
}

/**
 * Options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The tokens of a text. Default {@link estimateText}. */
  readonly text?: ((text: string) => number) | undefined
  /** The tokens of an image. Default 765, or 85 for low detail: what OpenAI counts for 1024 × 1024 pixels. */
  readonly image?: number | undefined
  /** Whether the reasoning of earlier answers counts. Some servers want it sent back. Default true. */
  readonly reasoning?: boolean | undefined
}

/**
 * Makes a counter of messages from a function that counts the tokens of a text.
 *
 * A message takes 4 tokens in addition to its contents, and each tool call takes 4 in addition to its name and arguments.
 * A recording takes 10 tokens a second; its length is derived from its size (16 kB a second of mp3, 48 kB of wav). A file
 * takes 1500 tokens, or one for every 32 characters of its `data:` URL if that is more.
 *
 * @example
 * import { TokenCounter } from "effect-chat"
 * import { user } from "effect-chat/ChatMessage"
 *
 * const words = TokenCounter.make({ text: (text) => text.split(" ").length })
 *
 * assert.strictEqual(words.count(user("three small words")), 7)
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Synchronous => {
  // Chat formats delimit each message and each tool call.
  const overhead = 4
  // The text and the image of one page.
  const filePage = 1500
  const { image, reasoning = true, text = estimateText } = options

  const partTokens = (part: ContentPart): number => {
    switch (part.type) {
      case "text":
        return text(part.text)
      case "image":
        return image ?? (part.detail === "low" ? 85 : 765)
      case "audio":
        return Math.ceil(part.data.length / (part.format === "mp3" ? 2133 : 6400))
      case "file":
        return Math.max(filePage, Math.ceil((part.data?.length ?? 0) / 32))
    }
  }
  const callTokens = (call: ToolCall): number => overhead + text(call.name) + text(call.arguments)
  const optionalTokens = (value: string | undefined): number => value === undefined ? 0 : text(value)

  const contentTokens = (message: ChatMessage): number => {
    const { content } = message
    const tokens = typeof content === "string" ? text(content) : sumOf(content, partTokens)
    if (message.role === "tool") return tokens + sumOf(message.media ?? [], partTokens)
    if (message.role !== "assistant") return tokens
    return tokens + (reasoning ? optionalTokens(message.reasoning) : 0) + optionalTokens(message.refusal) +
      sumOf(message.toolCalls ?? [], callTokens)
  }
  return { count: (message) => overhead + contentTokens(message) }
}

/**
 * Estimates the tokens of a text from its characters: a quarter for a Latin letter without accents or a space, a half for
 * other ASCII and for letters of other alphabets, and 1 from U+2E80 on, where Chinese, Japanese and Korean are.
 *
 * Compared with OpenAI's `o200k_base`, this is about right for English, code and JSON, and up to 75 % too high for other
 * languages. Random characters, such as base64, take about twice the estimate.
 *
 * @example
 * import { TokenCounter } from "effect-chat"
 *
 * assert.strictEqual(TokenCounter.estimateText("Hello world!"), 4)
 * assert.strictEqual(TokenCounter.estimateText("你好"), 2)
 *
 * @since 0.1.0
 * @category combinators
 */
export const estimateText = (text: string): number => {
  let quarters = 0
  for (let i = 0; i < text.length; i++) quarters += quartersOf(text.charCodeAt(i))
  return Math.ceil(quarters / 4)
}

const sumOf = <A>(items: ReadonlyArray<A>, count: (item: A) => number): number =>
  items.reduce((sum, item) => sum + count(item), 0)

const quartersOf = (code: number): number => {
  if (code >= 0x2e80) return 4
  const lower = code | 0x20
  return code < 0x80 && ((lower >= 0x61 && lower <= 0x7a) || code === 0x20) ? 1 : 2
}

/**
 * The counter that needs no tokenizer: {@link make} over {@link estimateText}.
 *
 * @example
 * import { TokenCounter } from "effect-chat"
 * import { user } from "effect-chat/ChatMessage"
 *
 * assert.strictEqual(TokenCounter.estimate.count(user("Hello world!")), 8)
 *
 * @since 0.1.0
 * @category constructors
 */
export const estimate: Synchronous = make({})
