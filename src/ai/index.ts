/**
 * Integrates this library with `@effect/ai`: a `LanguageModel` for OpenAI-compatible servers, token counters and tool sets.
 *
 * @since 0.1.0
 */

/**
 * A `LanguageModel` of `@effect/ai`.
 *
 * @since 0.1.0
 */
export * as AiLanguageModel from "./AiLanguageModel.ts"

/**
 * Token counters from tokenizers of `@effect/ai`.
 *
 * @since 0.1.0
 */
export * as AiTokenCounter from "./AiTokenCounter.ts"

/**
 * Tool sets from toolkits of `@effect/ai`.
 *
 * @since 0.1.0
 */
export * as AiToolSet from "./AiToolSet.ts"
