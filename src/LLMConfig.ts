/**
 * The settings of a chat: the server, the model, sampling, time limits, retries and policies.
 *
 * **Details**
 *
 * Only `baseUrl` is required; the presets of `Provider` have it. {@link make} is for settings in the program's text,
 * {@link decode} for settings from elsewhere, and {@link config} for those of the environment. The default system prompt is
 * Chinese; `systemPrompt: ""` sends none.
 *
 * @since 0.1.0
 */
import * as Arr from "effect/Array"
import * as Config from "effect/Config"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Rec from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { inOneLine, issuesOf } from "./internal/issue.ts"
import { asRecord, asText, defined } from "./internal/json.ts"
import { unknownNames } from "./internal/nearest.ts"
import {
  ApiKey,
  BaseUrl,
  encodeDuration,
  expected,
  Headers,
  normaliseBaseUrl,
  oneOf,
  Timeout,
  unnamedProvider,
  withDefault
} from "./internal/settingSchemas.ts"
import * as Variables from "./internal/variables.ts"
import * as Provider from "./Provider.ts"

const within = (least: number, most: number): Schema.Schema<number | null> =>
  Schema.NullOr(Schema.Number.pipe(Schema.between(least, most))).annotations(
    expected(`a number between ${least} and ${most}, or null`)
  )

const positive = "an integer greater than 0"

const Positive = Schema.Int.pipe(Schema.positive()).annotations(expected(positive))

const Retries = Schema.Int.pipe(Schema.between(0, 100)).annotations(expected("an integer between 0 and 100"))

const Name = Schema.NonEmptyTrimmedString.annotations(
  expected("a non empty string without leading or trailing whitespace")
)

const timeout = (fallback: Duration.DurationInput) => withDefault(Timeout, Duration.decode(fallback))

const fields = {
  /** The address of the API without `/chat/completions`: http or https, without a query or credentials. */
  baseUrl: BaseUrl,
  /** The key for the Authorization header. Without a key, or with an empty one, the header is not sent. */
  apiKey: Schema.optionalWith(Schema.Redacted(ApiKey), { exact: true }),
  /** Default `deepseek-chat`. The presets of other servers have no default, so they require a model. */
  model: Schema.optionalWith(Name, { exact: true }),
  /**
   * Randomness, 0 to 2. Default 0.7, or `null` if the model may refuse it: servers without `Wire.defaultTemperature`,
   * OpenAI's GPT-5 and o models, and Claude together with `topP`.
   */
  temperature: Schema.optionalWith(within(0, 2), { exact: true }),
  /** Nucleus sampling, 0 to 1. Default 1, which is not sent. */
  topP: withDefault(within(0, 1), 1),
  /** The maximum number of tokens of an answer, 1 or more. Default 8192. */
  maxTokens: withDefault(Schema.NullOr(Positive).annotations(expected(`${positive}, or null`)), 8192),
  /** −2 to 2; above 0 discourages repetition. Default 0, which is not sent. */
  frequencyPenalty: withDefault(within(-2, 2), 0),
  /** −2 to 2; above 0 encourages new topics. Default 0, which is not sent. */
  presencePenalty: withDefault(within(-2, 2), 0),
  /** The first message of every request; empty for none. Default `你是一个严谨的助手`. */
  systemPrompt: withDefault(Schema.String, "你是一个严谨的助手"),
  /** The server's name in responses, spans and metrics, such as `openai`. Default `openai-compatible`. */
  provider: withDefault(Name, unnamedProvider),
  /** How the requests and answers of this server differ from the common ones. The presets of `Provider` have it. */
  wire: withDefault(Provider.Wire, Provider.Wire.make({})),
  /** Further headers of each request. Their values are secrets. */
  headers: withDefault(Headers, {}),
  /** Further members of each request's JSON. They replace members with the same names. */
  extraBody: withDefault(Schema.Record({ key: Schema.String, value: Schema.Unknown }), {}),
  /** Whether requests have the trace headers `traceparent` and `b3`. Default false: providers may refuse or record them. */
  tracePropagation: withDefault(Schema.Boolean, false),
  /** From the request to the first delta, or to the first byte of a call without a stream. Default 5 minutes. */
  firstTokenTimeout: timeout("5 minutes"),
  /** The maximum time between two parts of an answer. Default 1 minute. */
  idleTimeout: timeout("1 minute"),
  /** The maximum time of a call, with its retries and their waits. Default infinite. */
  totalTimeout: timeout(Duration.infinity),
  /** The maximum number of retries before the first event, 0 to 100. Default 2. */
  maxRetries: withDefault(Retries, 2),
  /** The wait before the first retry; it doubles with each, with jitter. Default 500 milliseconds. */
  retryBaseDelay: timeout("500 millis"),
  /** The maximum wait before a retry if the server asks for none. Default 8 seconds. */
  retryMaxDelay: timeout("8 seconds"),
  /** The maximum wait that a server may ask for. If it asks for more, the call fails at once. Default 1 minute. */
  maxRetryAfter: timeout("1 minute"),
  /** What the history keeps of an interrupted turn: `keep` the part that arrived, or `rollback` nothing. Default `keep`. */
  onInterrupt: withDefault(oneOf("keep", "rollback"), "keep"),
  /**
   * What the history keeps of a turn that fails: `keep` the question and the part of the answer that arrived, or `rollback`
   * nothing. Default `rollback`.
   */
  onFailure: withDefault(oneOf("keep", "rollback"), "rollback"),
  /** What a turn does if another one is running: wait, fail with `BusyError`, or stop the other one. Default `queue`. */
  turnPolicy: withDefault(oneOf("queue", "reject", "replace"), "queue"),
  /**
   * The maximum size of a server-sent event, in characters. Each key or value counts as at least 100 characters, and each
   * member of a chunk, choice or message as 800, because they take as long to parse. A few thousand of them are always
   * allowed. Default 8 Mi.
   */
  maxEventSize: withDefault(Positive, 2 ** 23),
  /**
   * The maximum size of an answer. Without a stream: the bytes of the body, with keys and values as in `maxEventSize`. With
   * a stream: about the characters of the response, where a tool call counts as 2,048 characters plus four times its
   * arguments. At the defaults, no answer keeps the event loop busy for 50 ms at a time. Default 16 Mi.
   */
  maxBodySize: withDefault(Positive, 2 ** 24)
}

/**
 * The settings of a chat.
 *
 * A sampling field that is `null` is not sent, so the server uses its own default. `Schema.encode` returns plain JSON that
 * contains the key, and `Schema.decode` reads it. A config that is printed or logged shows `<redacted>` instead of the key.
 *
 * @since 0.1.0
 * @category models
 */
export class LLMConfig extends Schema.Class<LLMConfig>("effect-chat/LLMConfig")(
  Schema.Struct(fields).pipe(
    Schema.filter(({ model, provider, wire }) =>
      model !== undefined || wire.defaultModel ||
      { path: ["model"], message: `Expected a model: the preset of ${JSON.stringify(provider)} has no default model` }
    )
  )
) {
  /**
   * Default `deepseek-chat`. Presets of other servers have no default.
   *
   * @since 0.1.0
   */
  declare readonly model: string
  /**
   * Default 0.7, or `null` if the server would refuse it.
   *
   * @since 0.1.0
   */
  declare readonly temperature: number | null

  // The rule guards against constructors with other parameters, which decoding would call wrongly. This one has the same.
  // @effect-diagnostics-next-line overriddenSchemaConstructor:off
  constructor(props: Props, options?: Schema.MakeOptions) {
    super({ ...props, ...defaults(props), baseUrl: normaliseBaseUrl(props.baseUrl) }, options)
    unset.set(this, dependent.filter((field) => props[field] === undefined))
  }
}

type Props = Schema.Struct.Constructor<typeof fields>

/** Settings whose defaults depend on other settings. */
const dependent = ["model", "temperature"] as const

/** The `dependent` settings that the program did not choose, for each config. */
const unset = new WeakMap<LLMConfig, ReadonlyArray<(typeof dependent)[number]>>()

const defaults = ({ model, temperature, topP, wire }: Props): Pick<Props, "model" | "temperature"> => {
  const name = model ?? (wire?.defaultModel === false ? undefined : "deepseek-chat")
  const isRefused = wire?.defaultTemperature === false || /(^|\/)(gpt-5|o\d($|-))/i.test(name ?? "") ||
    (/claude/i.test(name ?? "") && (topP ?? 1) !== 1)
  return {
    ...(name === undefined ? {} : { model: name }),
    temperature: temperature === undefined ? (isRefused ? null : 0.7) : temperature
  }
}

type Encoded = Schema.Schema.Encoded<typeof LLMConfig>

type DurationField =
  | "firstTokenTimeout"
  | "idleTimeout"
  | "totalTimeout"
  | "retryBaseDelay"
  | "retryMaxDelay"
  | "maxRetryAfter"

type Loose<T> = { readonly [K in keyof T]: T[K] | undefined }

/**
 * The settings as a program writes them. Only `baseUrl` is required. The key and headers may be plain or redacted, and
 * durations may be any `DurationInput`.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options
  extends Loose<Omit<Encoded, DurationField | "apiKey" | "baseUrl" | "headers">>, DurationOptions
{
  readonly baseUrl: string
  readonly apiKey?: string | Redacted.Redacted | undefined
  readonly headers?: Readonly<Record<string, string | Redacted.Redacted>> | undefined
}

/**
 * Settings that replace those of a config.
 *
 * @since 0.1.0
 * @category models
 */
export type Overrides = { readonly [K in keyof Options]?: Options[K] | undefined }

type DurationOptions = { readonly [K in DurationField]?: Duration.DurationInput | undefined }

/** The plain secret. The Schema refuses values of other types. */
const reveal = (secret: unknown): unknown => Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

const toEncoded = ({ apiKey, headers, ...rest }: Overrides): Readonly<Record<string, unknown>> => {
  const key = reveal(apiKey)
  return defined({
    ...Rec.map<string, unknown, unknown>(rest, toJson),
    apiKey: typeof key === "string" ? asText(key.trim()) : key,
    headers: asRecord(headers) === undefined ? headers : Rec.map({ ...headers }, reveal)
  })
}

/** Encodes durations, which have forms that JSON does not have. */
const toJson = (value: unknown): unknown =>
  Duration.isDuration(value) || typeof value === "bigint" || Array.isArray(value) ? encodeDuration(value) : value

/**
 * Decodes settings and adds the defaults. The error is one line with each invalid field, its value and the values that are
 * allowed. An unknown name fails, with the nearest known one. The error never contains the key.
 *
 * @example
 * import { Either } from "effect"
 * import { LLMConfig } from "effect-chat"
 *
 * const config = LLMConfig.decode({ baseUrl: "http://localhost:11434/v1", model: "qwen3", temperature: 3 })
 *
 * assert.ok(Either.isLeft(config))
 * assert.match(config.left.message, /temperature.*between 0 and 2/s)
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode = (options: Options): Either.Either<LLMConfig, ParseResult.ParseError> =>
  options instanceof LLMConfig ? Either.right(options) : decodeUnknown(toEncoded(options))

const decodeUnknown = (input: Readonly<Record<string, unknown>>): Either.Either<LLMConfig, ParseResult.ParseError> =>
  Either.mapLeft(
    Either.flatMap(onlySettings(input), decodeSettings),
    inOneLine
  )

const decodeSettings = Schema.decodeUnknownEither(LLMConfig, { errors: "all" })

/** Refuses members that are not settings, here or in `wire`. Their values are not shown: they may be secrets. */
const onlySettings = (
  input: Readonly<Record<string, unknown>>
): Either.Either<Readonly<Record<string, unknown>>, ParseResult.ParseError> => {
  const issues = [
    ...unknownNames(LLMConfig.ast, input, fields),
    ...unknownNames(LLMConfig.ast, asRecord(input["wire"]) ?? {}, Provider.Wire.fields, "wire")
  ]
  return Arr.isNonEmptyArray(issues)
    ? Either.left(ParseResult.parseError(new ParseResult.Composite(LLMConfig.ast, undefined, issues)))
    : Either.right(input)
}

/**
 * Like {@link decode}, for settings in the program's text. Throws the `ParseError`, as the constructors of Schema classes
 * do.
 *
 * @example
 * import { LLMConfig, Provider } from "effect-chat"
 *
 * const config = LLMConfig.make({ ...Provider.ollama, model: "qwen3", idleTimeout: "30 seconds" })
 *
 * assert.strictEqual(config.baseUrl, "http://localhost:11434/v1")
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): LLMConfig => Either.getOrThrowWith(decode(options), (error) => error)

/**
 * Changes some settings of a config and checks them by the same rules. `undefined` keeps a setting. A model or temperature
 * that the program did not choose gets its default again.
 *
 * @example
 * import { Either } from "effect"
 * import { LLMConfig, Provider } from "effect-chat"
 *
 * const config = LLMConfig.make({ ...Provider.ollama, model: "qwen3" })
 * const precise = Either.getOrThrow(LLMConfig.override(config, { temperature: 0 }))
 *
 * assert.deepStrictEqual([precise.model, precise.temperature], ["qwen3", 0])
 *
 * @since 0.1.0
 * @category combinators
 */
export const override = (
  self: LLMConfig,
  overrides: Overrides
): Either.Either<LLMConfig, ParseResult.ParseError> => decodeUnknown({ ...encodeChosen(self), ...toEncoded(overrides) })

const encode = Schema.encodeSync(LLMConfig)

/**
 * Encodes the settings as JSON, without a model or temperature that the program did not choose.
 *
 * @example
 * import { LLMConfig, Provider } from "effect-chat"
 *
 * const config = LLMConfig.make({ ...Provider.ollama, model: "qwen3" })
 * const json = LLMConfig.encodeChosen(config)
 *
 * assert.deepStrictEqual([json["model"], json["temperature"]], ["qwen3", undefined])
 *
 * @since 0.1.0
 * @category conversions
 */
export const encodeChosen = (self: LLMConfig): Readonly<Record<string, unknown>> => {
  const json: Record<string, unknown> = { ...encode(self) }
  for (const field of unset.get(self) ?? []) delete json[field]
  return json
}

/**
 * Reads the settings from the environment.
 *
 * - The server: `LLM_BASE_URL`, or `LLM_PROVIDER` with the name of a preset of `Provider`; `LLM_API_KEY`.
 * - The request: `LLM_MODEL`, `LLM_SYSTEM_PROMPT`, `LLM_TEMPERATURE`, `LLM_TOP_P`, `LLM_MAX_TOKENS`,
 *   `LLM_FREQUENCY_PENALTY`, `LLM_PRESENCE_PENALTY`. A number that is `null` is not sent.
 * - Time limits, such as `30 seconds`: `LLM_FIRST_TOKEN_TIMEOUT`, `LLM_IDLE_TIMEOUT`, `LLM_TOTAL_TIMEOUT`.
 * - Retries: `LLM_MAX_RETRIES`, `LLM_RETRY_BASE_DELAY`, `LLM_RETRY_MAX_DELAY`, `LLM_MAX_RETRY_AFTER`.
 * - Policies: `LLM_ON_INTERRUPT`, `LLM_ON_FAILURE`, `LLM_TURN_POLICY`.
 *
 * Without an address, `OPENAI_BASE_URL` is used. Without a key, `OPENAI_API_KEY` is used, but only for the address of
 * `OPENAI_BASE_URL` or of OpenAI, so that no other server receives it.
 *
 * Fails with all variables that are misspelled, invalid or missing. A misspelled variable such as `LLM_MODLE` fails with the
 * correct name, unless the correct variable is set too.
 *
 * @example
 * import { ConfigProvider, Effect } from "effect"
 * import { LLMConfig } from "effect-chat"
 *
 * // In a program, these are variables of the environment.
 * const variables = ConfigProvider.fromMap(new Map([["LLM_PROVIDER", "ollama"], ["LLM_MODEL", "qwen3"]]))
 *
 * const config = Effect.runSync(Effect.withConfigProvider(LLMConfig.config, variables))
 *
 * assert.strictEqual(config.model, "qwen3")
 *
 * @since 0.1.0
 * @category config
 */
export const config: Config.Config<LLMConfig> = Config.suspend(() => configWith({}))

/**
 * Like {@link config}, with settings of the program in place of those of the environment. The address of the program can be
 * the only one. `undefined` keeps a setting.
 *
 * @example
 * import { ConfigProvider, Effect } from "effect"
 * import { LLMConfig } from "effect-chat"
 *
 * // In a program, these are variables of the environment.
 * const variables = ConfigProvider.fromMap(new Map([["LLM_PROVIDER", "ollama"], ["LLM_MODEL", "qwen3"]]))
 *
 * const config = Effect.runSync(
 *   Effect.withConfigProvider(LLMConfig.configWith({ onFailure: "keep" }), variables)
 * )
 *
 * assert.deepStrictEqual([config.model, config.onFailure], ["qwen3", "keep"])
 *
 * @since 0.1.0
 * @category config
 */
export const configWith = (overrides: Overrides): Config.Config<LLMConfig> => {
  const own = toEncoded(overrides)
  return Config.mapOrFail(Variables.settings(own), ({ errors, input }) => {
    const decoded = decodeUnknown(input)
    if (Either.isRight(decoded) && errors.length === 0) return Either.right(decoded.right)
    const issues = Either.isLeft(decoded) ? issuesOf(decoded.left) : []
    return Either.left(Variables.toConfigError(input, own, errors, issues))
  })
}
