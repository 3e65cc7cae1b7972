/**
 * What a single call may ask for beyond its conversation's config.
 *
 * @since 0.1.0
 */
import * as JSONSchema from "effect/JSONSchema"
import type * as Schema from "effect/Schema"

/**
 * A JSON Schema, as an object.
 *
 * @since 0.1.0
 * @category models
 */
export type JsonSchema = Readonly<Record<string, unknown>>

/**
 * A function that the model may ask for.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tool {
  readonly name: string
  readonly description?: string | undefined
  /** The shape of the arguments; none where absent. */
  readonly parameters?: JsonSchema | undefined
  /** Whether the model must keep to the shape exactly; the server's default where absent. */
  readonly strict?: boolean | undefined
}

/**
 * The form that an answer must have.
 *
 * @since 0.1.0
 * @category models
 */
export type ResponseFormat =
  | { readonly type: "text" }
  | { readonly type: "json_object" }
  | {
    readonly type: "json_schema"
    readonly name: string
    readonly description?: string | undefined
    readonly schema: JsonSchema
    readonly strict?: boolean | undefined
  }

/**
 * The options of one call. What is absent comes from the config; a sampling field that is `null` is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallOptions {
  readonly model?: string | undefined
  /** 0 to 2. */
  readonly temperature?: number | null | undefined
  /** 0 to 1. */
  readonly topP?: number | null | undefined
  /** 1 or more. */
  readonly maxTokens?: number | null | undefined
  /** −2 to 2. */
  readonly frequencyPenalty?: number | null | undefined
  /** −2 to 2. */
  readonly presencePenalty?: number | null | undefined
  /** Texts at which the answer ends. */
  readonly stop?: string | ReadonlyArray<string> | undefined
  /** A whole number that makes sampling repeatable where the server can. */
  readonly seed?: number | undefined
  readonly responseFormat?: ResponseFormat | undefined
  readonly tools?: ReadonlyArray<Tool> | undefined
  /** Whether the model may, must not or must call tools, or the name of the one that it must call. */
  readonly toolChoice?: "auto" | "none" | "required" | { readonly name: string } | undefined
  readonly parallelToolCalls?: boolean | undefined
  /** The end user's id, for the provider's abuse detection. */
  readonly user?: string | undefined
  /** Further members of the request's JSON, which win over all others. */
  readonly extraBody?: Readonly<Record<string, unknown>> | undefined
}

/**
 * The options of a call whose answer is a value.
 *
 * @since 0.1.0
 * @category models
 */
export interface ObjectOptions extends Omit<CallOptions, "responseFormat"> {
  /** What the value is called towards the server. Default `answer`. */
  readonly name?: string | undefined
  /** Whether an answer that does not decode is sent back once, with what was wrong. Default false. */
  readonly repair?: boolean | undefined
}

/**
 * A tool whose arguments have the shape of a Schema.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tool = <A, I, R>(options: {
  readonly name: string
  readonly description?: string | undefined
  readonly parameters: Schema.Schema<A, I, R>
  readonly strict?: boolean | undefined
}): Tool => ({ ...options, parameters: { ...JSONSchema.make(options.parameters) } })
