/**
 * Schemas of single settings: the accepted values, their normal form, and the error messages.
 */
import * as Duration from "effect/Duration"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"

/** The annotation of a Schema with a rule. The error message of an invalid value contains the rule and the value. */
export const expected = (rule: string) => ({
  message: ({ actual }: ParseResult.ParseIssue) => ({ message: expectedMessage(rule, actual), override: true })
})

/** One of these texts. */
export const oneOf = <const Values extends readonly [string, ...Array<string>]>(
  ...values: Values
): Schema.Schema<Values[number]> =>
  Schema.Literal(...values).annotations(expected(values.map((value) => JSON.stringify(value)).join(" or ")))

/** The error message for an invalid value, in one line. */
export const expectedMessage = (rule: string, actual: unknown): string =>
  `Expected ${rule}, actual ${
    typeof actual === "string" ? JSON.stringify(actual) : Inspectable.toStringUnknown(actual, 0)
  }`

/** The provider of a config without one. */
export const unnamedProvider = "openai-compatible"

/** The name of a server: the provider, or the origin of the base URL if the provider has no name. */
export const serverName = (
  { baseUrl, provider }: { readonly baseUrl: string; readonly provider: string }
): string => provider === unnamedProvider ? new URL(baseUrl).origin : provider

/** Removes slashes at the end of a base URL, and the path that this library adds. Does not add or remove `/v1`. */
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

/** Parses a URL. Undefined if the text is not a URL. */
export const urlIn = (text: string): URL | undefined => URL.canParse(text) ? new URL(text) : undefined

const baseUrlProblem = (baseUrl: string): string | true => {
  const text = baseUrl.trim()
  const url = urlIn(text)
  // The part before the `@` can be a secret, even if the text is not a URL.
  if (hasCredentials(text)) return "Expected a URL without credentials (set apiKey instead)"
  const shown = url?.host ? `, actual ${url.protocol}//${url.host}` : ""
  if (!/^https?:$/.test(url?.protocol ?? "")) return notHttp + shown
  if (text.includes("?")) return `Expected a URL without a query (set wire.query instead)${shown}`
  return text.includes("#") ? `Expected a URL without a fragment${shown}` : true
}

/** Whether the text has an `@` before the path, the query and the fragment. */
const hasCredentials = (text: string): boolean => {
  const at = text.indexOf("@")
  const before = text.slice(0, Math.max(0, at))
  return at !== -1 && !/[?#]/.test(before) && before.split(/\/+/, 3).length < 3
}

const notHttp = "Expected an http or https URL"

/** An http or https URL without query, fragment or credentials. The error shows no part that can be a secret. */
export const BaseUrl: Schema.Schema<string> = Schema.String.annotations({ message: () => notHttp }).pipe(
  Schema.filter(baseUrlProblem)
)

const apiKeyRule = { message: () => "Expected printable ASCII without spaces, actual <redacted>" }

/** An API key that is valid in a header. The error never shows it. */
export const ApiKey: Schema.Schema<string> = Schema.String.annotations(apiKeyRule).pipe(
  Schema.filter((key) => /^[\x21-\x7e]*$/.test(key.trim())),
  Schema.annotations(apiKeyRule)
)

const HeaderValue = Schema.Redacted(
  Schema.String.annotations({ message: () => "Expected a text, actual <redacted>" })
)

/** The names of headers that the HTTP client sets. */
const reservedHeaders = /^(content-length|transfer-encoding|connection|keep-alive|upgrade|expect|trailer|te)$/i

/** HTTP headers. The error never shows their values, which can be secrets. */
export const Headers = Schema.Record({ key: Schema.String, value: HeaderValue }).annotations({
  message: () => "Expected texts by name, actual <redacted>"
}).pipe(
  Schema.filter((headers) =>
    Object.entries(headers).flatMap(([name, value]) => {
      const message = headerProblem(name, Redacted.value(value))
      return message === undefined ? [] : [{ path: [name], message }]
    })
  )
)

const headerProblem = (name: string, value: string): string | undefined => {
  if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name)) return "Expected a name of letters, digits and !#$%&'*+-.^_`|~"
  if (reservedHeaders.test(name)) return "Expected a header that the HTTP client does not set itself"
  return /^[\t\x20-\x7e\x80-\xff]*$/.test(value)
    ? undefined
    : "Expected printable Latin-1 characters without line breaks, actual <redacted>"
}

/** A duration above zero. In JSON, milliseconds, or a text such as `30 seconds` or `Infinity`. */
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

/** Encodes a duration for JSON. An infinite duration is the text `Infinity`, because JSON has no infinite number. */
export const encodeDuration = (input: unknown): number | string => {
  const duration = Duration.decodeUnknown(input)
  if (Option.isNone(duration)) return String(input)
  return Duration.isFinite(duration.value) ? Duration.toMillis(duration.value) : "Infinity"
}

/** A field with a default. It may be absent in JSON and in programs. */
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

/** The settings and options for members of a request that some servers reject. */
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
