/**
 * Reads settings from environment variables, and finds misspelled variables.
 */
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Option from "effect/Option"
import * as Rec from "effect/Record"
import { presets } from "../Provider.ts"
import type { Issue } from "./issue.ts"
import { asString, asText, defined } from "./json.ts"
import { nearest, unknownSetting } from "./nearest.ts"
import { urlIn } from "./settingSchemas.ts"

/** A variable that is set and not blank. */
const variable = (name: string) =>
  Config.string(name).pipe(Config.withDefault(""), Config.map((value) => asText(value.trim())))

/** The name of the environment variable of a setting. */
const nameOf = (field: string, prefix = "LLM"): string =>
  `${prefix}_${field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** Reads the variables of settings. */
const variables = (fields: ReadonlyArray<string>, prefix?: string) =>
  Config.all(Object.fromEntries(fields.map((field) => [field, variable(nameOf(field, prefix))])))

const server = ["provider", "baseUrl", "apiKey"]
const timeouts = [
  "firstTokenTimeout",
  "idleTimeout",
  "totalTimeout",
  "retryBaseDelay",
  "retryMaxDelay",
  "maxRetryAfter"
]
const texts = ["model", "systemPrompt", "onInterrupt", "onFailure", "turnPolicy", ...timeouts]
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

/** The values of all variables, and the names of those that are set. */
const environment = Config.all({
  setVariables: namesOfSetVariables,
  own: variables(server),
  openai: variables(["baseUrl", "apiKey"], "OPENAI"),
  texts: variables(texts),
  numbers: variables(numbers)
})

/**
 * Reads the settings of all variables, and the errors of variables that are not settings. The `overrides` of the program
 * replace settings.
 */
export const settings = (overrides: Readonly<Record<string, unknown>>) =>
  Config.map(environment, ({ numbers, openai, own, setVariables, texts }) => {
    const { provider = "" } = own
    const preset = Option.getOrUndefined(Rec.get(presets, provider))
    const baseUrl = asString(overrides["baseUrl"]) ?? own.baseUrl ?? preset?.baseUrl ?? openai.baseUrl
    const isOpenai = baseUrl !== undefined &&
      (baseUrl === openai.baseUrl || urlIn(baseUrl)?.host === "api.openai.com")
    const apiKey = own.apiKey ?? (isOpenai ? openai.apiKey : undefined)
    return {
      errors: [
        ...misspelled(setVariables),
        ...(provider === "" || preset !== undefined ? [] : [unknownPreset(provider)])
      ],
      input: defined({ ...preset, ...texts, ...Rec.map(numbers, toNumber), apiKey, baseUrl, ...overrides })
    }
  })

/**
 * Finds misspelled variables. A variable is misspelled if its name is unknown, a known name is similar, and the variable
 * with the known name is not set. Other unknown variables may belong to other programs.
 */
const misspelled = (setVariables: ReadonlyArray<string>): ReadonlyArray<ConfigError.ConfigError> => {
  const known = [...server, ...texts, ...numbers].map((field) => nameOf(field))
  return setVariables.flatMap((name) => {
    const suggestion = known.includes(name) ? undefined : nearest(name, known)
    return suggestion === undefined || setVariables.includes(suggestion)
      ? []
      : [ConfigError.InvalidData([name], unknownSetting(name, known))]
  })
}

const unknownPreset = (name: string): ConfigError.ConfigError => {
  const known = Object.keys(presets)
  const suggestion = nearest(name, known)
  const rule = suggestion === undefined ? `Expected one of ${known.join(", ")}` : `Did you mean ${suggestion}?`
  return ConfigError.InvalidData(["LLM_PROVIDER"], `There is no preset "${name}". ${rule}`)
}

/**
 * Combines the errors of variables with the issues of settings. The error of a setting names its variable, or the setting
 * itself if it is one of the `overrides`. Missing settings are left out if there are errors, because a misspelled variable
 * can be the missing one.
 */
export const toConfigError = (
  input: Readonly<Record<string, unknown>>,
  overrides: Readonly<Record<string, unknown>>,
  errors: ReadonlyArray<ConfigError.ConfigError>,
  issues: ReadonlyArray<Issue>
): ConfigError.ConfigError => {
  const pathOf = ({ path: [field = "config", ...rest] }: Issue): Array<string> =>
    String(field) in overrides ? [field, ...rest].map(String) : [nameOf(String(field))]
  const [missing, invalid] = Arr.partition(issues, ({ path: [field = ""] }) => input[String(field)] !== undefined)
  const found = [
    ...errors,
    ...invalid.map((issue) => ConfigError.InvalidData(pathOf(issue), issue.message)),
    ...(errors.length > 0 ? [] : missing.map((issue) => ConfigError.MissingData(pathOf(issue), missingMessage(issue))))
  ]
  return found.reduce((left, right) => ConfigError.And(left, right))
}

const missingMessage = ({ message, path: [field] }: Issue): string =>
  field === "baseUrl"
    ? "Set LLM_BASE_URL to the address of a server, such as http://localhost:11434/v1, or LLM_PROVIDER to a preset, such as ollama"
    : message

/**
 * Converts the text of a variable. "null" and "none" become `null`, which omits the setting. Other text stays unchanged.
 */
const toNumber = (text: string | undefined): number | string | null | undefined => {
  if (text === "null" || text === "none") return null
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}
