/**
 * The settings of calls, tools and handlers. `AiLanguageModel` exports all of this module.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as CallOptions from "../CallOptions.ts"
import type { ChatRequest } from "../ChatRequest.ts"

/**
 * The settings of a call. Absent settings come from the config of the model.
 *
 * @since 0.1.0
 * @category models
 */
export interface Settings extends Omit<CallOptions.CallOptions, "tools" | "toolChoice" | "responseFormat"> {
  /**
   * Whether tools without {@link Strict} are strict. Default: not sent. `true` is sent as `false` for parameters that strict
   * mode does not support, such as optional ones, because servers refuse those (400).
   */
  readonly strict?: boolean | undefined
  /** The fairness key for `Limits`; see `ChatRequest.conversation`. */
  readonly conversation?: ChatRequest["conversation"]
}

/**
 * The settings that apply to all calls in a context.
 *
 * @since 0.1.0
 * @category services
 */
export class Config extends Context.Tag("effect-chat/ai/AiSettings/Config")<Config, Settings>() {}

/**
 * Runs calls with other settings. Absent settings come from an outer `withSettings`.
 *
 * @example
 * import { Effect } from "effect"
 * import { AiLanguageModel } from "effect-chat/ai"
 *
 * const temperature = Effect.map(AiLanguageModel.Config, (settings) => settings.temperature)
 *
 * assert.strictEqual(Effect.runSync(temperature.pipe(AiLanguageModel.withSettings({ temperature: 0 }))), 0)
 *
 * @since 0.1.0
 * @category combinators
 */
export const withSettings =
  (settings: Settings) => <A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, Exclude<R, Config>> =>
    Effect.flatMap(
      Effect.serviceOption(Config),
      (outer) => Effect.provideService(self, Config, { ...Option.getOrUndefined(outer), ...settings })
    )

/**
 * The annotation of a tool for strict mode, in which the model must follow the schema of the parameters exactly:
 * `Tool.make(…).annotate(AiLanguageModel.Strict, true)`. It overrides {@link Settings}`.strict`.
 *
 * @since 0.1.0
 * @category annotations
 */
export class Strict extends Context.Tag("effect-chat/ai/AiSettings/Strict")<Strict, boolean>() {}

/**
 * A tool call of a model.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCall {
  readonly id: string
  readonly name: string
}

/**
 * The tool call of the running handler. `id` and `name` are empty outside of handlers.
 *
 * @since 0.1.0
 * @category services
 */
export class CurrentToolCall extends Context.Reference<CurrentToolCall>()(
  "effect-chat/ai/AiSettings/CurrentToolCall",
  { defaultValue: (): ToolCall => ({ id: "", name: "" }) }
) {}
