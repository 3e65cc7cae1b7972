/**
 * The tools that a turn may run, with the services of their handlers.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import type { ToolError } from "./ChatError.ts"
import type * as Tool from "./internal/tools/model.ts"
import { runCalls } from "./internal/tools/runCalls.ts"
import type { RunOptions, RunResult } from "./internal/tools/runOptions.ts"
import * as TurnTools from "./internal/tools/turnTools.ts"

/**
 * The options and the result of `runCalls`.
 *
 * @since 0.1.0
 */
export type * from "./internal/tools/runOptions.ts"

/**
 * Tools that cannot form a set.
 *
 * @since 0.1.0
 * @category errors
 */
export class ToolSetError extends Schema.TaggedError<ToolSetError>("effect-chat/ToolSetError")("ToolSetError", {
  message: Schema.String,
  reason: Schema.Literal("DuplicateName", "InvalidName"),
  name: Schema.String
}) {}

/**
 * A set of tools.
 *
 * A turn reads `current` once a step and passes the tools to `runCalls`, so that the tools of a step do not change while
 * it lasts.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolSet {
  /** The name from the options. A merged set has the names of its sets, joined by `+`. */
  readonly name: string | undefined
  readonly current: Effect.Effect<ReadonlyArray<Tool.Provided>>
  readonly runCalls: (options: RunOptions) => Effect.Effect<RunResult, ToolError>
  /** Makes the state of one turn. Only conversations use it. */
  readonly forTurn: (options: TurnTools.Options) => TurnTools.TurnTools
}

/**
 * The options of a set.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** A name for the program's own use, such as in logs. The model does not see it. Default: none. */
  readonly name?: string | undefined
}

/**
 * A set of tools, with the services that their handlers need.
 *
 * Fails if two tools have one name, or if a name is not 1 to 64 letters, digits, `_` or `-`.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat, Tool, ToolSet } from "effect-chat"
 *
 * const time = Tool.make({ name: "time", parameters: {}, handler: () => Effect.succeed("12:00") })
 *
 * export const program = Effect.gen(function*() {
 *   const toolSet = yield* ToolSet.make([time])
 *   const chat = yield* LLMChat.LLMChat
 *   return yield* chat.chat("What time is it?", { toolSet })
 * })
 *
 * assert.strictEqual(Effect.runSync(Effect.flip(ToolSet.make([time, time]))).reason, "DuplicateName")
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = <R = never>(
  tools: ReadonlyArray<Tool.Tool<never, unknown, unknown, R>>,
  options?: Options
): Effect.Effect<ToolSet, ToolSetError, R> =>
  Effect.gen(function*() {
    const provided = yield* Effect.forEach(tools, (tool) => provide<R>(tool))
    yield* check(provided)
    return fromCurrent(Effect.succeed(provided), options?.name)
  })

/**
 * A set whose tools may change from one step to the next, such as those of an MCP server.
 *
 * A tool whose name is taken or not valid does not fail the step. It is left out, with a warning in the log.
 *
 * @example
 * import { Effect, Ref } from "effect"
 * import { Tool, ToolSet } from "effect-chat"
 *
 * const time = Tool.make({ name: "time", parameters: {}, handler: () => Effect.succeed("12:00") })
 *
 * export const program = Effect.gen(function*() {
 *   const tools = yield* Ref.make([time])
 *   return yield* ToolSet.dynamic(Ref.get(tools))
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const dynamic = <R = never>(
  current: Effect.Effect<ReadonlyArray<Tool.Tool<never, unknown, unknown, R>>, never, R>,
  options?: Options
): Effect.Effect<ToolSet, never, R> =>
  Effect.map(
    Effect.context<R>(),
    (context) =>
      fromCurrent(
        Effect.flatMap(current, (tools) => Effect.forEach(tools, (tool) => provide<R>(tool))).pipe(
          Effect.flatMap(usable),
          Effect.provide(context)
        ),
        options?.name
      )
  )

/**
 * One set with the tools of several. Fails if two of their tools have one name.
 *
 * If a set changes later so that names collide, the first set's tool is used.
 *
 * @example
 * import { Effect } from "effect"
 * import { Tool, ToolSet } from "effect-chat"
 *
 * const time = Tool.make({ name: "time", parameters: {}, handler: () => Effect.succeed("12:00") })
 * const date = Tool.make({ name: "date", parameters: {}, handler: () => Effect.succeed("1 May") })
 *
 * const both = Effect.gen(function*() {
 *   const set = yield* ToolSet.merge(yield* ToolSet.make([time]), yield* ToolSet.make([date]))
 *   return yield* set.current
 * })
 *
 * assert.deepStrictEqual(Effect.runSync(both).map(({ name }) => name), ["time", "date"])
 *
 * @since 0.1.0
 * @category combinators
 */
export const merge = (...sets: ReadonlyArray<ToolSet>): Effect.Effect<ToolSet, ToolSetError> =>
  Effect.gen(function*() {
    const all = Effect.map(Effect.forEach(sets, (set) => set.current), (tools) => tools.flat())
    yield* Effect.flatMap(all, check)
    const names = sets.flatMap((set) => set.name ?? [])
    return fromCurrent(Effect.flatMap(all, usable), names.length === 0 ? undefined : names.join("+"))
  })

const fromCurrent = (current: ToolSet["current"], name: string | undefined): ToolSet => ({
  name,
  current,
  runCalls,
  forTurn: (options) => new TurnTools.TurnTools({ current, runCalls }, options)
})

/** The same tool, with its services provided. */
const provide = <R>(tool: Tool.Tool<never, unknown, unknown, R>): Effect.Effect<Tool.Provided, never, R> =>
  Effect.map(Effect.context<R>(), (context) => ({
    ...tool,
    handler: (input, call) => Effect.provide(tool.handler(input, call), context),
    prepare: (args) =>
      tool.prepare(args).pipe(
        Effect.map(({ needsApproval, run }) => ({
          needsApproval: Effect.provide(needsApproval, context),
          run: (call: Tool.Context) => Effect.provide(run(call), context)
        })),
        Effect.provide(context)
      )
  }))

const usable = (tools: ReadonlyArray<Tool.Provided>): Effect.Effect<ReadonlyArray<Tool.Provided>> => {
  const names = new Set<string>()
  return Effect.filter(tools, ({ name }) => {
    const isUsable = isValid(name) && !names.has(name)
    names.add(name)
    return isUsable
      ? Effect.succeed(true)
      : Effect.as(
        Effect.logWarning(`The tool ${JSON.stringify(name)} is left out: its name is taken or not valid`),
        false
      )
  })
}

const isValid = (name: string): boolean => /^[A-Za-z0-9_-]{1,64}$/.test(name)

const check = (tools: ReadonlyArray<Tool.Provided>): Effect.Effect<void, ToolSetError> => {
  const names = new Set<string>()
  for (const { name } of tools) {
    if (!isValid(name)) {
      const message = `The tool name ${JSON.stringify(name)} is not 1 to 64 letters, digits, "_" or "-"`
      return Effect.fail(new ToolSetError({ message, reason: "InvalidName", name }))
    }
    if (names.has(name)) {
      return Effect.fail(new ToolSetError({ message: `Two tools are named ${name}`, reason: "DuplicateName", name }))
    }
    names.add(name)
  }
  return Effect.void
}
