/**
 * Converts tools of `@effect/ai` to tool definitions of requests, and adapts toolkits to run calls with ids and with
 * invalid parameters.
 */
import * as AiError from "@effect/ai/AiError"
import type * as LanguageModel from "@effect/ai/LanguageModel"
import * as Tool from "@effect/ai/Tool"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { CurrentToolCall, Strict, type ToolCall } from "../../ai/AiSettings.ts"
import type * as CallOptions from "../../CallOptions.ts"
import { defined, isRecord } from "../json.ts"
import { isStrict } from "../turn/structuredOutput.ts"
import { type Call, module } from "./errors.ts"

/** Converts the tools and the tool choice of a request. */
export const toolOptions = (
  { toolChoice, tools }: LanguageModel.ProviderOptions,
  strict: boolean | undefined,
  method: Call["method"]
): Either.Either<Pick<CallOptions.CallOptions, "tools" | "toolChoice">, AiError.MalformedInput> => {
  // A provider-defined tool with a handler runs in the program, like any other tool.
  const providerTool = tools.find((tool) => Tool.isProviderDefined(tool) && !tool.requiresHandler)
  if (providerTool !== undefined) {
    const description = `The tool ${providerTool.name} can only run at its own provider`
    return Either.left(new AiError.MalformedInput({ module, method, description }))
  }
  return Either.right({ tools: tools.map((tool) => toDefinition(tool, strict)), toolChoice: toChoice(toolChoice) })
}

/** Converts a tool to the definition in a request. */
export const toDefinition = (input: Tool.Any, strictByDefault: boolean | undefined): CallOptions.Tool => {
  const tool = originals.get(input) ?? input
  const parameters = { ...Tool.getJsonSchemaFromSchemaAst(tool.parametersSchema.ast) }
  // A provider-defined tool has no annotations at runtime, although its type has them.
  const annotations = Tool.isProviderDefined(tool) ? Context.empty() : tool.annotations
  const strict = Option.getOrElse(Context.getOption(annotations, Strict), () => strictByDefault)
  return defined<CallOptions.Tool>({
    name: tool.name,
    description: tool.description ?? Tool.getDescriptionFromSchemaAst(tool.parametersSchema.ast),
    parameters,
    // Servers refuse a strict schema that strict mode does not support, for example with optional members (400).
    strict: strict === true ? isStrict(parameters) : strict
  })
}

const toChoice = (
  choice: LanguageModel.ProviderOptions["toolChoice"]
): CallOptions.CallOptions["toolChoice"] => {
  if (typeof choice !== "object") return choice === "auto" ? undefined : choice
  if ("tool" in choice) return { name: choice.tool }
  return choice.mode === "required" ? "required" : undefined
}

/** Encodes the parameters of a call. Returns them unchanged if the Schema of the tool cannot encode them. */
export const encodeParams = (tools: ReadonlyArray<Tool.Any>) => (name: string, params: unknown): unknown => {
  const tool = tools.find((tool) => tool.name === name)
  if (tool === undefined || !isRecord(params)) return params
  const { parametersSchema } = originals.get(tool) ?? tool
  // `encodeUnknownSync` throws if the Schema requires services or is asynchronous.
  return Either.try(() => Schema.encodeUnknownSync(toSchema(parametersSchema))(params)).pipe(
    Either.getOrElse(() => params)
  )
}

const toSchema = ({ ast }: Tool.AnyParametersSchema): Schema.Schema<unknown> => Schema.make(ast)

/** The call of a parameters object. `handle` of a toolkit receives the parameters, but no id. */
const callsByParams = new WeakMap<object, ToolCall>()

/** Records the call to which these parameters belong. */
export const setToolCall = (params: unknown, call: ToolCall): void => {
  if (typeof params === "object" && params !== null) callsByParams.set(params, call)
}

/** The original of each tolerant tool. */
const originals = new WeakMap<Tool.Any, Tool.Any>()

/**
 * Replaces the toolkit by one that handles invalid parameters of a call by the failure mode of its tool. Without this,
 * invalid parameters fail the whole answer. Also provides `CurrentToolCall` to the handlers.
 */
export const withTolerantToolkit = <Options extends { readonly toolkit?: unknown }>(options: Options): Options => {
  const { toolkit } = options
  if (toolkit === undefined) return options
  // The types of `@effect/ai` do not allow replacing a toolkit by another one with the same tools.
  const original = toolkit as AnyToolkit | Effect.Effect<AnyToolkit>
  return { ...options, toolkit: Effect.isEffect(original) ? Effect.map(original, toTolerant) : toTolerant(original) }
}

/** A toolkit with handlers, without the types of its tools. */
export interface AnyToolkit<R = never> {
  readonly tools: Readonly<Record<string, Tool.Any>>
  readonly handle: (name: string, params: unknown) => Effect.Effect<Handled, unknown, R>
}

interface Handled {
  readonly isFailure: boolean
  readonly result: unknown
  readonly encodedResult: unknown
}

const toTolerant = (toolkit: AnyToolkit): AnyToolkit => ({
  tools: Object.fromEntries(Object.entries(toolkit.tools).map(([name, tool]) => [name, toTolerantTool(tool)])),
  handle: (name, params) => {
    const call = isRecord(params) ? callsByParams.get(params) : undefined
    const handled = toolkit.handle(name, params)
    const identified = call === undefined ? handled : Effect.provideService(handled, CurrentToolCall, call)
    const tool = toolkit.tools[name]
    if (tool?.failureMode !== "return") return identified
    // With this failure mode, only invalid parameters fail with MalformedOutput.
    return Effect.catchIf(identified, isMalformedOutput, (error) => Effect.succeed(failureOf(error))).pipe(
      Effect.map((handled) => withEncodedFailure(tool, handled))
    )
  }
})

/**
 * Encodes a failure with the failure Schema of the tool. A toolkit encodes it with the success Schema if that Schema accepts
 * the failure, for example because all its members are optional
 * ({@link https://github.com/Effect-TS/effect/pull/7748 | effect#7748}).
 */
export const withEncodedFailure = ({ failureSchema }: Tool.Any, handled: Handled): Handled => {
  if (!handled.isFailure || handled.result instanceof AiError.MalformedOutput) return handled
  // `encodeUnknownSync` throws if the Schema requires services or is asynchronous.
  return Either.try(() => Schema.encodeUnknownSync(Schema.make(failureSchema.ast))(handled.result)).pipe(
    Either.match({ onLeft: () => handled, onRight: (encodedResult) => ({ ...handled, encodedResult }) })
  )
}

const isMalformedOutput = (error: unknown): error is AiError.MalformedOutput =>
  error instanceof AiError.MalformedOutput && error.module === "Toolkit"

const failureOf = (error: AiError.MalformedOutput): Handled => {
  const reason = error.cause instanceof Error ? error.cause.message : ""
  return {
    isFailure: true,
    result: error,
    encodedResult: {
      error: reason === "" ? error.description : `The parameters are not valid: ${reason}`
    }
  }
}

/** Makes a tool that decodes valid parameters and accepts invalid ones unchanged. */
const toTolerantTool = (tool: Tool.Any): Tool.Any => {
  const parametersSchema = Schema.Union(toSchema(tool.parametersSchema), Schema.Unknown)
  const copy: Tool.Any = Object.create(tool, { parametersSchema: { value: parametersSchema, enumerable: true } })
  originals.set(copy, tool)
  return copy
}
