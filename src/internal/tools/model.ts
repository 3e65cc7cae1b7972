/**
 * The models of tools and their results.
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { JsonSchema } from "../../CallOptions.ts"
import type { ContentPart } from "../../ChatMessage.ts"

/**
 * Identifies the call that a handler runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface Context {
  /** The id of the conversation. */
  readonly conversation: string
  readonly turnId: string
  /** Counts the requests of the turn from 0. */
  readonly step: number
  /** The library's own id of the call, which no other call shares. Use it as an idempotency key. */
  readonly callId: string
}

/**
 * A result made of parts. The model receives images, audio and files as parts, never as text.
 *
 * @since 0.1.0
 * @category models
 */
export class Content extends Data.TaggedClass("ToolContent")<{ readonly parts: ReadonlyArray<ContentPart> }> {}

/**
 * Arguments that a tool does not accept. The message is sent to the model.
 *
 * @since 0.1.0
 * @category errors
 */
export class ArgumentsError extends Data.TaggedError("ArgumentsError")<{ readonly message: string }> {}

/**
 * A call with decoded arguments.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prepared<out R> {
  readonly needsApproval: Effect.Effect<boolean, never, R>
  readonly run: (context: Context) => Effect.Effect<Result, HandlerFailure, R>
}

/**
 * The encoded success of a handler.
 *
 * @since 0.1.0
 * @category models
 */
export interface Result {
  readonly text: string
  readonly media: ReadonlyArray<ContentPart>
}

/**
 * The typed failure of a handler: the text for the model, and the failure itself for the program.
 *
 * @since 0.1.0
 * @category errors
 */
export class HandlerFailure
  extends Data.TaggedError("HandlerFailure")<{ readonly text: string; readonly cause: unknown }>
{}

/**
 * A tool with its handler. `R` are the services that the handler and the tool's Schemas need.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tool<in Input, out Success, out Failure, out R> {
  readonly name: string
  readonly description?: string | undefined
  /** The JSON Schema of the arguments. */
  readonly parameters: JsonSchema
  readonly strict?: boolean | undefined
  /** How long the handler may run. Undefined for no limit. */
  readonly timeout: Duration.Duration | undefined
  /** The maximum number of characters of a result. */
  readonly maxResultLength: number
  /** Whether a failure of the handler is sent to the model, or fails the turn. */
  readonly failureMode: "report" | "error"
  readonly handler: (input: Input, context: Context) => Effect.Effect<Success, Failure, R>
  /** Decodes the arguments of a call. */
  readonly prepare: (args: unknown) => Effect.Effect<Prepared<R>, ArgumentsError, R>
}

/**
 * Any tool.
 *
 * @since 0.1.0
 * @category models
 */
export type Any = Tool<never, unknown, unknown, unknown>

/**
 * A tool that needs no services.
 *
 * @since 0.1.0
 * @category models
 */
export type Provided = Tool<never, unknown, unknown, never>

/**
 * The services that a tool needs.
 *
 * @since 0.1.0
 * @category models
 */
export type Services<T extends Any> = T extends Tool<never, unknown, unknown, infer R> ? R : never

/**
 * The settings of a tool.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings<Input, R> {
  /** 1 to 64 letters, digits, `_` or `-`. */
  readonly name: string
  readonly description?: string | undefined
  /** Whether the arguments must match the JSON Schema exactly. Default: the server's default. */
  readonly strict?: boolean | undefined
  /** How long the handler may run. Default: no limit. */
  readonly timeout?: Duration.DurationInput | undefined
  /** The maximum number of characters of a result. A longer result is cut in the middle. Default 50 000. */
  readonly maxResultLength?: number | undefined
  /** Whether calls need an approval. If the function fails, the call needs one. Default false. */
  readonly needsApproval?: boolean | ((input: Input) => boolean | Effect.Effect<boolean, unknown, R>) | undefined
  /** `report` (default) sends the model a failure of the handler; `error` fails the turn with a `ToolError`. */
  readonly failureMode?: "report" | "error" | undefined
}
