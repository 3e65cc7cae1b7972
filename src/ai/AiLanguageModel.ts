/**
 * A `LanguageModel` of `@effect/ai` for any OpenAI-compatible server.
 *
 * `generateText`, `streamText`, `generateObject`, `Chat` and its persistence run unchanged. Requests are sent by
 * `ChatCompletions`, with its retries, time limits and adjustments to servers. {@link fromCompletions} adds `Limits` and
 * `Fallback`.
 *
 * - Errors are errors of `@effect/ai`. Their `cause` is the `ChatError`.
 * - The prompt contains the system messages. `systemPrompt` of the config is not sent.
 * - A stream begins with `response-metadata`. All tool calls of an answer are emitted together when the answer is complete,
 *   then their results, then `finish`. The calls of a truncated answer are not run.
 * - The metadata of `finish` has a member `effect-chat`. It contains further data of the answer, and the data that the
 *   server requires in later requests, such as encrypted reasoning. An assistant message with that data in
 *   `options["effect-chat"]` sends it back. Because `Chat` drops metadata, a model also remembers this data for the last
 *   1000 answers that have it.
 *
 * @since 0.1.0
 */
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as AiModel from "@effect/ai/Model"
import * as Prompt from "@effect/ai/Prompt"
import type * as AiResponse from "@effect/ai/Response"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as ParseResult from "effect/ParseResult"
import * as ChatCompletions from "../ChatCompletions.ts"
import * as Model from "../internal/ai/languageModel.ts"
import { metadataKey } from "../internal/ai/metadata.ts"
import * as LLMConfig from "../LLMConfig.ts"

/**
 * The settings of calls, tools and handlers.
 *
 * @since 0.1.0
 */
export * from "./AiSettings.ts"

/**
 * Makes a model for the server of a config. Fails if a setting is invalid: the error names the field, the value and the rule.
 *
 * @example
 * import { Effect } from "effect"
 * import { AiLanguageModel } from "effect-chat/ai"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const bad = AiLanguageModel.make({ baseUrl: "ftp://127.0.0.1", model: "qwen3" })
 *
 * const error = Effect.runSync(Effect.flip(bad).pipe(Effect.provide(ScriptedHttpClient.layer([]))))
 * assert.match(error.message, /^baseUrl: Expected an http or https URL/)
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: LLMConfig.LLMConfig | LLMConfig.Options
): Effect.Effect<LanguageModel.Service, ParseResult.ParseError, HttpClient.HttpClient> =>
  Effect.flatMap(ChatCompletions.make, (completions) => fromCompletions(completions, config))

/**
 * Like {@link make}, with a completions service of the program, for example one with limits or fallbacks.
 *
 * @example
 * import { Effect } from "effect"
 * import { ChatCompletions, Limits } from "effect-chat"
 * import { AiLanguageModel } from "effect-chat/ai"
 *
 * export const model = Effect.gen(function*() {
 *   const completions = yield* ChatCompletions.make
 *   const limited = yield* Limits.make({ concurrency: 4 }).over(completions)
 *   return yield* AiLanguageModel.fromCompletions(limited, { baseUrl: "http://127.0.0.1:11434/v1", model: "qwen3" })
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCompletions = (
  completions: ChatCompletions.Service,
  config: LLMConfig.LLMConfig | LLMConfig.Options
): Effect.Effect<LanguageModel.Service, ParseResult.ParseError> =>
  Effect.flatMap(LLMConfig.decode(config), (config) => Model.make(completions, config))

/**
 * {@link make} as a layer.
 *
 * @example
 * import { LanguageModel } from "@effect/ai"
 * import { Effect, Layer } from "effect"
 * import { AiLanguageModel } from "effect-chat/ai"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = LanguageModel.generateText({ prompt: "Hello!" })
 *
 * const Model = AiLanguageModel.layer({ baseUrl: "http://127.0.0.1:11434/v1", model: "qwen3" })
 * const Server = ScriptedHttpClient.layer([
 *   ScriptedHttpClient.json({ choices: [{ message: { content: "Hi!" }, finish_reason: "stop" }] })
 * ])
 *
 * const { text } = await Effect.runPromise(program.pipe(Effect.provide(Model.pipe(Layer.provide(Server)))))
 * assert.strictEqual(text, "Hi!")
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  config: LLMConfig.LLMConfig | LLMConfig.Options
): Layer.Layer<LanguageModel.LanguageModel, ParseResult.ParseError, HttpClient.HttpClient> =>
  Layer.effect(LanguageModel.LanguageModel, make(config))

/**
 * A layer with the settings of the environment. `LLMConfig.config` lists the variables.
 *
 * @example
 * import { LanguageModel } from "@effect/ai"
 * import { FetchHttpClient } from "@effect/platform"
 * import { Effect, Layer } from "effect"
 * import { AiLanguageModel } from "effect-chat/ai"
 *
 * const Model = AiLanguageModel.layerConfig.pipe(Layer.provide(FetchHttpClient.layer))
 *
 * export const program = Effect.provide(LanguageModel.generateText({ prompt: "Hello!" }), Model)
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig: Layer.Layer<
  LanguageModel.LanguageModel,
  ConfigError.ConfigError | ParseResult.ParseError,
  HttpClient.HttpClient
> = Layer.effect(LanguageModel.LanguageModel, Effect.flatMap(LLMConfig.config, make))

/**
 * Makes a `Model` of `@effect/ai`: a layer with the name of the provider.
 *
 * @example
 * import { LLMConfig, Provider } from "effect-chat"
 * import { AiLanguageModel } from "effect-chat/ai"
 *
 * const qwen = AiLanguageModel.model(LLMConfig.make({ ...Provider.ollama, model: "qwen3" }))
 *
 * assert.strictEqual(qwen.provider, "ollama")
 *
 * @since 0.1.0
 * @category constructors
 */
export const model = (
  config: LLMConfig.LLMConfig
): AiModel.Model<string, LanguageModel.LanguageModel, HttpClient.HttpClient> =>
  AiModel.make(config.provider, Layer.orDie(layer(config)))

/**
 * Converts the parts of an answer to prompt messages, like `Prompt.fromResponseParts`. It keeps the data that the server
 * requires in later requests.
 *
 * Use it in programs that store prompts and send them after a restart. `Chat` does not need it, because the model remembers
 * this data in memory.
 *
 * @example
 * import { Response } from "@effect/ai"
 * import { AiLanguageModel } from "effect-chat/ai"
 *
 * const prompt = AiLanguageModel.fromResponseParts([Response.makePart("text", { text: "Hi!" })])
 * assert.strictEqual(prompt.content[0]?.role, "assistant")
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromResponseParts = (parts: ReadonlyArray<AiResponse.AnyPart>): Prompt.Prompt => {
  const echo = parts.find((part) => part.type === "finish")?.metadata[metadataKey]
  const prompt = Prompt.fromResponseParts(parts)
  if (echo === undefined || !("opaque" in echo || "toolCalls" in echo)) return prompt
  const options = { [metadataKey]: { opaque: echo["opaque"], toolCalls: echo["toolCalls"] } }
  return Prompt.fromMessages(
    prompt.content.map((message) => message.role === "assistant" ? { ...message, options } : message)
  )
}
