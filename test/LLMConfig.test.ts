import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigProvider, Duration, Effect, Either, Inspectable, Redacted, Schema } from "effect"
import { LLMConfig, Provider } from "effect-chat"

const baseUrl = "http://localhost:1234/v1"

const secret = "sk-made-up-0123456789"

const bad = (options: Record<string, unknown>): string => {
  const decoded = LLMConfig.decode({ baseUrl, ...options })
  return Either.isLeft(decoded) ? decoded.left.message : assert.fail("it was accepted")
}

/** The members of an instance, without its class. */
const members = (instance: object): object => Object.assign({}, instance)

/** What `String` makes of anything. */
const shown = (value: unknown): string => String(value)

describe("LLMConfig.make", () => {
  it("fills in every default", () => {
    const config = LLMConfig.make({ baseUrl })

    assert.deepStrictEqual(members(config), {
      baseUrl,
      model: "deepseek-chat",
      temperature: 0.7,
      topP: 1,
      maxTokens: 8192,
      frequencyPenalty: 0,
      presencePenalty: 0,
      systemPrompt: "你是一个严谨的助手",
      provider: "openai-compatible",
      wire: Provider.Wire.make({}),
      headers: {},
      extraBody: {},
      firstTokenTimeout: Duration.minutes(5),
      idleTimeout: Duration.minutes(1),
      totalTimeout: Duration.infinity,
      maxRetries: 2,
      retryBaseDelay: Duration.millis(500),
      retryMaxDelay: Duration.seconds(8),
      maxRetryAfter: Duration.minutes(1),
      onInterrupt: "keep",
      turnPolicy: "queue",
      maxEventSize: 16 * 1024 * 1024,
      maxBodySize: 64 * 1024 * 1024
    })
  })

  it("takes undefined for not given", () => {
    assert.deepStrictEqual(
      LLMConfig.make({ baseUrl, apiKey: undefined, model: undefined, topP: undefined, idleTimeout: undefined }),
      LLMConfig.make({ baseUrl })
    )
  })

  it("takes null for the sampling fields, which are then not sent", () => {
    const none = { temperature: null, topP: null, maxTokens: null, frequencyPenalty: null, presencePenalty: null }

    assert.deepInclude(members(LLMConfig.make({ baseUrl, ...none })), none)
  })

  it("takes a key and headers plain or redacted, and a blank key for none", () => {
    const plain = LLMConfig.make({ baseUrl, apiKey: ` ${secret}\n`, headers: { "x-a": "1" } })
    const redacted = LLMConfig.make({
      baseUrl,
      apiKey: Redacted.make(secret),
      headers: { "x-a": Redacted.make("1") }
    })
    const keys = ["", "  ", Redacted.make("")].map((apiKey) => LLMConfig.make({ baseUrl, apiKey }).apiKey)

    assert.strictEqual(plain.apiKey === undefined ? "" : Redacted.value(plain.apiKey), secret)
    assert.deepStrictEqual(plain, redacted)
    assert.deepStrictEqual(keys, [undefined, undefined, undefined])
  })

  it("takes durations in every form that Effect does", () => {
    const inputs = ["30 seconds", 30_000, Duration.seconds(30), [30, 0]] as const

    for (const idleTimeout of inputs) {
      assert.deepStrictEqual(LLMConfig.make({ baseUrl, idleTimeout }).idleTimeout, Duration.seconds(30))
    }
    assert.deepStrictEqual(LLMConfig.make({ baseUrl, idleTimeout: Duration.infinity }).idleTimeout, Duration.infinity)
  })

  it("takes a preset, over which the fields that follow win", () => {
    const config = LLMConfig.make({ ...Provider.mistral, model: "large", temperature: 0 })

    assert.deepInclude(members(config), {
      baseUrl: "https://api.mistral.ai/v1",
      provider: "mistral_ai",
      model: "large"
    })
    assert.isFalse(config.wire.streamOptions)
  })

  it("throws the ParseError where a setting is bad", () => {
    assert.throws(() => LLMConfig.make({ baseUrl, temperature: 9 }), /temperature/)
  })
})

describe("the range of a setting", () => {
  const rows: ReadonlyArray<
    readonly [field: string, good: ReadonlyArray<unknown>, bad: ReadonlyArray<unknown>, rule: RegExp]
  > = [
    ["temperature", [0, 2], [-0.01, 2.01, NaN, "1", Infinity], /between 0 and 2|number|Expected/],
    ["topP", [0, 1], [-0.01, 1.01], /between 0 and 1/],
    ["maxTokens", [1, 1_000_000], [0, -1], /positive|greater than 0/],
    ["maxTokens", [1], [1.5], /integer/],
    ["frequencyPenalty", [-2, 2], [-2.01, 2.01], /between -2 and 2/],
    ["presencePenalty", [-2, 2], [-2.01, 2.01], /between -2 and 2/],
    ["model", ["m"], [""], /non empty|NonEmpty/i],
    ["model", ["a b"], [" m "], /trim/i],
    ["provider", ["p"], [""], /non empty|NonEmpty/i],
    ["maxRetries", [0, 100], [-1, 101], /between 0 and 100/],
    ["maxEventSize", [1], [0], /positive|greater than 0/],
    ["maxBodySize", [1], [0], /positive|greater than 0/],
    ["onInterrupt", ["keep", "rollback"], ["drop"], /"keep"|"rollback"/],
    ["turnPolicy", ["queue", "reject", "replace"], ["wait"], /"queue"|"reject"|"replace"/],
    ...["firstTokenTimeout", "idleTimeout", "totalTimeout", "retryBaseDelay", "retryMaxDelay", "maxRetryAfter"].map(
      (field) => [field, [1, "1 second", "Infinity"], [0, -1, "soon"], /greater than|Expected/] as const
    )
  ]
  rows.forEach(([field, good, bads, rule]) => {
    it(`of ${field} is kept: ${bads.map(String).join(", ")}`, () => {
      for (const value of good) {
        assert.isTrue(Either.isRight(LLMConfig.decode({ baseUrl, [field]: value })), String(value))
      }
      for (const value of bads) {
        const message = bad({ [field]: value, apiKey: secret })
        assert.include(message, field)
        assert.match(message, rule)
        if (typeof value !== "number" || value > 0) assert.include(message, String(value).trim())
        assert.notInclude(message, secret)
      }
    })
  })
})

describe("baseUrl", () => {
  for (
    const [given, kept] of [
      ["http://localhost:11434/v1", "http://localhost:11434/v1"],
      ["http://localhost:11434/v1/", "http://localhost:11434/v1"],
      ["http://localhost:11434/v1///", "http://localhost:11434/v1"],
      ["  https://api.openai.com/v1\n", "https://api.openai.com/v1"],
      ["https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1"],
      ["https://api.openai.com/v1/chat/completions/", "https://api.openai.com/v1"],
      ["https://api.perplexity.ai", "https://api.perplexity.ai"],
      ["https://api.perplexity.ai/", "https://api.perplexity.ai"],
      ["http://[::1]:8080/v1", "http://[::1]:8080/v1"]
    ] as const
  ) {
    it(`${JSON.stringify(given)} is ${kept}, by every way in`, () => {
      assert.strictEqual(LLMConfig.make({ baseUrl: given }).baseUrl, kept)
      assert.strictEqual(new LLMConfig.LLMConfig({ baseUrl: given }).baseUrl, kept)
      assert.strictEqual(Schema.decodeSync(LLMConfig.LLMConfig)({ baseUrl: given }).baseUrl, kept)
    })
  }

  for (
    const [given, rule] of [
      ["", /http or https/],
      ["localhost:11434", /http or https/],
      ["api.openai.com/v1", /http or https/],
      ["ftp://host/v1", /http or https/],
      ["file:///etc/passwd", /http or https/],
      ["https://user:pa55word@host/v1", /credentials/],
      ["https://pa55word@host/v1", /credentials/],
      ["https://host/v1?key=pa55word", /query/],
      ["https://host/v1?", /query/],
      ["https://host/v1#pa55word", /fragment/]
    ] as const
  ) {
    it(`${JSON.stringify(given)} is refused by a rule that names the field and shows no secret`, () => {
      const message = bad({ baseUrl: given })

      assert.include(message, "baseUrl")
      assert.match(message, rule)
      assert.notInclude(message, "pa55word")
      assert.throws(() => new LLMConfig.LLMConfig({ baseUrl: given }))
    })
  }

  it("is refused where it is no text", () => {
    assert.include(bad({ baseUrl: 5 }), "baseUrl")
    assert.include(bad({ baseUrl: undefined }), "baseUrl")
  })
})

describe("apiKey", () => {
  for (const apiKey of [`${secret} x`, `${secret}\n${secret}`, `${secret}é`, `${secret}\u0000`]) {
    it(`is refused where no header can hold it, and not shown: ${JSON.stringify(apiKey.slice(secret.length))}`, () => {
      const message = bad({ apiKey })

      assert.include(message, "apiKey")
      assert.include(message, "<redacted>")
      assert.notInclude(message, secret)
    })
  }

  it("is not shown where it is no text", () => {
    const message = bad({ apiKey: Redacted.make(secret), temperature: -1 })

    assert.notInclude(message, secret)
  })

  it("is not shown by whatever prints a config", () => {
    const config = LLMConfig.make({ baseUrl, apiKey: secret, headers: { "x-secret": secret } })
    const printed = [
      shown(config),
      JSON.stringify(config),
      Inspectable.toStringUnknown(config),
      Inspectable.format(config),
      shown(config.apiKey)
    ]

    for (const text of printed) assert.notInclude(text, secret)
  })
})

describe("LLMConfig as JSON", () => {
  it("is plain, with the key in clear, and is read back as it was", () => {
    const config = LLMConfig.make({
      baseUrl,
      apiKey: secret,
      headers: { "x-a": "1" },
      totalTimeout: Duration.infinity,
      idleTimeout: "90 seconds",
      topP: null
    })

    const json = JSON.parse(JSON.stringify(Schema.encodeSync(LLMConfig.LLMConfig)(config)))

    assert.deepInclude(json, { apiKey: secret, headers: { "x-a": "1" }, totalTimeout: "Infinity", topP: null })
    assert.deepStrictEqual(Schema.decodeUnknownSync(LLMConfig.LLMConfig)(json), config)
  })

  it.prop(
    "is read back as it was, for any config",
    [Schema.Struct({
      model: Schema.NonEmptyTrimmedString,
      temperature: Schema.NullOr(Schema.Number.pipe(Schema.between(0, 2))),
      maxTokens: Schema.NullOr(Schema.Int.pipe(Schema.between(1, 1e9))),
      systemPrompt: Schema.String,
      maxRetries: Schema.Int.pipe(Schema.between(0, 100)),
      firstTokenTimeout: Schema.Number.pipe(Schema.int(), Schema.between(1, 1e9)),
      onInterrupt: Schema.Literal("keep", "rollback"),
      turnPolicy: Schema.Literal("queue", "reject", "replace"),
      headers: Schema.Record({ key: Schema.NonEmptyString, value: Schema.String })
    })],
    ([fields]) => {
      const config = LLMConfig.make({ baseUrl, ...fields })
      const json = JSON.parse(JSON.stringify(Schema.encodeSync(LLMConfig.LLMConfig)(config)))
      assert.deepStrictEqual(Schema.decodeUnknownSync(LLMConfig.LLMConfig)(json), config)
    }
  )
})

describe("LLMConfig.config", () => {
  const read = (variables: Record<string, string>) =>
    Effect.withConfigProvider(LLMConfig.config, ConfigProvider.fromMap(new Map(Object.entries(variables))))

  const keyOf = (config: LLMConfig.LLMConfig) => config.apiKey === undefined ? undefined : Redacted.value(config.apiKey)

  it.effect("reads every variable", () =>
    Effect.gen(function*() {
      const config = yield* read({
        LLM_BASE_URL: ` ${baseUrl}/ `,
        LLM_API_KEY: ` ${secret} `,
        LLM_MODEL: "m",
        LLM_SYSTEM_PROMPT: "S",
        LLM_TEMPERATURE: "0.1",
        LLM_TOP_P: "0.2",
        LLM_MAX_TOKENS: "3",
        LLM_FREQUENCY_PENALTY: "-1",
        LLM_PRESENCE_PENALTY: "1.5",
        LLM_MAX_RETRIES: "0",
        LLM_FIRST_TOKEN_TIMEOUT: "1 second",
        LLM_IDLE_TIMEOUT: "2 seconds",
        LLM_TOTAL_TIMEOUT: "Infinity"
      })

      assert.deepStrictEqual(
        config,
        LLMConfig.make({
          baseUrl,
          apiKey: secret,
          model: "m",
          systemPrompt: "S",
          temperature: 0.1,
          topP: 0.2,
          maxTokens: 3,
          frequencyPenalty: -1,
          presencePenalty: 1.5,
          maxRetries: 0,
          firstTokenTimeout: "1 second",
          idleTimeout: "2 seconds",
          totalTimeout: Duration.infinity
        })
      )
    }))

  it.effect("needs only an address, and takes blank variables for none", () =>
    Effect.gen(function*() {
      const config = yield* read({ LLM_BASE_URL: baseUrl, LLM_API_KEY: " ", LLM_MODEL: "", LLM_TEMPERATURE: "" })

      assert.deepStrictEqual(config, LLMConfig.make({ baseUrl }))
    }))

  it.effect("takes null and none for a sampling field that is not sent", () =>
    Effect.gen(function*() {
      const config = yield* read({ LLM_BASE_URL: baseUrl, LLM_TEMPERATURE: "null", LLM_MAX_TOKENS: "none" })

      assert.strictEqual(config.temperature, null)
      assert.strictEqual(config.maxTokens, null)
    }))

  it.effect("takes a preset by its name, whose address another may replace", () =>
    Effect.gen(function*() {
      const preset = yield* read({ LLM_PROVIDER: "ollama", LLM_MODEL: "qwen3" })
      const moved = yield* read({ LLM_PROVIDER: "mistral", LLM_BASE_URL: baseUrl })

      assert.deepStrictEqual(preset, LLMConfig.make({ ...Provider.ollama, model: "qwen3" }))
      assert.strictEqual(moved.baseUrl, baseUrl)
      assert.isFalse(moved.wire.streamOptions)
    }))

  it.effect("fails with the known names where a preset is unknown", () =>
    Effect.gen(function*() {
      for (const name of ["nobody", "__proto__", "constructor"]) {
        const error = shown(yield* Effect.flip(read({ LLM_PROVIDER: name })))

        assert.include(error, "LLM_PROVIDER")
        assert.include(error, "deepseek")
        assert.include(error, name)
      }
    }))

  it.effect("falls back on OPENAI_BASE_URL and OPENAI_API_KEY", () =>
    Effect.gen(function*() {
      const config = yield* read({ OPENAI_BASE_URL: baseUrl, OPENAI_API_KEY: secret })
      const own = yield* read({
        OPENAI_BASE_URL: "http://other/v1",
        OPENAI_API_KEY: "x",
        LLM_BASE_URL: baseUrl,
        LLM_API_KEY: secret
      })

      assert.deepStrictEqual([config.baseUrl, keyOf(config)], [baseUrl, secret])
      assert.deepStrictEqual([own.baseUrl, keyOf(own)], [baseUrl, secret])
    }))

  it.effect("never sends OPENAI_API_KEY to a server that it was not meant for", () =>
    Effect.gen(function*() {
      const keys = yield* Effect.forEach([
        { LLM_BASE_URL: baseUrl },
        { LLM_PROVIDER: "deepseek" },
        { LLM_BASE_URL: "https://api.openai.com.evil.test/v1" },
        { LLM_BASE_URL: baseUrl, OPENAI_BASE_URL: "http://other/v1" },
        { LLM_PROVIDER: "openai" },
        { LLM_BASE_URL: "https://api.openai.com/v1" },
        { LLM_BASE_URL: baseUrl, OPENAI_BASE_URL: baseUrl },
        { OPENAI_BASE_URL: baseUrl }
      ], (variables) => Effect.map(read({ OPENAI_API_KEY: secret, ...variables }), keyOf))

      assert.deepStrictEqual(keys, [undefined, undefined, undefined, undefined, secret, secret, secret, secret])
    }))

  it.effect("fails with the variable where there is no address", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read({ LLM_API_KEY: secret, OPENAI_API_KEY: secret }))

      assert.include(shown(error), "LLM_BASE_URL")
      assert.notInclude(shown(error), secret)
    }))

  for (
    const [variable, value] of [
      ["LLM_TEMPERATURE", "3"],
      ["LLM_TEMPERATURE", "warm"],
      ["LLM_TOP_P", "1.5"],
      ["LLM_MAX_TOKENS", "0"],
      ["LLM_MAX_RETRIES", "101"],
      ["LLM_BASE_URL", "ftp://host"]
    ] as const
  ) {
    it.effect(`fails with the variable and its value: ${variable}=${value}`, () =>
      Effect.gen(function*() {
        const error = yield* Effect.flip(read({ LLM_BASE_URL: baseUrl, LLM_API_KEY: secret, [variable]: value }))

        assert.include(shown(error), variable)
        assert.include(shown(error), value)
        assert.notInclude(shown(error), secret)
      }))
  }

  it.effect("fails without showing a key that no header can hold", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read({ LLM_BASE_URL: baseUrl, LLM_API_KEY: `${secret} ${secret}` }))

      assert.include(shown(error), "LLM_API_KEY")
      assert.notInclude(shown(error), secret)
    }))

  it.effect("may be nested like any Config", () =>
    Effect.gen(function*() {
      const variables = ConfigProvider.fromMap(new Map([["BOT.LLM_BASE_URL", baseUrl]]))
      const config = yield* Effect.withConfigProvider(Config.nested(LLMConfig.config, "BOT"), variables)

      assert.strictEqual(config.baseUrl, baseUrl)
    }))
})
