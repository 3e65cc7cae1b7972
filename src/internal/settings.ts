/**
 * The rules of single settings: what is accepted, how it is put into normal form, how a refusal reads.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"

/** The provider of a config that names none. */
export const unnamedProvider = "openai-compatible"

/** Trailing slashes, and the path that this library adds itself, go; `/v1` stays as given. */
export const normaliseBaseUrl = (baseUrl: string): string => baseUrl.trim().replace(/(\/+chat\/completions)?\/*$/, "")

/** The address in a text, undefined where it has none. */
export const urlIn = (text: string): URL | undefined => URL.canParse(text) ? new URL(text) : undefined

const baseUrlProblem = (baseUrl: string): string | true => {
  const text = baseUrl.trim()
  const url = urlIn(text)
  const has = (what: string) => `baseUrl must not contain ${what}, actual host ${JSON.stringify(url?.host)}`
  if (url?.username || url?.password) return has("credentials (give apiKey instead)")
  if (!/^https?:$/.test(url?.protocol ?? "")) {
    return `baseUrl must be an http or https URL, actual ${JSON.stringify(baseUrl)}`
  }
  if (text.includes("?")) return has("a query (give wire.query instead)")
  return text.includes("#") ? has("a fragment") : true
}

/** An http or https URL without query, fragment or credentials. A refusal shows no part that could be a secret. */
export const BaseUrl: Schema.Schema<string> = Schema.String.annotations({
  message: () => "baseUrl must be an http or https URL"
}).pipe(Schema.filter(baseUrlProblem))

const refusedKey = { message: () => "apiKey must be printable ASCII without spaces, actual <redacted>" }

/** A key that fits into a header. A refusal never shows it, whatever it is. */
export const ApiKey: Schema.Schema<string> = Schema.String.annotations(refusedKey).pipe(
  Schema.filter((key) => /^[\x21-\x7e]*$/.test(key.trim())),
  Schema.annotations(refusedKey)
)

const HeaderValue = Schema.Redacted(
  Schema.String.annotations({ message: () => "a header must be a text, actual <redacted>" })
)

/** Headers whose values are secrets. A refusal shows none of them, whatever they are. */
export const Headers = Schema.Record({ key: Schema.String, value: HeaderValue }).annotations({
  message: () => "headers must be texts by name, actual <redacted>"
})

/** A duration above zero, as JSON: milliseconds, or text such as `30 seconds` or `Infinity`. */
export const Timeout: Schema.Schema<Duration.Duration, number | string> = Schema.transformOrFail(
  Schema.Union(Schema.Number, Schema.String),
  Schema.DurationFromSelf.pipe(Schema.greaterThanDuration(Duration.zero)),
  {
    strict: true,
    decode: (input, _, ast) =>
      ParseResult.fromOption(
        Duration.decodeUnknown(/^infinity$/i.test(`${input}`) ? Duration.infinity : input),
        () =>
          new ParseResult.Type(
            ast,
            input,
            `Expected milliseconds, or a text such as "30 seconds" or "Infinity", actual ${JSON.stringify(input)}`
          )
      ),
    encode: (duration) => ParseResult.succeed(encodeDuration(duration))
  }
)

/** A whole number from 1 on, or no limit. */
export const WholeOrInfinite: Schema.Schema<number> = Schema.Number.pipe(
  Schema.filter((number) => number === Infinity || (Number.isInteger(number) && number > 0), {
    message: ({ actual }) => `Expected a whole number above 0, or Infinity, actual ${String(actual)}`
  })
)

/** The JSON of a duration, which has no number for the infinite one. */
export const encodeDuration = (input: unknown): number | string => {
  const duration = Duration.decodeUnknown(input)
  if (Option.isNone(duration)) return String(input)
  return Duration.isFinite(duration.value) ? Duration.toMillis(duration.value) : "Infinity"
}

/** A field that may be left out, in JSON and by a program alike. */
export const withDefault = <S extends Schema.Schema.All>(
  schema: S,
  fallback: Schema.Schema.Type<S>
): Schema.optionalWith<S, { exact: true; default: () => Schema.Schema.Type<S> }> =>
  Schema.optionalWith(schema, { exact: true, default: () => fallback })
