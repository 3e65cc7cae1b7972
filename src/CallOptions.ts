/**
 * The options of a single call. They take precedence over the config of the conversation.
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
 * A function that the model may call.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tool {
  readonly name: string
  readonly description?: string | undefined
  /** The JSON Schema of the arguments. Default: no arguments. */
  readonly parameters?: JsonSchema | undefined
  /** Whether the arguments must match the JSON Schema exactly. Default: that of the server. */
  readonly strict?: boolean | undefined
}

/**
 * The format of an answer.
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
 * The options of one call. Absent options come from the config. A sampling field that is `null` is not sent.
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
  /** Stop sequences: the answer ends before the first of them. */
  readonly stop?: string | ReadonlyArray<string> | undefined
  /** An integer that makes sampling repeatable if the server supports it. */
  readonly seed?: number | undefined
  /** Default: text. */
  readonly responseFormat?: ResponseFormat | undefined
  /** Functions that the model may call. They have no handler: the program sends the results. See `ToolSet` for others. */
  readonly tools?: ReadonlyArray<Tool> | undefined
  /** Whether the model may, must not or must call tools, or the name of the tool that it must call. */
  readonly toolChoice?: "auto" | "none" | "required" | { readonly name: string } | undefined
  /** Whether one answer may contain several tool calls. Default: that of the server. */
  readonly parallelToolCalls?: boolean | undefined
  /** The id of the end user, for the provider's abuse detection. */
  readonly user?: string | undefined
  /** Further members of the request's JSON. They replace members with the same names. */
  readonly extraBody?: Readonly<Record<string, unknown>> | undefined
}

/**
 * The options of a call whose answer is a value.
 *
 * @since 0.1.0
 * @category models
 */
export interface ObjectOptions extends Omit<CallOptions, "responseFormat"> {
  /** The name of the value in the request. Default `answer`. */
  readonly name?: string | undefined
  /** Whether an answer that does not decode is sent back once with the error, for a correction. Default false. */
  readonly repair?: boolean | undefined
}

/**
 * Makes a tool from the Schema of its arguments. It describes the tool to the model and does not run it.
 *
 * @example
 * import { Schema } from "effect"
 * import { CallOptions } from "effect-chat"
 *
 * const weather = CallOptions.tool({
 *   name: "weather",
 *   description: "The weather in a city",
 *   parameters: Schema.Struct({ city: Schema.String })
 * })
 *
 * assert.deepStrictEqual(weather.parameters?.["required"], ["city"])
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
