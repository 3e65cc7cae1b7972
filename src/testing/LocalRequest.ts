/**
 * The requests that a `LocalServer` receives. `LocalServer` exports all of this module.
 *
 * @since 0.1.0
 */

/**
 * A message of the conversation, as far as an answer needs it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Message {
  /** `system`, `developer`, `user`, `assistant`, `tool` or `function`. */
  readonly role: string
  /** The text of the content: text parts joined, other parts left out, empty when there is none. */
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
  /** The JSON Schema of the arguments; `undefined` when the request gives none. */
  readonly parameters: unknown
}

/**
 * A request for a completion that was found to be in order.
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
  /** `max_completion_tokens`, else `max_tokens`; the answer is cut there with the finish reason `length`. */
  readonly maxTokens: number | undefined
  /** The answer ends before the first of these. */
  readonly stop: ReadonlyArray<string>
  readonly tools: ReadonlyArray<Tool>
  readonly toolChoice: "none" | "auto" | "required" | { readonly name: string }
  readonly responseFormat: "text" | "json_object" | { readonly schema: unknown }
  /** The whole body as it came. */
  readonly body: Readonly<Record<string, unknown>>
}

/**
 * What a server answers: a text, calls of tools, or an error.
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
  /** At least one. `arguments` is a value that is sent as JSON, or a text that is sent as it is. Default `{}`. */
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
