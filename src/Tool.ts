/**
 * Tools with handlers: functions that the model calls and that run inside a turn.
 *
 * `CallOptions.tool` only describes a function. A tool of this module also has the Effect that runs when the model calls
 * it; `ToolSet.make` provides the services that the Effect needs.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import * as JSONSchema from "effect/JSONSchema"
import * as Schema from "effect/Schema"
import type { JsonSchema } from "./CallOptions.ts"
import type { ContentPart } from "./ChatMessage.ts"
import { Content, type Context, type Settings, type Tool } from "./internal/tools/model.ts"
import * as prepare from "./internal/tools/prepare.ts"
import { defaultMaxLength } from "./internal/tools/result.ts"

/**
 * The models of tools.
 *
 * @since 0.1.0
 */
export * from "./internal/tools/model.ts"

/**
 * The options of {@link make} for a tool with Schemas.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA> extends Settings<A, RA> {
  /** The arguments, an object. `{}` for a tool without parameters. */
  readonly parameters: Schema.Schema<A, I, RP>
  /** Encodes the result. Without it the result is sent as text or JSON. */
  readonly success?: Schema.Schema<S, SI, RS> | undefined
  /** Encodes a failure for the model. Without it, the model receives only the fact that the tool failed. */
  readonly failure?: Schema.Schema<F, FI, RF> | undefined
  readonly handler: (input: A, context: Context) => Effect.Effect<S | Content, F, R>
}

/**
 * The options of {@link make} for a tool with the fields of a struct.
 *
 * @since 0.1.0
 * @category models
 */
export interface FieldsOptions<Fields extends Schema.Struct.Fields, S, SI, RS, F, FI, RF, R, RA> extends
  Omit<
    Options<
      Schema.Schema.Type<Schema.Struct<Fields>>,
      Schema.Schema.Encoded<Schema.Struct<Fields>>,
      Schema.Schema.Context<Schema.Struct<Fields>>,
      S,
      SI,
      RS,
      F,
      FI,
      RF,
      R,
      RA
    >,
    "parameters"
  >
{
  readonly parameters: Fields
}

/**
 * A tool whose arguments have the shape of a Schema, or of the fields of a struct.
 *
 * @example
 * import { Effect, Schema } from "effect"
 * import { Tool } from "effect-chat"
 *
 * class NotFound extends Schema.TaggedError<NotFound>()("NotFound", { city: Schema.String }) {}
 *
 * const weather = Tool.make({
 *   name: "weather",
 *   description: "The weather in a city",
 *   parameters: { city: Schema.String },
 *   failure: NotFound,
 *   timeout: "10 seconds",
 *   handler: ({ city }) => city === "Paris" ? Effect.succeed("Rain") : Effect.fail(new NotFound({ city }))
 * })
 *
 * assert.strictEqual(weather.name, "weather")
 *
 * @since 0.1.0
 * @category constructors
 */
export const make: {
  <A, I, S, F, RP = never, SI = S, RS = never, FI = F, RF = never, R = never, RA = never>(
    options: Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA>
  ): Tool<A, S | Content, F, R | RP | RS | RF | RA>
  <
    const Fields extends Schema.Struct.Fields,
    S,
    F,
    SI = S,
    RS = never,
    FI = F,
    RF = never,
    R = never,
    RA = never
  >(
    options: FieldsOptions<Fields, S, SI, RS, F, FI, RF, R, RA>
  ): Tool<
    Schema.Schema.Type<Schema.Struct<Fields>>,
    S | Content,
    F,
    R | RS | RF | RA | Schema.Schema.Context<Schema.Struct<Fields>>
  >
} = <A, I, RP, S, SI, RS, F, FI, RF, R, RA, Fields extends Schema.Struct.Fields>(
  options:
    | Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA>
    | FieldsOptions<Fields, S, SI, RS, F, FI, RF, R, RA>
) =>
  hasSchema(options) ? fromSchema(options) : fromSchema({ ...options, parameters: Schema.Struct(options.parameters) })

const hasSchema = <A, I, RP, S, SI, RS, F, FI, RF, R, RA, Fields extends Schema.Struct.Fields>(
  options: Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA> | FieldsOptions<Fields, S, SI, RS, F, FI, RF, R, RA>
): options is Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA> => Schema.isSchema(options.parameters)

const fromSchema = <A, I, RP, S, SI, RS, F, FI, RF, R, RA>(
  options: Options<A, I, RP, S, SI, RS, F, FI, RF, R, RA>
): Tool<A, S | Content, F, R | RP | RS | RF | RA> => ({
  ...described(options),
  parameters: { ...JSONSchema.make(options.parameters) },
  handler: options.handler,
  prepare: prepare.make({ ...options, decode: prepare.decoder(options.parameters) })
})

/**
 * The options of {@link fromJsonSchema}.
 *
 * @since 0.1.0
 * @category models
 */
export interface JsonSchemaOptions<S, SI, RS, F, FI, RF, R, RA>
  extends Omit<Options<Readonly<Record<string, unknown>>, never, never, S, SI, RS, F, FI, RF, R, RA>, "parameters">
{
  readonly parameters: JsonSchema
}

/**
 * A tool whose arguments are described by a JSON Schema from elsewhere, such as an MCP server.
 *
 * The handler receives the arguments that the model sent. The tool checks only that they are an object.
 *
 * @example
 * import { Effect } from "effect"
 * import { Tool } from "effect-chat"
 *
 * const search = Tool.fromJsonSchema({
 *   name: "search",
 *   parameters: { type: "object", properties: { query: { type: "string" } }, required: ["query"] },
 *   handler: ({ query }) => Effect.succeed(`nothing about ${query}`)
 * })
 *
 * assert.strictEqual(search.failureMode, "report")
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromJsonSchema = <S, F, SI = S, RS = never, FI = F, RF = never, R = never, RA = never>(
  options: JsonSchemaOptions<S, SI, RS, F, FI, RF, R, RA>
): Tool<Readonly<Record<string, unknown>>, S | Content, F, R | RS | RF | RA> => ({
  ...described(options),
  parameters: options.parameters,
  handler: options.handler,
  prepare: prepare.make({ ...options, decode: prepare.decodeRecord })
})

const described = <Input, R>(options: Settings<Input, R>) => ({
  name: options.name,
  description: options.description,
  strict: options.strict,
  timeout: options.timeout === undefined ? undefined : Duration.decode(options.timeout),
  maxResultLength: Math.max(1, Math.floor(options.maxResultLength ?? defaultMaxLength)),
  failureMode: options.failureMode ?? "report" as const
})

/**
 * A result made of parts, such as an image.
 *
 * @example
 * import { ChatMessage, Tool } from "effect-chat"
 *
 * const chart = Tool.content([ChatMessage.text("Sales"), ChatMessage.imageData(new Uint8Array([1, 2]), "image/png")])
 *
 * assert.strictEqual(chart.parts.length, 2)
 *
 * @since 0.1.0
 * @category constructors
 */
export const content = (parts: ReadonlyArray<ContentPart>): Content => new Content({ parts })
