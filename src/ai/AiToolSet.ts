/**
 * Toolkits of `@effect/ai` in the turns of this library.
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
 * How a set is made from a toolkit.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends ToolSet.Options {
  /** Whether a call waits for an approval. It gets the name of the tool and the encoded parameters. Default: none waits. */
  readonly needsApproval?: ((name: string, params: Readonly<Record<string, unknown>>) => boolean) | undefined
}

/**
 * A set with the tools of a toolkit, and its handlers with their services.
 *
 * A handler that fails fails the turn if its tool has the `failureMode` `error`, the default of `@effect/ai`; with `return`
 * the model gets the encoded failure. Parameters that do not decode are sent back to the model in both. Handlers know
 * their call by `AiLanguageModel.CurrentToolCall`. The turn decides how many run at once.
 *
 * @example
 * import * as Tool from "@effect/ai/Tool"
 * import * as Toolkit from "@effect/ai/Toolkit"
 * import { AiToolSet } from "effect-chat/ai"
 * import * as Effect from "effect/Effect"
 * import * as Schema from "effect/Schema"
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
    // The types of `@effect/ai` do not let a tool be called by its name alone.
    const any = handled as unknown as AnyToolkit<R>
    return ToolSet.make<R>(Object.values(any.tools).map((tool) => toTool(tool, any, options)), options)
  })

const toTool = <R>(
  tool: AiTool.Any,
  toolkit: AnyToolkit<R>,
  { needsApproval }: Options = {}
): Tool.Tool<never, unknown, unknown, R> => {
  const { name, parameters = {}, ...definition } = toDefinition(tool, undefined)
  const own = Tool.fromJsonSchema({
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
  return { ...own, prepare: (args) => Effect.zipRight(check(args), own.prepare(args)) }
}
