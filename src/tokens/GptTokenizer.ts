/**
 * Counts tokens as OpenAI's models do, with the package `gpt-tokenizer`, an optional peer dependency.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ChatMessage } from "../ChatMessage.ts"
import * as TokenCounter from "./TokenCounter.ts"

/**
 * The tokenizer could not be loaded, probably because `gpt-tokenizer` is not installed.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenizerError extends Schema.TaggedError<TokenizerError>("effect-chat/GptTokenizer/TokenizerError")(
  "TokenizerError",
  { message: Schema.String, cause: Schema.Defect }
) {}

/**
 * Options of {@link make}.
 *
 * @since 0.1.0
 * @category models
 */
export type Options = Omit<TokenCounter.Options, "text">

/**
 * Makes a counter with the encoding `o200k_base` of GPT-4o and later models. Other model families have other encodings,
 * so for them the count is an estimate.
 *
 * The encoding is loaded when the effect runs for the first time: about 70 MB, in a quarter of a second. The count is exact
 * for texts of up to 1000 characters. For longer texts it is off by at most one token per 1000 characters, which keeps the
 * time linear in the length of any text. A message is counted once while it is in memory.
 *
 * @example
 * import { Effect } from "effect"
 * import { user } from "effect-chat/ChatMessage"
 * import * as GptTokenizer from "effect-chat/tokens/GptTokenizer"
 *
 * const program = Effect.gen(function*() {
 *   const counter = yield* GptTokenizer.make()
 *   assert.strictEqual(counter.count(user("Hello world!")), 7)
 * })
 *
 * Effect.runPromise(program)
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options = {}): Effect.Effect<TokenCounter.Synchronous, TokenizerError> =>
  Effect.map(load, ({ countTokens }) => {
    // By default, the tokenizer throws for a text that contains the name of a control token.
    const encoding = { disallowedSpecial: new Set<string>() }
    const counter = TokenCounter.make({ ...options, text: inBlocks((text) => countTokens(text, encoding)) })
    const counts = new WeakMap<ChatMessage, number>()
    return {
      count: (message) => {
        const known = counts.get(message)
        if (known !== undefined) return known
        const count = counter.count(message)
        counts.set(message, count)
        return count
      }
    }
  })

const load = Effect.tryPromise({
  try: () => import("gpt-tokenizer/encoding/o200k_base"),
  catch: (cause) =>
    new TokenizerError({ message: "gpt-tokenizer could not be loaded: is it installed beside effect-chat?", cause })
})

/** The maximum length of a block, in characters. */
const blockSize = 1000

/** Adds up a function over the blocks of a text. A block ends before a space if its second half has one. */
const inBlocks = (f: (block: string) => number): (text: string) => number => (text) => {
  if (text.length <= blockSize) return text === "" ? 0 : f(text)
  let sum = 0
  for (let from = 0; from < text.length;) {
    const to = blockEnd(text, from)
    sum += f(text.slice(from, to))
    from = to
  }
  return sum
}

const blockEnd = (text: string, from: number): number => {
  const limit = from + blockSize
  if (limit >= text.length) return text.length
  const middle = from + blockSize / 2
  const space = text.slice(middle, limit).lastIndexOf(" ")
  return space === -1 ? limit : middle + space
}
