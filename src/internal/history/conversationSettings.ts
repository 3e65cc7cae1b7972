/**
 * Resolves the settings of a conversation. Chosen settings are stored, and override the config of the manager.
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

/** The chosen settings, as they are stored. An empty `ownPrompt` is chosen only if `settings` has an empty `systemPrompt`. */
export interface StoredSettings {
  readonly settings: Settings
  readonly ownPrompt: string
}

/** The settings that a turn uses. */
export interface EffectiveSettings {
  readonly config: LLMConfig.LLMConfig
  readonly systemPrompt: string
  readonly limits: WindowLimits | undefined
}

export interface Configs {
  /** The config of the conversation. It is the manager's config if the program passed none for the conversation. */
  readonly base: LLMConfig.LLMConfig
  /** The config of the manager. */
  readonly defaults: LLMConfig.LLMConfig
}

/** The config fields that a conversation can choose. The system prompt is stored separately. */
const fields = new Set(["model", "temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty"])

const encode = Schema.encodeSync(LLMConfig.LLMConfig)
const decode = Schema.decodeUnknownEither(LLMConfig.LLMConfig)
const decodeLimits = Schema.decodeUnknownEither(Schema.UndefinedOr(WindowLimits))

const pickFields = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([key]) => fields.has(key)))

const omitFields = (settings: Settings): Settings =>
  Object.fromEntries(Object.entries(settings).filter(([key]) => !fields.has(key)))

/** Whether the conversation uses another server than the manager. Its config then replaces the manager's completely. */
export const isForeign = ({ base, defaults }: Configs): boolean => base.baseUrl !== defaults.baseUrl

/** Reads the chosen settings. Omits other settings, which older releases stored. */
export const fromStored = (
  { settings, systemPrompt }: { readonly settings: Settings; readonly systemPrompt: string }
): StoredSettings => {
  const chosen = defined({ ...pickFields(settings), window: settings["window"] })
  // Older releases also stored the complete config. A prompt that equals the config's was not chosen.
  if ("baseUrl" in settings) {
    return { settings: chosen, ownPrompt: systemPrompt === settings["systemPrompt"] ? "" : systemPrompt }
  }
  const isEmpty = systemPrompt === "" && settings["systemPrompt"] === ""
  return { settings: isEmpty ? { ...chosen, systemPrompt: "" } : chosen, ownPrompt: systemPrompt }
}

/** The base config of a conversation for which the program passed `config`. */
export const toBase = (config: LLMConfig.LLMConfig, defaults: LLMConfig.LLMConfig): LLMConfig.LLMConfig => {
  if (isForeign({ base: config, defaults })) return config
  const base = { ...omitFields(encode(config)), ...pickFields(LLMConfig.encodeChosen(defaults)) }
  return Either.getOrElse(decode(base), () => config)
}

/** Replaces the named fields of the config by those of `other`. */
export const withFieldsOf = (
  config: LLMConfig.LLMConfig,
  other: LLMConfig.LLMConfig,
  names: ReadonlyArray<string>
): LLMConfig.LLMConfig => {
  const isNamed = ([name]: readonly [string, unknown]) => fields.has(name) && names.includes(name)
  const unchanged = Object.entries(LLMConfig.encodeChosen(config)).filter((entry) => !isNamed(entry))
  const replaced = Object.entries(LLMConfig.encodeChosen(other)).filter(isNamed)
  return Either.getOrElse(decode(Object.fromEntries([...unchanged, ...replaced])), () => config)
}

/** A change of the chosen settings. */
export interface Update {
  /** Whether the chosen config fields are removed before `changes` are applied. */
  readonly isReset: boolean
  /** The new values. An undefined value removes the setting. */
  readonly changes: Settings
}

export const noUpdate: Update = { isReset: false, changes: {} }

/**
 * Chooses the fields of the config that differ from the manager's config, and resets the others. Chooses the system prompt
 * if it differs. Changes nothing if the config is for another server.
 */
export const fromConfig = (config: LLMConfig.LLMConfig, defaults: LLMConfig.LLMConfig): Update => {
  if (isForeign({ base: config, defaults })) return noUpdate
  const defaultValues: Settings = encode(defaults)
  const different = Object.entries(pickFields(LLMConfig.encodeChosen(config)))
    .filter(([key, value]) => value !== defaultValues[key])
  const { systemPrompt } = config
  const ownPrompt = systemPrompt === defaults.systemPrompt ? {} : { systemPrompt }
  return { isReset: true, changes: { ...Object.fromEntries(different), ...ownPrompt } }
}

export const fromChanges = (changes: Changes): Update => ({ isReset: false, changes: defined({ ...changes }) })

/** Removes these settings. */
export const fromNames = (names: ReadonlyArray<keyof ChatSettings>): Update => ({
  isReset: false,
  changes: Object.fromEntries(names.map((name) => [name, undefined]))
})

/** Combines two updates into one. */
export const combine = (first: Update, second: Update): Update => ({
  isReset: first.isReset || second.isReset,
  changes: { ...(second.isReset ? omitFields(first.changes) : first.changes), ...second.changes }
})

/** Applies an update to the chosen settings. */
export const applyUpdate = ({ changes, isReset }: Update, previous: StoredSettings): StoredSettings => {
  const { systemPrompt, ...rest } = changes
  const settings = defined({ ...(isReset ? omitFields(previous.settings) : previous.settings), ...rest })
  if (!("systemPrompt" in changes)) return { settings, ownPrompt: previous.ownPrompt }
  const ownPrompt = typeof systemPrompt === "string" ? systemPrompt : ""
  return { settings: defined({ ...settings, systemPrompt: systemPrompt === "" ? "" : undefined }), ownPrompt }
}

/** Computes the settings that a turn uses. */
export const resolve = (
  id: string,
  { ownPrompt, settings }: StoredSettings,
  configs: Configs
): Either.Either<EffectiveSettings, HistoryStoreError> => {
  const chosen = isForeign(configs) ? {} : pickFields(settings)
  const config = Object.keys(chosen).length === 0
    ? Either.right(configs.base)
    : decode({ ...LLMConfig.encodeChosen(configs.base), ...chosen })
  const { systemPrompt } = isForeign(configs) ? configs.base : configs.defaults
  return Either.all({ config, limits: decodeLimits(settings["window"]) }).pipe(
    Either.mapBoth({
      onLeft: (cause) => notDecodable(id, cause),
      onRight: ({ config, limits }) => ({
        config,
        limits,
        systemPrompt: ownPrompt === "" && settings["systemPrompt"] !== "" ? systemPrompt : ownPrompt
      })
    })
  )
}

/** Fails if a change is invalid. The error names the setting and its rule. */
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

/** Converts the settings for the program, without secrets. */
export const toSettings = ({ config, limits, systemPrompt }: EffectiveSettings): ChatSettings => ({
  model: config.model,
  temperature: config.temperature,
  topP: config.topP,
  maxTokens: config.maxTokens,
  frequencyPenalty: config.frequencyPenalty,
  presencePenalty: config.presencePenalty,
  systemPrompt,
  ...(limits === undefined ? {} : { window: limits })
})

/** The window for the limits of one conversation. It can shrink if the shared window can. */
export const toWindow = (
  { tokens, turns }: WindowLimits,
  shared: HistoryWindow.HistoryWindow
): HistoryWindow.HistoryWindow => {
  const windows = [
    ...(turns === undefined ? [] : [HistoryWindow.lastTurns(turns)]),
    ...(tokens === undefined ? [] : [HistoryWindow.tokens(tokens)])
  ]
  if (windows.length === 0) return shared
  const window: HistoryWindow.HistoryWindow = {
    atMost: { turns, tokens },
    select: (input) =>
      Effect.map(
        Effect.forEach(windows, (window) => window.select(input)),
        (selections) => ({ start: Math.max(...selections.map(({ start }) => start)) })
      )
  }
  return shared.shrink === undefined ? window : HistoryWindow.withShrink(window)
}
