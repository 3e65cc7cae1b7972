/**
 * Makes tool sets of this library from toolkits of `@effect/ai`.
 *
 * @since 0.1.0
 */
import type * as AiTool from "@effect/ai/Tool"
import type * as Toolkit from "@effect/ai/Toolkit"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import { type AnyToolkit, toDefinition, withEncodedFailure } from "../internal/ai/tools.ts"
import { decoder } from "../internal/tools/prepare.ts"
import * as Tool from "../Tool.ts"
import * as ToolSet from "../ToolSet.ts"
import { CurrentToolCall } from "./AiSettings.ts"

/**
 * The options of {@link fromToolkit}.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ToolSet.Options {
  /** Whether a call of the tool with this name and these encoded parameters needs an approval. Default: no call needs one. */
  readonly needsApproval?: ((name: string, params: Readonly<Record<string, unknown>>) => boolean) | undefined
}

/**
 * Makes a tool set from a toolkit and its handlers. It captures the services of the handlers.
 *
 * If a handler fails, the `failureMode` of its tool decides. With `error`, the default of `@effect/ai`, the turn fails. With
 * `return`, the model receives the encoded failure. Parameters that do not decode are always reported to the model. Handlers
 * can read their call from `AiLanguageModel.CurrentToolCall`. `toolConcurrency` of the turn limits how many of them run at
 * the same time.
 *
 * @example
 * import { Tool, Toolkit } from "@effect/ai"
 * import { Effect, Schema } from "effect"
 * import { AiToolSet } from "effect-chat/ai"
 *
 * const toolkit = Toolkit.make(Tool.make("now", { success: Schema.String }))
 * const handlers = toolkit.toLayer({ now: () => Effect.succeed("noon") })
 *
 * const tools = AiToolSet.fromToolkit(toolkit).pipe(
 *   Effect.flatMap((set) => set.current),
 *   Effect.provide(handlers)
 * )
 * assert.deepStrictEqual(Effect.runSync(tools).map(({ name }) => name), ["now"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromToolkit = <Tools extends Record<string, AiTool.Any>>(
  toolkit: Toolkit.Toolkit<Tools>,
  options?: Options
): Effect.Effect<
  ToolSet.ToolSet,
  ToolSet.ToolSetError,
  AiTool.HandlersFor<Tools> | AiTool.Requirements<Tools[keyof Tools]>
> =>
  Effect.flatMap(toolkit, (handled) => {
    type R = AiTool.Requirements<Tools[keyof Tools]>
    // The types of `@effect/ai` do not allow a call by a name of type string.
    const untyped = handled as unknown as AnyToolkit<R>
    return ToolSet.make<R>(Object.values(untyped.tools).map((tool) => toTool(tool, untyped, options)), options)
  })

const toTool = <R>(
  tool: AiTool.Any,
  toolkit: AnyToolkit<R>,
  { needsApproval }: Options = {}
): Tool.Tool<never, unknown, unknown, R> => {
  const { name, parameters = {}, ...definition } = toDefinition(tool, undefined)
  const converted = Tool.fromJsonSchema({
    ...definition,
    name,
    parameters,
    failure: Schema.Unknown,
    failureMode: tool.failureMode === "return" ? "report" : "error",
    needsApproval: needsApproval === undefined ? undefined : (params) => needsApproval(name, params),
    handler: (params, { callId }) =>
      toolkit.handle(name, params).pipe(
        Effect.provideService(CurrentToolCall, { id: callId, name }),
        Effect.map((handled) => withEncodedFailure(tool, handled)),
        Effect.flatMap(({ encodedResult, isFailure }) =>
          isFailure ? Effect.fail(encodedResult) : Effect.succeed(encodedResult)
        )
      )
  })
  const check = decoder<unknown, unknown, R>(Schema.make(tool.parametersSchema.ast))
  return { ...converted, prepare: (args) => Effect.zipRight(check(args), converted.prepare(args)) }
}
