/**
 * Tools and toolkits of `@effect/ai`: what a request says of them, and how their calls are run.
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

/** The tools of a request, and the choice between them. */
export const toolOptions = (
  { toolChoice, tools }: LanguageModel.ProviderOptions,
  strict: boolean | undefined,
  method: Call["method"]
): Either.Either<Pick<CallOptions.CallOptions, "tools" | "toolChoice">, AiError.MalformedInput> => {
  // One with a handler is a function like any other: its provider does not run it either.
  const foreign = tools.find((tool) => Tool.isProviderDefined(tool) && !tool.requiresHandler)
  if (foreign !== undefined) {
    const description = `The tool ${foreign.name} is another provider's own`
    return Either.left(new AiError.MalformedInput({ module, method, description }))
  }
  return Either.right({ tools: tools.map((tool) => toDefinition(tool, strict)), toolChoice: toChoice(toolChoice) })
}

/** What a request says of a tool. */
export const toDefinition = (given: Tool.Any, strictByDefault: boolean | undefined): CallOptions.Tool => {
  const tool = originals.get(given) ?? given
  const parameters = { ...Tool.getJsonSchemaFromSchemaAst(tool.parametersSchema.ast) }
  // A tool that a provider defined has no annotations, whatever its type says.
  const annotations = Tool.isProviderDefined(tool) ? Context.empty() : tool.annotations
  const strict = Option.getOrElse(Context.getOption(annotations, Strict), () => strictByDefault)
  return defined<CallOptions.Tool>({
    name: tool.name,
    description: tool.description ?? Tool.getDescriptionFromSchemaAst(tool.parametersSchema.ast),
    parameters,
    // A server refuses (400) a strict schema with optional members.
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

/** The parameters of a call as the model gave them. What the Schema of its tool does not encode stays as it is. */
export const encodeParams = (tools: ReadonlyArray<Tool.Any>) => (name: string, params: unknown): unknown => {
  const tool = tools.find((tool) => tool.name === name)
  if (tool === undefined || !isRecord(params)) return params
  const { parametersSchema } = originals.get(tool) ?? tool
  // A Schema of the program can need services, or be asynchronous.
  return Either.try(() => Schema.encodeUnknownSync(toSchema(parametersSchema))(params)).pipe(
    Either.getOrElse(() => params)
  )
}

const toSchema = ({ ast }: Tool.AnyParametersSchema): Schema.Schema<unknown> => Schema.make(ast)

/** The calls that this library made, by their parameters: a toolkit's `handle` gets no id. */
const calls = new WeakMap<object, ToolCall>()

/** Says of which call these are the parameters. */
export const identify = (params: unknown, call: ToolCall): void => {
  if (typeof params === "object" && params !== null) calls.set(params, call)
}

/** The tools behind those that accept any parameters. */
const originals = new WeakMap<Tool.Any, Tool.Any>()

/**
 * The same options with a toolkit that decides alone about the parameters of a call, by its failure mode. Without this,
 * parameters that do not decode fail the whole answer. Handlers learn the id of their call.
 */
export const withTolerantToolkit = <Options extends { readonly toolkit?: unknown }>(options: Options): Options => {
  const { toolkit } = options
  if (toolkit === undefined) return options
  // The types of `@effect/ai` do not let one toolkit stand for another with the same tools.
  const given = toolkit as AnyToolkit | Effect.Effect<AnyToolkit>
  return { ...options, toolkit: Effect.isEffect(given) ? Effect.map(given, tolerant) : tolerant(given) }
}

/** A toolkit with its handlers, whatever its tools are. */
export interface AnyToolkit<R = never> {
  readonly tools: Readonly<Record<string, Tool.Any>>
  readonly handle: (name: string, params: unknown) => Effect.Effect<Handled, unknown, R>
}

interface Handled {
  readonly isFailure: boolean
  readonly result: unknown
  readonly encodedResult: unknown
}

const tolerant = (toolkit: AnyToolkit): AnyToolkit => ({
  tools: Object.fromEntries(Object.entries(toolkit.tools).map(([name, tool]) => [name, tolerantTool(tool)])),
  handle: (name, params) => {
    const call = isRecord(params) ? calls.get(params) : undefined
    const handled = toolkit.handle(name, params)
    const identified = call === undefined ? handled : Effect.provideService(handled, CurrentToolCall, call)
    const tool = toolkit.tools[name]
    if (tool?.failureMode !== "return") return identified
    // In this mode nothing but parameters that do not decode fails with MalformedOutput.
    return Effect.catchIf(identified, isMalformedOutput, (error) => Effect.succeed(failureOf(error))).pipe(
      Effect.map((handled) => withEncodedFailure(tool, handled))
    )
  }
})

/**
 * The same result with a failure encoded by the tool's Schema of failures. A toolkit encodes it by the Schema of successes
 * if that accepts it, such as one whose members are optional
 * ({@link https://github.com/Effect-TS/effect/pull/7748 | effect#7748}).
 */
export const withEncodedFailure = ({ failureSchema }: Tool.Any, handled: Handled): Handled => {
  if (!handled.isFailure || handled.result instanceof AiError.MalformedOutput) return handled
  // A Schema of the program can need services, or be asynchronous.
  return Either.try(() => Schema.encodeUnknownSync(Schema.make(failureSchema.ast))(handled.result)).pipe(
    Either.match({ onLeft: () => handled, onRight: (encodedResult) => ({ ...handled, encodedResult }) })
  )
}

const isMalformedOutput = (error: unknown): error is AiError.MalformedOutput =>
  error instanceof AiError.MalformedOutput && error.module === "Toolkit"

const failureOf = (error: AiError.MalformedOutput): Handled => {
  const why = error.cause instanceof Error ? error.cause.message : ""
  return {
    isFailure: true,
    result: error,
    encodedResult: {
      error: why === "" ? error.description : `The parameters do not have the form that was asked for: ${why}`
    }
  }
}

/** Decodes parameters where they decode, and leaves them as they are where they do not. */
const tolerantTool = (tool: Tool.Any): Tool.Any => {
  const parametersSchema = Schema.Union(toSchema(tool.parametersSchema), Schema.Unknown)
  const copy: Tool.Any = Object.create(tool, { parametersSchema: { value: parametersSchema, enumerable: true } })
  originals.set(copy, tool)
  return copy
}
