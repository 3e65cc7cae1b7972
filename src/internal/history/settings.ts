/**
 * The settings of a conversation: those that it chose, which are stored, over those of its manager.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import { type HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { type Changes, type ChatSettings, WindowLimits } from "../../ChatSettings.ts"
import * as HistoryWindow from "../../HistoryWindow.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import type { Settings } from "../../StoredConversation.ts"
import { issueOf } from "../issue.ts"
import { defined } from "../json.ts"
import { notDecodable } from "./errors.ts"

/** The settings that are stored. An empty prompt is a choice if the settings have it as well. */
export interface Choices {
  readonly settings: Settings
  readonly prompt: string
}

/** The settings that are in force. */
export interface InForce {
  readonly config: LLMConfig.LLMConfig
  readonly systemPrompt: string
  readonly limits: WindowLimits | undefined
}

/** The config that a conversation has, and the manager's. They differ if a config was given to the conversation. */
export interface Configs {
  readonly base: LLMConfig.LLMConfig
  readonly defaults: LLMConfig.LLMConfig
}

/** The settings of a config that a conversation can choose. Its system prompt is stored apart. */
const fields = new Set(["model", "temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty"])

const encode = Schema.encodeSync(LLMConfig.LLMConfig)
const decode = Schema.decodeUnknownEither(LLMConfig.LLMConfig)
const decodeLimits = Schema.decodeUnknownEither(Schema.UndefinedOr(WindowLimits))

const ofFields = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([key]) => fields.has(key)))

const withoutFields = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([key]) => !fields.has(key)))

/** Whether a config is for another server than the manager's. Such a config is used completely. */
export const isForeign = ({ base, defaults }: Configs): boolean => base.baseUrl !== defaults.baseUrl

/** The choices in stored settings, without other settings of older releases. */
export const fromStored = (
  { settings, systemPrompt }: { readonly settings: Settings; readonly systemPrompt: string }
): Choices => {
  const own = defined({ ...ofFields(settings), window: settings["window"] })
  // An older release stored the config's prompt as well. A prompt that is the same was not chosen.
  if ("baseUrl" in settings) {
    return { settings: own, prompt: systemPrompt === settings["systemPrompt"] ? "" : systemPrompt }
  }
  const isEmpty = systemPrompt === "" && settings["systemPrompt"] === ""
  return { settings: isEmpty ? { ...own, systemPrompt: "" } : own, prompt: systemPrompt }
}

/** The config that is the base of a conversation's settings, if the program gave it this config. */
export const toBase = (config: LLMConfig.LLMConfig, defaults: LLMConfig.LLMConfig): LLMConfig.LLMConfig => {
  if (isForeign({ base: config, defaults })) return config
  const own = { ...withoutFields(encode(config)), ...ofFields(LLMConfig.encodeChosen(defaults)) }
  return Either.getOrElse(decode(own), () => config)
}

/** The config with these settings of another one. */
export const withFieldsOf = (
  config: LLMConfig.LLMConfig,
  other: LLMConfig.LLMConfig,
  names: ReadonlyArray<string>
): LLMConfig.LLMConfig => {
  const isOf = ([name]: readonly [string, unknown]) => fields.has(name) && names.includes(name)
  const own = Object.entries(LLMConfig.encodeChosen(config)).filter((entry) => !isOf(entry))
  const others = Object.entries(LLMConfig.encodeChosen(other)).filter(isOf)
  return Either.getOrElse(decode(Object.fromEntries([...own, ...others])), () => config)
}

/**
 * Changes of a conversation's choices. One that is undefined drops the choice. `isReset` first drops the choices that a
 * config has.
 */
export interface Update {
  readonly isReset: boolean
  readonly changes: Settings
}

export const noUpdate: Update = { isReset: false, changes: {} }

/**
 * What a config of the program chooses: its differences from the manager's, in place of what was chosen before. A prompt
 * is chosen if it differs. A config of another server chooses nothing.
 */
export const fromConfig = (config: LLMConfig.LLMConfig, defaults: LLMConfig.LLMConfig): Update => {
  if (isForeign({ base: config, defaults })) return noUpdate
  const others: Settings = encode(defaults)
  const own = Object.entries(ofFields(LLMConfig.encodeChosen(config))).filter(([key, value]) => value !== others[key])
  const { systemPrompt } = config
  const prompt = systemPrompt === defaults.systemPrompt ? {} : { systemPrompt }
  return { isReset: true, changes: { ...Object.fromEntries(own), ...prompt } }
}

export const fromChanges = (changes: Changes): Update => ({ isReset: false, changes: defined({ ...changes }) })

/** Drops the choices of these settings. */
export const fromNames = (names: ReadonlyArray<keyof ChatSettings>): Update => ({
  isReset: false,
  changes: Object.fromEntries(names.map((name) => [name, undefined]))
})

/** Both updates as one. */
export const combine = (first: Update, then: Update): Update => ({
  isReset: first.isReset || then.isReset,
  changes: { ...(then.isReset ? withoutFields(first.changes) : first.changes), ...then.changes }
})

/** The choices of the conversation after an update. */
export const update = ({ changes, isReset }: Update, before: Choices): Choices => {
  const { systemPrompt, ...rest } = changes
  const settings = defined({ ...(isReset ? withoutFields(before.settings) : before.settings), ...rest })
  if (!("systemPrompt" in changes)) return { settings, prompt: before.prompt }
  const prompt = typeof systemPrompt === "string" ? systemPrompt : ""
  return { settings: defined({ ...settings, systemPrompt: systemPrompt === "" ? "" : undefined }), prompt }
}

/** The settings that are in force by these choices. */
export const resolve = (
  id: string,
  { prompt, settings }: Choices,
  configs: Configs
): Either.Either<InForce, HistoryStoreError> => {
  const own = isForeign(configs) ? {} : ofFields(settings)
  const config = Object.keys(own).length === 0
    ? Either.right(configs.base)
    : decode({ ...LLMConfig.encodeChosen(configs.base), ...own })
  const { systemPrompt } = isForeign(configs) ? configs.base : configs.defaults
  return Either.all({ config, limits: decodeLimits(settings["window"]) }).pipe(
    Either.mapBoth({
      onLeft: (cause) => notDecodable(id, cause),
      onRight: ({ config, limits }) => ({
        config,
        limits,
        systemPrompt: prompt === "" && settings["systemPrompt"] !== "" ? systemPrompt : prompt
      })
    })
  )
}

/** Fails with the setting and its rule if a change breaks one. */
export const validate = (
  { window, ...changes }: Changes,
  config: LLMConfig.LLMConfig
): Effect.Effect<LLMConfig.LLMConfig, InvalidRequestError> =>
  Either.all([LLMConfig.override(config, changes), decodeLimits(window)]).pipe(
    Either.map(([config]) => config),
    Either.mapLeft((cause) => {
      const { message, path } = issueOf(cause)
      const field = path.length === 0 ? "" : `${path.join(".")}: `
      return new InvalidRequestError({ message: `The settings are invalid: ${field}${message}`, cause })
    })
  )

/** The settings that are in force, as a program sees them. */
export const toSettings = ({ config, limits, systemPrompt }: InForce): ChatSettings => ({
  model: config.model,
  temperature: config.temperature,
  topP: config.topP,
  maxTokens: config.maxTokens,
  frequencyPenalty: config.frequencyPenalty,
  presencePenalty: config.presencePenalty,
  systemPrompt,
  ...(limits === undefined ? {} : { window: limits })
})

/** The window of a conversation with its own limits. It shrinks if the shared one does. */
export const toWindow = (
  { tokens, turns }: WindowLimits,
  shared: HistoryWindow.HistoryWindow
): HistoryWindow.HistoryWindow => {
  const windows = [
    ...(turns === undefined ? [] : [HistoryWindow.lastTurns(turns)]),
    ...(tokens === undefined ? [] : [HistoryWindow.tokens(tokens)])
  ]
  if (windows.length === 0) return shared
  const own: HistoryWindow.HistoryWindow = {
    atMost: { turns, tokens },
    select: (input) =>
      Effect.map(
        Effect.forEach(windows, (window) => window.select(input)),
        (selections) => ({ start: Math.max(...selections.map(({ start }) => start)) })
      )
  }
  return shared.shrink === undefined ? own : HistoryWindow.withShrink(own)
}
