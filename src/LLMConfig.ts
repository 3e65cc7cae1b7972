/**
 * Every setting of a chat: where the server is, what to ask of it, how long to wait.
 *
 * @since 0.1.0
 */
import * as Config from "effect/Config"
import * as ConfigError from "effect/ConfigError"
import * as Duration from "effect/Duration"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Rec from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Schema from "effect/Schema"
import { issueOf } from "./internal/issue.ts"
import { asText, defined } from "./internal/json.ts"
import {
  ApiKey,
  BaseUrl,
  encodeDuration,
  Headers,
  normaliseBaseUrl,
  Timeout,
  unnamedProvider,
  urlIn,
  withDefault
} from "./internal/settings.ts"
import * as Provider from "./Provider.ts"

const orNull = (schema: Schema.Schema<number>, fallback: number) => withDefault(Schema.NullOr(schema), fallback)

const within = (schema: Schema.Schema<number>, least: number, most: number) => schema.pipe(Schema.between(least, most))

const Positive = Schema.Int.pipe(Schema.positive())

const timeout = (fallback: Duration.DurationInput) => withDefault(Timeout, Duration.decode(fallback))

const fields = {
  /** Where the API lives, up to the part before `/chat/completions`: http or https, without query or credentials. */
  baseUrl: BaseUrl,
  /** The secret for the Authorization header. Absent or empty: no such header, as local servers want it. */
  apiKey: Schema.optionalWith(Schema.Redacted(ApiKey), { exact: true }),
  /** Default `deepseek-chat`. Presets of other servers than DeepSeek have no default: with them, a model must be given. */
  model: Schema.optionalWith(Schema.NonEmptyTrimmedString, { exact: true }),
  /**
   * Randomness, 0 to 2. Default 0.7, but `null` where that can be refused: by servers without `Wire.defaultTemperature`, by
   * OpenAI's GPT-5 and o models, and by Claude beside a `topP`, of which it accepts one.
   */
  temperature: Schema.optionalWith(Schema.NullOr(within(Schema.Number, 0, 2)), { exact: true }),
  /** Nucleus sampling, 0 to 1. Default 1, which is not sent. */
  topP: orNull(within(Schema.Number, 0, 1), 1),
  /** The most tokens of an answer, 1 or more. Default 8192. */
  maxTokens: orNull(Positive, 8192),
  /** −2 to 2; above 0 discourages repetition. Default 0, which is not sent. */
  frequencyPenalty: orNull(within(Schema.Number, -2, 2), 0),
  /** −2 to 2; above 0 encourages new topics. Default 0, which is not sent. */
  presencePenalty: orNull(within(Schema.Number, -2, 2), 0),
  /** The first message of every request; empty for none. Default `你是一个严谨的助手`. */
  systemPrompt: withDefault(Schema.String, "你是一个严谨的助手"),
  /** The server's name in responses, spans and metrics, such as `openai`. Default `openai-compatible`. */
  provider: withDefault(Schema.NonEmptyTrimmedString, unnamedProvider),
  /** How this server's wire differs from the common one. The presets of `Provider` bring it. */
  wire: withDefault(Provider.Wire, Provider.Wire.make({})),
  /** Further headers of each request. Their values are secrets. */
  headers: withDefault(Headers, {}),
  /** Further members of each request's JSON, which win over the library's own. */
  extraBody: withDefault(Schema.Record({ key: Schema.String, value: Schema.Unknown }), {}),
  /** Whether requests carry the trace's headers, `traceparent` and `b3`. Default false: providers refuse or record them. */
  tracePropagation: withDefault(Schema.Boolean, false),
  /** From the request to the answer's first piece; of a call without a stream, to its first byte. Default 5 minutes. */
  firstTokenTimeout: timeout("5 minutes"),
  /** The longest silence within an answer. Default 1 minute. */
  idleTimeout: timeout("1 minute"),
  /** The whole call, retries and their waits included. Default infinite. */
  totalTimeout: timeout(Duration.infinity),
  /** How often a call is tried again before its first event, 0 to 100. Default 2. */
  maxRetries: withDefault(within(Schema.Int, 0, 100), 2),
  /** The wait before the first retry; it doubles with each, with jitter. Default 500 milliseconds. */
  retryBaseDelay: timeout("500 millis"),
  /** The longest wait of the library's own choice. Default 8 seconds. */
  retryMaxDelay: timeout("8 seconds"),
  /** The longest wait that a server may ask for: beyond it the call fails at once. Default 1 minute. */
  maxRetryAfter: timeout("1 minute"),
  /** What becomes of an interrupted turn: the part that came is kept, or the turn is undone. Default `keep`. */
  onInterrupt: withDefault(Schema.Literal("keep", "rollback"), "keep"),
  /**
   * What the history has of a turn that fails: `keep` the question and the part of the answer that arrived, or `rollback`
   * nothing. Default `rollback`.
   */
  onFailure: withDefault(Schema.Literal("keep", "rollback"), "rollback"),
  /** What a turn does that meets a running one: wait, fail with `BusyError`, or stop it and run. Default `queue`. */
  turnPolicy: withDefault(Schema.Literal("queue", "reject", "replace"), "queue"),
  /** The longest server-sent event, in characters. Default 16 Mi. */
  maxEventSize: withDefault(Positive, 2 ** 24),
  /** The longest answer that is no stream, in bytes. Default 64 Mi. */
  maxBodySize: withDefault(Positive, 2 ** 26)
}

/**
 * The settings of a chat.
 *
 * A sampling field that is `null` is not sent, which leaves the choice to the server. `Schema.encode` gives plain JSON
 * with the key in clear, `Schema.decode` reads it; printed, logged or inspected a config shows `<redacted>`.
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

  // Guards against constructors of another shape, which decoding would call wrongly. This one has the class's own.
  // @effect-diagnostics-next-line overriddenSchemaConstructor:off
  constructor(props: Props, options?: Schema.MakeOptions) {
    super({ ...props, ...defaults(props), baseUrl: normaliseBaseUrl(props.baseUrl) }, options)
    unset.set(this, dependent.filter((field) => props[field] === undefined))
  }
}

type Props = Schema.Struct.Constructor<typeof fields>

/** Settings whose defaults depend on others. */
const dependent = ["model", "temperature"] as const

/** Those of them that the program did not choose, by config. */
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
 * The settings as a program writes them: only `baseUrl` is needed, a key and headers may be plain or redacted, and
 * durations are anything that Effect takes for one.
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
 * Some settings, to change those of a config.
 *
 * @since 0.1.0
 * @category models
 */
export type Overrides = { readonly [K in keyof Options]?: Options[K] | undefined }

type DurationOptions = { readonly [K in DurationField]?: Duration.DurationInput | undefined }

/** The secret in clear. What has another type is for the Schema to refuse. */
const reveal = (secret: unknown): unknown => Redacted.isRedacted(secret) ? Redacted.value(secret) : secret

const toEncoded = ({ apiKey, headers, ...rest }: Overrides): Readonly<Record<string, unknown>> => {
  const key = reveal(apiKey)
  return defined({
    ...Rec.map<string, unknown, unknown>(rest, toJson),
    apiKey: typeof key === "string" ? asText(key.trim()) : key,
    headers: headers && Rec.map(headers, reveal)
  })
}

/** Durations come in forms that JSON does not have. */
const toJson = (value: unknown): unknown =>
  Duration.isDuration(value) || typeof value === "bigint" || Array.isArray(value) ? encodeDuration(value) : value

/**
 * Settings from what a program wrote, with every default filled in. Fails with the field, the value and the rule that
 * it breaks, and never with the key.
 *
 * @since 0.1.0
 * @category constructors
 */
export const decode = (options: Options): Either.Either<LLMConfig, ParseResult.ParseError> =>
  options instanceof LLMConfig ? Either.right(options) : decodeUnknown(toEncoded(options))

const decodeUnknown = Schema.decodeUnknownEither(LLMConfig)

/**
 * Like {@link decode}, for settings that stand in the program's text: throws the `ParseError`, as the constructors of
 * Schema classes do.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): LLMConfig => Either.getOrThrowWith(decode(options), (error) => error)

/**
 * The config with some settings changed, under the same rules. `undefined` leaves a setting as it is. A model or temperature
 * that the program did not choose is again the default.
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
 * The settings as JSON, without a model or temperature that the program did not choose.
 *
 * @since 0.1.0
 * @category conversions
 */
export const encodeChosen = (self: LLMConfig): Readonly<Record<string, unknown>> => {
  const json: Record<string, unknown> = { ...encode(self) }
  for (const field of unset.get(self) ?? []) delete json[field]
  return json
}

/** A variable that is set to something. */
const variable = (name: string) =>
  Config.string(name).pipe(Config.withDefault(""), Config.map((value) => asText(value.trim())))

const variableName = (field: string, prefix = "LLM"): string =>
  `${prefix}_${field.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`

/** The variables of fields, by the fields' names. */
const variables = (fields: ReadonlyArray<string>, prefix?: string) =>
  Config.all(Object.fromEntries(fields.map((field) => [field, variable(variableName(field, prefix))])))

const environment = Config.all({
  own: variables(["provider", "baseUrl", "apiKey"]),
  openai: variables(["baseUrl", "apiKey"], "OPENAI"),
  texts: variables(["model", "systemPrompt", "firstTokenTimeout", "idleTimeout", "totalTimeout"]),
  numbers: variables(["temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty", "maxRetries"])
})

const toNumber = (text: string | undefined): number | string | null | undefined => {
  if (text === "null" || text === "none") return null
  const number = Number(text)
  return Number.isNaN(number) ? text : number
}

const invalid = (error: ParseResult.ParseError): ConfigError.ConfigError => {
  const { message, path: [field = "config"] } = issueOf(error)
  return ConfigError.InvalidData([variableName(String(field))], message)
}

/**
 * The settings as the environment names them.
 *
 * `LLM_BASE_URL` (or `LLM_PROVIDER`, the name of a preset of `Provider`), `LLM_API_KEY`, `LLM_MODEL`,
 * `LLM_SYSTEM_PROMPT`, `LLM_TEMPERATURE`, `LLM_TOP_P`, `LLM_MAX_TOKENS`, `LLM_FREQUENCY_PENALTY`,
 * `LLM_PRESENCE_PENALTY` (`null` for not sent), `LLM_MAX_RETRIES`, and `LLM_FIRST_TOKEN_TIMEOUT`, `LLM_IDLE_TIMEOUT`,
 * `LLM_TOTAL_TIMEOUT` (such as `30 seconds`). `OPENAI_BASE_URL` is the fallback of the address. `OPENAI_API_KEY` is the
 * fallback of the key, but only towards the address of `OPENAI_BASE_URL` or OpenAI itself: a key is never sent to a
 * server that it was not meant for.
 *
 * @since 0.1.0
 * @category config
 */
export const config: Config.Config<LLMConfig> = Config.mapOrFail(environment, ({ numbers, openai, own, texts }) => {
  const { provider } = own
  const preset = Option.getOrUndefined(Rec.get(Provider.presets, provider ?? ""))
  if (provider !== undefined && preset === undefined) {
    const known = Object.keys(Provider.presets).join(", ")
    return Either.left(ConfigError.InvalidData(["LLM_PROVIDER"], `Expected one of ${known}, actual ${provider}`))
  }
  const ownUrl = own.baseUrl ?? preset?.baseUrl
  const baseUrl = ownUrl ?? openai.baseUrl
  if (baseUrl === undefined) {
    return Either.left(
      ConfigError.MissingData(["LLM_BASE_URL"], "Expected the address of a server, such as http://localhost:11434/v1")
    )
  }
  const openaiKeyFits = baseUrl === openai.baseUrl || urlIn(baseUrl)?.host === "api.openai.com"
  const apiKey = own.apiKey ?? (openaiKeyFits ? openai.apiKey : undefined)
  return Either.mapLeft(
    decodeUnknown(defined({ ...preset, ...texts, ...Rec.map(numbers, toNumber), apiKey, baseUrl })),
    invalid
  )
})
