/**
 * The environment variables of settings: those that are read, and misspelled ones.
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import { presets } from "../Provider.ts"
import { asText } from "./json.ts"
import { nearest, unknownSetting } from "./nearest.ts"

/** A variable that is set and not blank. */
const variable = (name: string) =>
  Config.string(name).pipe(Config.withDefault(""), Config.map((value) => asText(value.trim())))

/** The name of the variable of a setting. */
export const nameOf = (field: string, prefix = "LLM"): string =>
  `${prefix}_${field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** The variables of fields, by the names of the fields. */
const variables = (fields: ReadonlyArray<string>, prefix?: string) =>
  Config.all(Object.fromEntries(fields.map((field) => [field, variable(nameOf(field, prefix))])))

const server = ["provider", "baseUrl", "apiKey"]
const texts = ["model", "systemPrompt", "firstTokenTimeout", "idleTimeout", "totalTimeout"]
const numbers = ["temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty", "maxRetries"]

/** The ends of the names of variables. A provider that splits names at `_` lists them word by word. */
const names = (words: number): Config.Config<ReadonlyArray<string>> =>
  words === 0 ? Config.succeed([]) : Config.map(
    Config.hashMap(names(words - 1)),
    (found) => [...found].flatMap(([word, ends]) => ends.length === 0 ? [word] : ends.map((end) => `${word}_${end}`))
  )

/** The names of the variables that begin with `LLM_`, of at most five words. Their values are not read. */
const setNames = Config.all([names(1), Config.nested(names(4), "LLM")]).pipe(
  Config.map((
    [whole, ends]
  ) => [...whole.filter((name) => name.startsWith("LLM_")), ...ends.map((end) => `LLM_${end}`)]),
  Config.orElse(() => Config.succeed([]))
)

/** The variables that are read, and the names of all that are given. */
export const environment = Config.all({
  given: setNames,
  own: variables(server),
  openai: variables(["baseUrl", "apiKey"], "OPENAI"),
  texts: variables(texts),
  numbers: variables(numbers)
})

/**
 * Finds a misspelled variable: one with an unknown name, if the variable with the nearest known name is not set. Other
 * unknown variables may belong to other programs.
 */
export const misspelled = (given: ReadonlyArray<string>): ConfigError.ConfigError | undefined => {
  const known = [...server, ...texts, ...numbers].map((field) => nameOf(field))
  for (const name of given) {
    const suggestion = known.includes(name) ? undefined : nearest(name, known)
    if (suggestion !== undefined && !given.includes(suggestion)) {
      return ConfigError.InvalidData([name], unknownSetting(name, known))
    }
  }
  return undefined
}

/** The error for a name that no preset has. */
export const unknownPreset = (name: string): ConfigError.ConfigError => {
  const known = Object.keys(presets)
  const suggestion = nearest(name, known)
  const rule = suggestion === undefined ? `Expected one of ${known.join(", ")}` : `Did you mean ${suggestion}?`
  return ConfigError.InvalidData(["LLM_PROVIDER"], `There is no preset "${name}". ${rule}`)
}

/** The number that a variable means: `null` for one that is not sent, and the text if it is no number. */
export const toNumber = (text: string | undefined): number | string | null | undefined => {
  if (text === "null" || text === "none") return null
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}
