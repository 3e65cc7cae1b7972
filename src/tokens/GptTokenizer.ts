/**
 * Tokens as OpenAI's models count them, by the package `gpt-tokenizer`, an optional peer of this one.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ChatMessage } from "../ChatMessage.ts"
import { inBlocks } from "../internal/window/blocks.ts"
import * as TokenCounter from "./TokenCounter.ts"

/**
 * The tokenizer could not be loaded, most likely because `gpt-tokenizer` is not installed.
 *
 * @since 0.1.0
 * @category errors
 */
export class TokenizerError extends Schema.TaggedError<TokenizerError>("effect-chat/GptTokenizer/TokenizerError")(
  "TokenizerError",
  { message: Schema.String, cause: Schema.Defect }
) {}

/**
 * What a counter counts beside texts.
 *
 * @since 0.1.0
 * @category models
 */
export type Options = Omit<TokenCounter.Options, "text">

/**
 * A counter by the encoding `o200k_base`, that of GPT-4o and the models since. Other families of models have encodings of
 * their own: for them it is an estimate.
 *
 * Loads the encoding when it is run, and at most once: some 70 MB, in a quarter of a second. Texts count exactly up to
 * 1000 characters, and beyond within one token for each 1000 of them, which keeps the time linear in the length whatever
 * the text is. A message is counted once, as long as it is in memory.
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
    // What looks like a control token is text here: the tokenizer would throw.
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
