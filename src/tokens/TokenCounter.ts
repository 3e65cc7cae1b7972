/**
 * How many tokens a message takes, counted or estimated.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { ChatMessage, ContentPart } from "../ChatMessage.ts"
import type { ToolCall } from "../ChatResponse.ts"

/**
 * Counts the tokens of messages.
 *
 * A count is a number where it is at hand, and an Effect where it has to be computed elsewhere. A count that is `NaN`
 * fits no budget.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokenCounter {
  readonly count: (message: ChatMessage) => number | Effect.Effect<number>
}

/**
 * A counter that has every count at hand.
 *
 * @since 0.1.0
 * @category models
 */
export interface Synchronous extends TokenCounter {
  readonly count: (message: ChatMessage) => number
}

/**
 * What a counter counts, and how.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The tokens of a text. Default {@link estimateText}. */
  readonly text?: ((text: string) => number) | undefined
  /** The tokens of an image. Default 765, and 85 for one of low detail: what OpenAI takes for 1024 × 1024 pixels. */
  readonly image?: number | undefined
  /** Whether the reasoning of earlier answers counts, which some servers want sent back. Default true. */
  readonly reasoning?: boolean | undefined
}

/**
 * A counter of whole messages over one of texts.
 *
 * A message takes 4 tokens beside its contents, and so does each tool call beside its name and arguments. A recording
 * takes 10 tokens a second, its length being told by its size (16 kB a second of mp3, 48 kB of wav). A file takes 1500
 * tokens, or one for every 32 characters of its `data:` URL where that is more.
 *
 * @example
 * import { user } from "effect-chat/ChatMessage"
 * import * as TokenCounter from "effect-chat/tokens/TokenCounter"
 *
 * const words = TokenCounter.make({ text: (text) => text.split(" ").length })
 *
 * assert.strictEqual(words.count(user("three small words")), 7)
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Synchronous => {
  // What chat formats put around each message, and around each tool call.
  const overhead = 4
  // An A4 page's text and its picture.
  const filePage = 1500
  const { image, reasoning = true, text = estimateText } = options

  const part = (part: ContentPart): number => {
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
  const call = (call: ToolCall): number => overhead + text(call.name) + text(call.arguments)
  const some = (said: string | undefined): number => said === undefined ? 0 : text(said)

  const contents = (message: ChatMessage): number => {
    const { content } = message
    const said = typeof content === "string" ? text(content) : total(content, part)
    return message.role === "assistant"
      ? said + (reasoning ? some(message.reasoning) : 0) + some(message.refusal) + total(message.toolCalls ?? [], call)
      : said
  }
  return { count: (message) => overhead + contents(message) }
}

/**
 * The tokens of a text, estimated from its characters: a quarter for a Latin letter without accents or a space, a half
 * for other ASCII and for letters of other alphabets, and 1 from U+2E80 on, where Chinese, Japanese and Korean are.
 *
 * Against OpenAI's `o200k_base` this is about right for English, code and JSON, and up to three quarters too much for other
 * languages. Random characters, such as base64, take about twice what it says.
 *
 * @example
 * import * as TokenCounter from "effect-chat/tokens/TokenCounter"
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

const total = <A>(items: ReadonlyArray<A>, count: (item: A) => number): number =>
  items.reduce((sum, item) => sum + count(item), 0)

const quartersOf = (code: number): number => {
  if (code >= 0x2e80) return 4
  const lower = code | 0x20
  return code < 0x80 && ((lower >= 0x61 && lower <= 0x7a) || code === 0x20) ? 1 : 2
}

/**
 * The counter that needs no tokenizer: {@link make} over {@link estimateText}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const estimate: Synchronous = make({})
