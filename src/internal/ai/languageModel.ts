/**
 * Implements the `LanguageModel` of `@effect/ai` with a completions service.
 */
import type * as AiError from "@effect/ai/AiError"
import * as IdGenerator from "@effect/ai/IdGenerator"
import * as LanguageModel from "@effect/ai/LanguageModel"
import * as Telemetry from "@effect/ai/Telemetry"
import * as DateTime from "effect/DateTime"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import { Config, type Settings } from "../../ai/AiSettings.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { InvalidRequestError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { decodeResponse, responseFormatOf, toAnswerSchema, withInstruction } from "../turn/structuredOutput.ts"
import { type Call, toAiError } from "./errors.ts"
import { toMessages } from "./messages.ts"
import { EchoMemory } from "./metadata.ts"
import { fromResponse, type Options as PartOptions } from "./parts.ts"
import { fromEvents } from "./streamParts.ts"
import { encodeParams, toolOptions, withTolerantToolkit } from "./tools.ts"

export const make = (
  completions: ChatCompletions.Service,
  config: LLMConfig
): Effect.Effect<LanguageModel.Service> => {
  const memory = new EchoMemory()
  const prepare = (method: Call["method"], provider: LanguageModel.ProviderOptions) =>
    Effect.gen(function*() {
      const settings = Option.getOrElse(yield* Effect.serviceOption(Config), (): Settings => ({}))
      const request = yield* toRequest(provider, { config, memory, method, settings })
      annotateRequest(provider, request)
      const parts: PartOptions = {
        method,
        provider,
        memory,
        id: yield* Effect.flatMap(IdGenerator.IdGenerator, (ids) => ids.generateId()),
        timestamp: DateTime.formatIso(yield* DateTime.now)
      }
      return { request, parts }
    })
  return Effect.map(
    LanguageModel.make({
      generateText: Effect.fnUntraced(function*(provider) {
        const { parts, request } = yield* prepare("generateText", provider)
        const response = yield* Effect.mapError(
          completions.complete(request),
          toAiError({ method: "generateText", config })
        )
        annotateResponse(provider, response)
        return yield* fromResponse(response, parts, yield* textOf(response, provider))
      }),
      streamText: (provider) =>
        Stream.unwrap(
          Effect.map(prepare("streamText", provider), ({ parts, request }) =>
            completions.stream(request).pipe(
              Stream.mapError(toAiError({ method: "streamText", config })),
              (events) => fromEvents(events, parts, (response) => annotateResponse(provider, response))
            ))
        )
    }),
    (service): LanguageModel.Service => ({
      generateText: (options) => service.generateText(withTolerantToolkit(options)),
      generateObject: (options) => service.generateObject(withTolerantToolkit(options)),
      streamText: (options) => service.streamText(withTolerantToolkit(options))
    })
  )
}

interface RequestOptions extends Call {
  readonly config: LLMConfig
  readonly memory: EchoMemory
  readonly settings: Settings
}

const toRequest = (
  provider: LanguageModel.ProviderOptions,
  { config, memory, method, settings: { conversation, strict, ...settings } }: RequestOptions
): Either.Either<ChatRequest, AiError.AiError> =>
  Either.gen(function*() {
    const encode = encodeParams(provider.tools)
    const messages = yield* toMessages(provider.prompt, { memory, method, encode })
    const format = yield* Either.mapLeft(toFormat(provider, messages, config), toAiError({ method, config }))
    const tools = yield* toolOptions(provider, strict, method)
    return { config, conversation, ...format, options: { ...settings, ...tools, ...format.options } }
  })

/**
 * The messages and the response format that ask for an answer in a Schema. Without the format `json_schema`, the messages
 * also contain the JSON Schema as an instruction.
 */
const toFormat = (
  { responseFormat }: LanguageModel.ProviderOptions,
  messages: ReadonlyArray<ChatMessage>,
  config: LLMConfig
): Either.Either<Pick<ChatRequest, "messages" | "options">, InvalidRequestError> => {
  if (responseFormat.type === "text") return Either.right({ messages })
  return Either.map(
    Either.try({
      try: () => toAnswerSchema(responseFormat.schema),
      catch: (cause) =>
        new InvalidRequestError({ message: "The Schema of the answer cannot be converted to JSON Schema", cause })
    }),
    ({ schema }) => {
      const format = responseFormatOf(config.wire.structuredOutput, responseFormat.objectName, schema)
      return {
        messages: format?.type === "json_schema" ? messages : withInstruction(messages, schema),
        options: { responseFormat: format }
      }
    }
  )
}

/**
 * The text of an answer. If the request has a Schema, this is only the JSON in the text, because models write code fences
 * and sentences around it. Without valid JSON it is the complete text, and `@effect/ai` reports what is wrong with it.
 */
const textOf = (
  response: ChatResponse,
  { responseFormat }: LanguageModel.ProviderOptions
): Effect.Effect<string> => {
  if (responseFormat.type === "text" || response.toolCalls.length > 0) return Effect.succeed(response.text)
  const encoded = Schema.encodedSchema(responseFormat.schema)
  return Effect.match(decodeResponse(encoded, response), {
    onFailure: () => response.text,
    onSuccess: (value) => JSON.stringify(value)
  })
}

const annotateRequest = ({ span }: LanguageModel.ProviderOptions, { config, options }: ChatRequest): void => {
  const { stop } = options ?? {}
  Telemetry.addGenAIAnnotations(span, {
    system: config.provider,
    operation: { name: "chat" },
    request: {
      model: options?.model ?? config.model,
      temperature: options?.temperature ?? config.temperature,
      topP: options?.topP ?? config.topP,
      maxTokens: options?.maxTokens ?? config.maxTokens,
      frequencyPenalty: options?.frequencyPenalty ?? config.frequencyPenalty,
      presencePenalty: options?.presencePenalty ?? config.presencePenalty,
      seed: options?.seed,
      stopSequences: typeof stop === "string" ? [stop] : stop
    }
  })
}

const annotateResponse = ({ span }: LanguageModel.ProviderOptions, response: ChatResponse): void =>
  Telemetry.addGenAIAnnotations(span, {
    response: { id: response.id, model: response.model, finishReasons: [response.finishReason] },
    usage: { inputTokens: response.usage?.inputTokens, outputTokens: response.usage?.outputTokens }
  })
