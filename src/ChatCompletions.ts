/**
 * Completions: one request to any OpenAI-compatible server, answered by a stream or by one response.
 *
 * The service knows HTTP and the protocol, but no history: every request contains all messages. It requires only an
 * `HttpClient`.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { ChatError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type * as Request from "./ChatRequest.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import * as Completion from "./internal/transport/completion.ts"

/**
 * The request of a call; see {@link Request.ChatRequest}.
 *
 * @since 0.1.0
 * @category models
 */
export type ChatRequest = Request.ChatRequest

/**
 * The completions service.
 *
 * Both methods retry failed connections, 408, 409, 429, 5xx and error events, at most `maxRetries` times and never sooner
 * than the server allows. They do not retry after the first event reached the caller. Both apply the time limits of the
 * config. Their errors contain the part of the answer that arrived.
 *
 * Both end when `ChatRequest.signal` is aborted. This is not a failure: `complete` is interrupted, and `stream` ends without
 * `Finish`. A service that ignores the signal works too: a turn that is stopped no longer reads its stream.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The complete answer, requested without a stream. */
  readonly complete: (request: ChatRequest) => Effect.Effect<ChatResponse, ChatError>
  /**
   * The answer as it arrives: deltas, then exactly one `Finish`. A server's stream that ends without a finish reason or
   * `[DONE]` fails with `TruncatedError`. The connection closes when the consumer stops reading.
   */
  readonly stream: (request: ChatRequest) => Stream.Stream<ChatEvent, ChatError>
}

/**
 * The tag of the completions service.
 *
 * @since 0.1.0
 * @category services
 */
export class ChatCompletions extends Context.Tag("effect-chat/ChatCompletions")<ChatCompletions, Service>() {}

/**
 * The completions service over the `HttpClient` of the context.
 *
 * @example
 * import { Effect } from "effect"
 * import { ChatCompletions, ChatMessage, LLMConfig } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const completions = yield* ChatCompletions.make
 *   const { text } = yield* completions.complete({
 *     config: LLMConfig.make({ baseUrl: "http://localhost/v1" }),
 *     messages: [ChatMessage.user("Hi")]
 *   })
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])])
 *
 * Effect.runPromise(Effect.provide(program, script))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.map(
  HttpClient.HttpClient,
  (client): Service => Completion.make(client)
)

/**
 * The completions service as a layer.
 *
 * @example
 * import { Effect, Layer, Stream } from "effect"
 * import { ChatCompletions, ChatMessage, LLMConfig } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const completions = yield* ChatCompletions.ChatCompletions
 *   const events = yield* Stream.runCollect(completions.stream({
 *     config: LLMConfig.make({ baseUrl: "http://localhost/v1" }),
 *     messages: [ChatMessage.user("Hi")]
 *   }))
 *   assert.deepStrictEqual(Array.from(events, ({ _tag }) => _tag), ["Begin", "TextDelta", "TextDelta", "Finish"])
 * })
 *
 * const Completions = ChatCompletions.layer.pipe(
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Completions))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ChatCompletions, never, HttpClient.HttpClient> = Layer.effect(ChatCompletions, make)
