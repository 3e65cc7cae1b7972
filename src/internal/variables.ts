/**
 * Reads settings from environment variables, and finds misspelled variables.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import { presets } from "../Provider.ts"
import { asText } from "./json.ts"
import { nearest, unknownSetting } from "./nearest.ts"

/** A variable that is set and not blank. */
const variable = (name: string) =>
  Config.string(name).pipe(Config.withDefault(""), Config.map((value) => asText(value.trim())))

/** The name of the environment variable of a setting. */
export const nameOf = (field: string, prefix = "LLM"): string =>
  `${prefix}_${field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** Reads the variables of settings. */
const variables = (fields: ReadonlyArray<string>, prefix?: string) =>
  Config.all(Object.fromEntries(fields.map((field) => [field, variable(nameOf(field, prefix))])))

const server = ["provider", "baseUrl", "apiKey"]
const texts = ["model", "systemPrompt", "firstTokenTimeout", "idleTimeout", "totalTimeout"]
const numbers = ["temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty", "maxRetries"]

/** The names of all variables with at most this many words. A ConfigProvider splits names at `_`, and nests the words. */
const names = (words: number): Config.Config<ReadonlyArray<string>> =>
  words === 0 ? Config.succeed([]) : Config.map(
    Config.hashMap(names(words - 1)),
    (found) =>
      [...found].flatMap(([word, rests]) => rests.length === 0 ? [word] : rests.map((rest) => `${word}_${rest}`))
  )

/** The names of the variables that begin with `LLM_`, with at most five words. Does not read their values. */
const namesOfSetVariables = Config.all([names(1), Config.nested(names(4), "LLM")]).pipe(
  Config.map((
    [full, rests]
  ) => [...full.filter((name) => name.startsWith("LLM_")), ...rests.map((rest) => `LLM_${rest}`)]),
  Config.orElse(() => Config.succeed([]))
)

/** The values of all settings, and the names of all variables that are set. */
export const environment = Config.all({
  setVariables: namesOfSetVariables,
  own: variables(server),
  openai: variables(["baseUrl", "apiKey"], "OPENAI"),
  texts: variables(texts),
  numbers: variables(numbers)
})

/**
 * The error for misspelled variables. A variable is misspelled if its name is unknown, a known name is similar, and the
 * variable with the known name is not set. Other unknown variables may belong to other programs.
 */
export const misspelled = (setVariables: ReadonlyArray<string>): ConfigError.ConfigError | undefined => {
  const known = [...server, ...texts, ...numbers].map((field) => nameOf(field))
  return setVariables.flatMap((name): ReadonlyArray<ConfigError.ConfigError> => {
    const suggestion = known.includes(name) ? undefined : nearest(name, known)
    return suggestion === undefined || setVariables.includes(suggestion)
      ? []
      : [ConfigError.InvalidData([name], unknownSetting(name, known))]
  }).reduce<ConfigError.ConfigError | undefined>(
    (left, right) => left === undefined ? right : ConfigError.And(left, right),
    undefined
  )
}

/** The error for an unknown preset. */
export const unknownPreset = (name: string): ConfigError.ConfigError => {
  const known = Object.keys(presets)
  const suggestion = nearest(name, known)
  const rule = suggestion === undefined ? `Expected one of ${known.join(", ")}` : `Did you mean ${suggestion}?`
  return ConfigError.InvalidData(["LLM_PROVIDER"], `There is no preset "${name}". ${rule}`)
}

/**
 * Converts the text of a variable. "null" and "none" become `null`, which omits the setting. Other text stays unchanged.
 */
export const toNumber = (text: string | undefined): number | string | null | undefined => {
  if (text === "null" || text === "none") return null
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}
