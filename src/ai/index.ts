/**
 * This library as a provider of `@effect/ai`: its programs run on any OpenAI-compatible server.
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
 * Tokenizers of `@effect/ai` for windows.
 *
 * @since 0.1.0
 */
export * as AiTokenCounter from "./AiTokenCounter.ts"

/**
 * Toolkits of `@effect/ai` in turns.
 *
 * @since 0.1.0
 */
export * as AiToolSet from "./AiToolSet.ts"
