/**
 * The rules of single settings: accepted values, their normal form, and the messages of errors.
 */
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** The annotation of a rule. The error of an invalid value has the rule and the value. */
export const expected = (rule: string) => ({
  message: ({ actual }: ParseResult.ParseIssue) => ({ message: expectedMessage(rule, actual), override: true })
})

/** The error message for an invalid value, in one line. */
export const expectedMessage = (rule: string, actual: unknown): string =>
  `Expected ${rule}, actual ${
    typeof actual === "string" ? JSON.stringify(actual) : Inspectable.toStringUnknown(actual, 0)
  }`

/** The provider of a config without one. */
export const unnamedProvider = "openai-compatible"

/** The name of a server: its provider, or the origin of its address if it has none. */
export const serverName = (
  { baseUrl, provider }: { readonly baseUrl: string; readonly provider: string }
): string => provider === unnamedProvider ? new URL(baseUrl).origin : provider

/** The address without slashes at its end, and without the path that this library adds. `/v1` stays as given. */
export const normaliseBaseUrl = (baseUrl: string): string => {
  const path = "/chat/completions"
  const address = withoutSlashes(baseUrl.trim())
  return address.endsWith(path) ? withoutSlashes(address.slice(0, -path.length)) : address
}

const withoutSlashes = (text: string): string => {
  let end = text.length
  while (text[end - 1] === "/") end--
  return text.slice(0, end)
}

/** The URL in a text. Undefined if it is not a URL. */
export const urlIn = (text: string): URL | undefined => URL.canParse(text) ? new URL(text) : undefined

const baseUrlProblem = (baseUrl: string): string | true => {
  const text = baseUrl.trim()
  const url = urlIn(text)
  // What precedes the `@` of an address can be a secret, also where the address does not parse.
  if (hasCredentials(text)) return "baseUrl must not contain credentials (give apiKey instead)"
  const shown = url?.host ? `, actual ${url.protocol}//${url.host}` : ""
  if (!/^https?:$/.test(url?.protocol ?? "")) return notHttp + shown
  if (text.includes("?")) return `baseUrl must not contain a query (give wire.query instead)${shown}`
  return text.includes("#") ? `baseUrl must not contain a fragment${shown}` : true
}

/** Whether an `@` stands before the path, the query and the fragment. */
const hasCredentials = (text: string): boolean => {
  const at = text.indexOf("@")
  const before = text.slice(0, Math.max(0, at))
  return at !== -1 && !/[?#]/.test(before) && before.split(/\/+/, 3).length < 3
}

const notHttp = "baseUrl must be an http or https URL"

/** An http or https URL without query, fragment or credentials. The error shows no part that could be a secret. */
export const BaseUrl: Schema.Schema<string> = Schema.String.annotations({ message: () => notHttp }).pipe(
  Schema.filter(baseUrlProblem)
)

const refusedKey = { message: () => "apiKey must be printable ASCII without spaces, actual <redacted>" }

/** A key that fits into a header. The error never shows it. */
export const ApiKey: Schema.Schema<string> = Schema.String.annotations(refusedKey).pipe(
  Schema.filter((key) => /^[\x21-\x7e]*$/.test(key.trim())),
  Schema.annotations(refusedKey)
)

const HeaderValue = Schema.Redacted(
  Schema.String.annotations({ message: () => "a header must be a text, actual <redacted>" })
)

/** Headers that the HTTP client sets. */
const reservedHeaders = /^(content-length|transfer-encoding|connection|keep-alive|upgrade|expect|trailer|te)$/i

/** Headers whose values are secrets. The error never shows them. */
export const Headers = Schema.Record({ key: Schema.String, value: HeaderValue }).annotations({
  message: () => "headers must be texts by name, actual <redacted>"
}).pipe(
  Schema.filter((headers) => {
    for (const [name, value] of Object.entries(headers)) {
      const shown = `the header ${JSON.stringify(name)}`
      if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) {
        return `${shown} must have a name of letters, digits and !#$%&'*+-.^_\`|~`
      }
      if (reservedHeaders.test(name)) return `${shown} must not be set: the HTTP client sets it`
      if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(Redacted.value(value))) {
        return `${shown} must have a value of printable Latin-1 characters without line breaks, actual <redacted>`
      }
    }
    return true
  })
)

/** A duration above zero, as JSON: milliseconds, or text such as `30 seconds` or `Infinity`. */
export const Timeout: Schema.Schema<Duration.Duration, number | string> = Schema.transformOrFail(
  Schema.Union(Schema.Number, Schema.String),
  Schema.DurationFromSelf.pipe(Schema.greaterThanDuration(Duration.zero)),
  {
    strict: true,
    decode: (input, _, ast) =>
      ParseResult.fromOption(
        Duration.decodeUnknown(/^infinity$/i.test(`${input}`) ? Duration.infinity : input),
        () => new ParseResult.Type(ast, input)
      ),
    encode: (duration) => ParseResult.succeed(encodeDuration(duration))
  }
).annotations(expected(`a duration greater than 0, such as 30000 (milliseconds), "30 seconds" or "Infinity"`))

/** An integer of 1 or more, or `Infinity`. */
export const WholeOrInfinite: Schema.Schema<number> = Schema.Number.pipe(
  Schema.filter((number) => number === Infinity || (Number.isInteger(number) && number > 0), {
    message: ({ actual }) => `Expected a whole number above 0, or Infinity, actual ${String(actual)}`
  })
)

/** Encodes a duration for JSON, which has no infinite number. */
export const encodeDuration = (input: unknown): number | string => {
  const duration = Duration.decodeUnknown(input)
  if (Option.isNone(duration)) return String(input)
  return Duration.isFinite(duration.value) ? Duration.toMillis(duration.value) : "Infinity"
}

/** A field that may be absent, in JSON and in programs. */
export const withDefault = <S extends Schema.Schema.All>(
  schema: S,
  fallback: Schema.Schema.Type<S>
): Schema.optionalWith<S, { exact: true; default: () => Schema.Schema.Type<S> }> =>
  Schema.optionalWith(schema, { exact: true, default: () => fallback })

/** A duration in milliseconds. JSON has no infinite number, so an infinite duration becomes the largest number. */
export const FiniteMillis: Schema.Schema<Duration.Duration, number> = Schema.transform(
  Schema.Number,
  Schema.DurationFromSelf,
  {
    strict: true,
    decode: (millis) => Duration.millis(millis),
    encode: (duration) => Math.min(Duration.toMillis(duration), Number.MAX_SAFE_INTEGER)
  }
)

/** The members of a request that a server may refuse, by the names of the settings and options. */
export const optionalFields = [
  "temperature",
  "topP",
  "maxTokens",
  "frequencyPenalty",
  "presencePenalty",
  "seed",
  "stop",
  "user",
  "parallelToolCalls"
] as const
