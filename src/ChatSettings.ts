/**
 * The settings that a conversation can have of its own: its model, sampling, answer length, system prompt and how much of
 * its history is sent.
 *
 * A conversation stores only the settings that the program set for it. All others come from its manager's config.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { Tokens, Turns } from "./internal/window/settings.ts"

/**
 * The limits of the history that turns send. They replace the window that all conversations share.
 *
 * @since 0.1.0
 * @category models
 */
export interface WindowLimits {
  /** As for `HistoryWindow.lastTurns`. */
  readonly turns?: number | undefined
  /** As for `HistoryWindow.tokens`. */
  readonly tokens?: number | undefined
}

/**
 * The Schema of {@link WindowLimits}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const WindowLimits: Schema.Schema<WindowLimits> = Schema.Struct({
  turns: Schema.optional(Turns),
  tokens: Schema.optional(Tokens)
})

/**
 * The current settings of a conversation, with the ranges of `LLMConfig`. They contain no secrets. A sampling field that is
 * `null` is not sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface ChatSettings {
  readonly model: string
  readonly temperature: number | null
  readonly topP: number | null
  readonly maxTokens: number | null
  readonly frequencyPenalty: number | null
  readonly presencePenalty: number | null
  readonly systemPrompt: string
  /** Absent if the conversation has no limits of its own. */
  readonly window?: WindowLimits | undefined
}

/**
 * The names of all settings of a conversation.
 *
 * @example
 * import { ChatSettings } from "effect-chat"
 *
 * assert.ok(ChatSettings.names.includes("model"))
 *
 * @since 0.1.0
 * @category models
 */
export const names: ReadonlyArray<keyof ChatSettings> = [
  "model",
  "temperature",
  "topP",
  "maxTokens",
  "frequencyPenalty",
  "presencePenalty",
  "systemPrompt",
  "window"
]

/**
 * Settings that replace those of a conversation. `undefined` keeps a setting.
 *
 * @since 0.1.0
 * @category models
 */
export type Changes = { readonly [K in keyof ChatSettings]?: ChatSettings[K] | undefined }
