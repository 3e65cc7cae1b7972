/**
 * Helpers for the tests of `effect-chat/ai`.
 */
import type { AiError, Prompt, Response, Tool } from "@effect/ai"
import { LanguageModel } from "@effect/ai"
import type { HttpClient } from "@effect/platform"
import { Chunk, Effect, Layer, Stream } from "effect"
import type { LLMConfig } from "effect-chat"
import { AiLanguageModel } from "effect-chat/ai"
import { ScriptedHttpClient } from "effect-chat/testing"

/** Any part of an answer. */
export type Part = Response.AnyPart

/** The types of parts, in order. */
export const types = (parts: ReadonlyArray<Part>): ReadonlyArray<string> => parts.map((part) => part.type)

/** The parts of a stream. */
export const parts = (
  options: { readonly prompt: Prompt.RawInput }
): Effect.Effect<
  ReadonlyArray<Response.StreamPart<Record<string, Tool.Any>>>,
  AiError.AiError,
  LanguageModel.LanguageModel
> => Effect.map(Stream.runCollect(LanguageModel.streamText(options)), Chunk.toReadonlyArray)

/** Runs a program on a model with a scripted server. */
export const withModel = (script: ScriptedHttpClient.Script, config?: Partial<LLMConfig.Options>) =>
<A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<
  A,
  E,
  Exclude<R, LanguageModel.LanguageModel | HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient>
> =>
  Effect.provide(
    program,
    Layer.orDie(AiLanguageModel.layer({ baseUrl: "http://scripted.test/v1", model: "m", maxRetries: 0, ...config }))
      .pipe(
        Layer.provideMerge(ScriptedHttpClient.layer(script))
      )
  )
