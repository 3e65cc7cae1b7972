/**
 * The request for one completion.
 *
 * @since 0.1.0
 */
import type { CallOptions } from "./CallOptions.ts"
import type { ChatMessage } from "./ChatMessage.ts"
import type { LLMConfig } from "./LLMConfig.ts"

/**
 * The request for one completion: config, messages and options.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChatRequest {
  readonly config: LLMConfig
  /** All messages that the model reads, the system message included. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly options?: CallOptions | undefined
  /**
   * The fairness key for `Limits`: calls with the same value belong to one conversation, and a call without a value to
   * none. A manager's chats have their id here. Never sent.
   */
  readonly conversation?: string | object | undefined
  /**
   * Stops the call when it is aborted: the connection ends, and so does a wait in the queue of `Limits`, between two
   * retries or between two servers of a `Fallback`. Never sent.
   */
  readonly signal?: AbortSignal | undefined
}
