/**
 * `@effect/ai-openai-compat` and `@effect/ai-openrouter` of version 4, by this library. Only the usage has another form in
 * version 4, and is converted.
 */
import { LanguageModel, type Response } from "@effect/ai"
import { HttpClient } from "@effect/platform"
import { Context, Effect, Layer, type Redacted, Schema, Stream } from "effect"
import { Provider } from "effect-chat"
import { AiLanguageModel } from "effect-chat/ai"

class Client extends Context.Tag("effect-chat-bench/effect4/providers/Client")<
  Client,
  { readonly apiKey: Redacted.Redacted; readonly http: HttpClient.HttpClient }
>() {}

const layer = ({ apiKey }: { readonly apiKey: Redacted.Redacted }) =>
  Layer.effect(Client, Effect.map(HttpClient.HttpClient, (http) => ({ apiKey, http })))

interface Config extends Readonly<Record<string, unknown>> {
  readonly temperature?: number
  /** Not sent. */
  readonly fileIdPrefixes?: unknown
  readonly strictJsonSchema?: unknown
}

const toVersion4 = (
  { cachedInputTokens = 0, inputTokens = 0, outputTokens = 0, reasoningTokens = 0 }: typeof Response.Usage.Type
) => ({
  inputTokens: {
    uncached: inputTokens - cachedInputTokens,
    total: inputTokens,
    cacheRead: cachedInputTokens,
    cacheWrite: undefined
  },
  outputTokens: { total: outputTokens, text: outputTokens - reasoningTokens, reasoning: reasoningTokens }
})

const converted = <Part extends { readonly type: string }>(part: Part): Part =>
  part.type === "finish" && "usage" in part
    ? { ...part, usage: toVersion4(part.usage as typeof Response.Usage.Type) }
    : part

const provider = (preset: Provider.Preset) => ({
  model: (
    model: string,
    { fileIdPrefixes: _prefixes, strictJsonSchema: _strict, temperature, ...extraBody }: Config = {}
  ) =>
    Layer.effect(
      LanguageModel.LanguageModel,
      Effect.gen(function*() {
        const { apiKey, http } = yield* Client
        const given = temperature === undefined ? {} : { temperature }
        const settings = { ...preset, ...given, apiKey, model, extraBody, maxRetries: 0 }
        const own = yield* Effect.provideService(
          Effect.orDie(AiLanguageModel.make(settings)),
          HttpClient.HttpClient,
          http
        )
        const strict = AiLanguageModel.withSettings({ strict: true })
        const generateText = (options: Parameters<typeof own.generateText>[0]) =>
          Effect.map(
            strict(own.generateText(options)),
            ({ content }) => new LanguageModel.GenerateTextResponse(content.map(converted))
          )
        const streamText = (options: Parameters<typeof own.streamText>[0]) =>
          Stream.map(own.streamText(options), converted)
        return { ...own, generateText, streamText } as LanguageModel.Service
      })
    )
})

export const OpenAiClient = { layer }
export const OpenAiLanguageModel = provider(Provider.openai)
export const OpenRouterClient = { layer }
export const OpenRouterLanguageModel = provider(Provider.openrouter)
export const Generated = { SendChatCompletionRequest200: Schema.Any, ChatStreamChunk: Schema.Any }
