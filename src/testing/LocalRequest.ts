/**
 * The requests that a `LocalServer` receives. `LocalServer` exports all of this module.
 *
 * @since 0.1.0
 */

/**
 * A message of the conversation, reduced to what an answer needs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message {
  /** `system`, `developer`, `user`, `assistant`, `tool` or `function`. */
  readonly role: string
  /** The text of the content: the text parts joined, without other parts. Empty if there is none. */
  readonly content: string
}

/**
 * A function that the request offers.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tool {
  readonly name: string
  /** The JSON Schema of the arguments. `undefined` if the request has none. */
  readonly parameters: unknown
}

/**
 * A valid request for a completion.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChatRequest {
  readonly model: string
  /** At least one. */
  readonly messages: ReadonlyArray<Message>
  readonly stream: boolean
  /** Whether the stream ends with a chunk of usage. */
  readonly includeUsage: boolean
  /** `max_completion_tokens`, or else `max_tokens`. A longer answer is cut off with the finish reason `length`. */
  readonly maxTokens: number | undefined
  /** The stop sequences: the answer ends before the first of them. */
  readonly stop: ReadonlyArray<string>
  readonly tools: ReadonlyArray<Tool>
  readonly toolChoice: "none" | "auto" | "required" | { readonly name: string }
  readonly responseFormat: "text" | "json_object" | { readonly schema: unknown }
  /** The complete body. */
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * The answer of the server: a text, tool calls, or an error.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer = string | ToolCallsAnswer | ErrorAnswer

/**
 * An answer that calls tools.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCallsAnswer {
  /** At least one. `arguments` is a value that is sent as JSON, or a text that is sent unchanged. Default `{}`. */
  readonly toolCalls: ReadonlyArray<{ readonly name: string; readonly arguments?: unknown }>
}

/**
 * An error in place of an answer.
 *
 * @since 0.1.0
 * @category models
 */
export interface ErrorAnswer {
  readonly error: { readonly status: number; readonly message: string; readonly code?: string | undefined }
}
