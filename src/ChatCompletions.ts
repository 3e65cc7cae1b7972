/**
 * The wire: one request for a completion, whole or streamed, to any OpenAI-compatible server.
 *
 * Knows HTTP and the protocol, and no history: every request carries all that is sent. Needs an `HttpClient` and
 * nothing else.
 *
 * @since 0.1.0
 */
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Stream from "effect/Stream"
import type { CallOptions } from "./CallOptions.ts"
import type { ChatError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { ChatMessage } from "./ChatMessage.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import { HttpWire } from "./internal/transport/http.ts"
import type { LLMConfig } from "./LLMConfig.ts"

/**
 * What is asked of a server.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChatRequest {
  readonly config: LLMConfig
  /** All that the model is to read, the system message included. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly options?: CallOptions | undefined
  /**
   * Whose call it is, for limits that are fair between conversations: calls with the same value are of one conversation,
   * and a call without is of none. A manager's chats have their id here. Never sent.
   */
  readonly conversation?: string | object | undefined
}

/**
 * What the wire offers.
 *
 * Both methods try again before the first event reaches the caller (a connection that fails, 408, 409, 429, 5xx, an
 * error event before any delta), at most `maxRetries` times and never sooner than the server said; both keep to the time
 * limits of the config. Their errors carry what had arrived of the answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The whole answer, asked for without a stream. */
  readonly complete: (request: ChatRequest) => Effect.Effect<ChatResponse, ChatError>
  /**
   * The answer as it arrives: deltas, then exactly one `Finish`. A stream that ends without a finish reason or `[DONE]`
   * fails with `TruncatedError`. Leaving the stream closes the connection.
   */
  readonly stream: (request: ChatRequest) => Stream.Stream<ChatEvent, ChatError>
}

/**
 * The tag of the wire service.
 *
 * @since 0.1.0
 * @category services
 */
export class ChatCompletions extends Context.Tag("effect-chat/ChatCompletions")<ChatCompletions, Service>() {}

/**
 * The wire service over the `HttpClient` at hand.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: Effect.Effect<Service, never, HttpClient.HttpClient> = Effect.map(
  HttpClient.HttpClient,
  (client): Service => new HttpWire(client)
)

/**
 * The wire service as a layer.
 *
 * @since 0.1.0
 * @category layers
 */
export const layer: Layer.Layer<ChatCompletions, never, HttpClient.HttpClient> = Layer.effect(ChatCompletions, make)
