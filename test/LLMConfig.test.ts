import { assert, describe, it } from "@effect/vitest"
import { Config, ConfigError, ConfigProvider, Duration, Effect, Either, Inspectable, Redacted, Schema } from "effect"
import { LLMConfig, Provider } from "effect-chat"

const baseUrl = "http://localhost:1234/v1"

const secret = "sk-made-up-0123456789"

const refusal = (options: Record<string, unknown>): string => {
  const decoded = LLMConfig.decode({ baseUrl, ...options })
  return Either.isLeft(decoded) ? decoded.left.message : assert.fail("it was accepted")
}

/** The members of an instance, without its class. */
const members = (instance: object): object => Object.assign({}, instance)

/** The string form of any value. */
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
      tracePropagation: false,
      firstTokenTimeout: Duration.minutes(5),
      idleTimeout: Duration.minutes(1),
      totalTimeout: Duration.infinity,
      maxRetries: 2,
      retryBaseDelay: Duration.millis(500),
      retryMaxDelay: Duration.seconds(8),
      maxRetryAfter: Duration.minutes(1),
      onInterrupt: "keep",
      onFailure: "rollback",
      turnPolicy: "queue",
      maxEventSize: 8 * 1024 * 1024,
      maxBodySize: 16 * 1024 * 1024
    })
  })

  it("treats undefined as absent", () => {
    assert.deepStrictEqual(
      LLMConfig.make({ baseUrl, apiKey: undefined, model: undefined, topP: undefined, idleTimeout: undefined }),
      LLMConfig.make({ baseUrl })
    )
  })

  it("accepts null for sampling fields, which are then not sent", () => {
    const unset = { temperature: null, topP: null, maxTokens: null, frequencyPenalty: null, presencePenalty: null }

    assert.deepInclude(members(LLMConfig.make({ baseUrl, ...unset })), unset)
  })

  it("accepts a key and headers plain or redacted, and treats a blank key as none", () => {
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

  it("accepts durations in every form of Effect", () => {
    const inputs = ["30 seconds", 30_000, Duration.seconds(30), [30, 0]] as const

    for (const idleTimeout of inputs) {
      assert.deepStrictEqual(LLMConfig.make({ baseUrl, idleTimeout }).idleTimeout, Duration.seconds(30))
    }
    assert.deepStrictEqual(LLMConfig.make({ baseUrl, idleTimeout: Duration.infinity }).idleTimeout, Duration.infinity)
  })

  it("accepts a preset, whose fields later ones replace", () => {
    const config = LLMConfig.make({ ...Provider.mistral, model: "large", temperature: 0 })

    assert.deepInclude(members(config), {
      baseUrl: "https://api.mistral.ai/v1",
      provider: "mistral_ai",
      model: "large"
    })
    assert.isFalse(config.wire.streamOptions)
  })

  it("throws the ParseError if a setting is invalid", () => {
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
    ["model", ["a b"], [" m "], /leading or trailing whitespace/],
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
  rows.forEach(([field, valid, invalid, rule]) => {
    it(`of ${field} is kept: ${invalid.map(String).join(", ")}`, () => {
      for (const value of valid) {
        assert.isTrue(Either.isRight(LLMConfig.decode({ baseUrl, [field]: value })), String(value))
      }
      for (const value of invalid) {
        const message = refusal({ [field]: value, apiKey: secret })
        assert.include(message, field)
        assert.match(message, rule)
        assert.notInclude(message, "\n")
        if (typeof value !== "number" || value > 0) assert.include(message, String(value).trim())
        assert.notInclude(message, secret)
      }
    })
  })
})

describe("a bad setting", () => {
  for (
    const [options, message] of [
      [{ temperature: 9 }, "temperature: Expected a number between 0 and 2, or null, actual 9"],
      [{ topP: "1" }, `topP: Expected a number between 0 and 1, or null, actual "1"`],
      [{ maxTokens: 1.5 }, "maxTokens: Expected an integer greater than 0, or null, actual 1.5"],
      [{ maxRetries: 101 }, "maxRetries: Expected an integer between 0 and 100, actual 101"],
      [{ turnPolicy: "wait" }, `turnPolicy: Expected "queue" or "reject" or "replace", actual "wait"`],
      [
        { idleTimeout: 0 },
        `idleTimeout: Expected a duration greater than 0, such as 30000 (milliseconds), "30 seconds" or "Infinity", actual 0`
      ]
    ] as const
  ) {
    it(`is refused in one line with its name, the range and the value: ${message}`, () => {
      assert.strictEqual(refusal(options), message)
      assert.throws(() => LLMConfig.make({ baseUrl, ...JSON.parse(JSON.stringify(options)) }), message)
    })
  }
})

describe("several bad settings", () => {
  it("are all named in one line", () => {
    assert.strictEqual(
      refusal({
        temperature: 9,
        turnPolicy: "wait",
        wire: { systemRole: "bot" },
        headers: { "bad\nname": "1", expect: "2" }
      }),
      "temperature: Expected a number between 0 and 2, or null, actual 9; " +
        "wire.systemRole: Expected \"system\" or \"developer\" or \"user\", actual \"bot\"; " +
        "headers[\"bad\\nname\"]: Expected a name of letters, digits and !#$%&'*+-.^_`|~; " +
        "headers.expect: Expected a header that the HTTP client does not set itself; " +
        "turnPolicy: Expected \"queue\" or \"reject\" or \"replace\", actual \"wait\""
    )
    assert.strictEqual(
      refusal({ temprature: 1, apikey: secret, wire: { streamOption: true } }),
      "temprature: There is no such setting. Did you mean temperature?; " +
        "apikey: There is no such setting. Did you mean apiKey?; " +
        "wire.streamOption: There is no such setting. Did you mean streamOptions?"
    )
  })
})

describe("a misspelled setting", () => {
  for (
    const [name, message] of [
      ["temprature", "temprature: There is no such setting. Did you mean temperature?"],
      ["apikey", "apikey: There is no such setting. Did you mean apiKey?"],
      ["max_tokens", "max_tokens: There is no such setting. Did you mean maxTokens?"],
      ["sytemPropmt", "sytemPropmt: There is no such setting"],
      ["colour", "colour: There is no such setting"]
    ] as const
  ) {
    it(`is refused with the nearest name, if one is near, and without its value: ${name}`, () => {
      const result = LLMConfig.decode(Object.assign({ baseUrl }, { [name]: secret }))

      if (Either.isRight(result)) return assert.fail("it was accepted")
      assert.strictEqual(result.left.message, message)
      assert.notInclude(Inspectable.format(result.left.issue), secret)
      assert.strictEqual(
        Either.match(LLMConfig.override(LLMConfig.make({ baseUrl }), { [name]: secret }), {
          onLeft: (error) => error.message,
          onRight: () => "it was accepted"
        }),
        message
      )
    })
  }

  it("of the wire is refused with its place", () => {
    const wire = Object.assign({}, Provider.Wire.make({}), { streamOption: false })

    assert.strictEqual(
      refusal({ wire }),
      "wire.streamOption: There is no such setting. Did you mean streamOptions?"
    )
  })

  it("is ignored if it is undefined", () => {
    assert.deepStrictEqual(
      LLMConfig.make(Object.assign({ baseUrl }, { colour: undefined })),
      LLMConfig.make({ baseUrl })
    )
  })
})

describe("baseUrl", () => {
  for (
    const [input, expected] of [
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
    it(`${JSON.stringify(input)} is ${expected}, by every way in`, () => {
      assert.strictEqual(LLMConfig.make({ baseUrl: input }).baseUrl, expected)
      assert.strictEqual(new LLMConfig.LLMConfig({ baseUrl: input }).baseUrl, expected)
      assert.strictEqual(Schema.decodeSync(LLMConfig.LLMConfig)({ baseUrl: input }).baseUrl, expected)
    })
  }

  for (
    const [input, rule] of [
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
    it(`${JSON.stringify(input)} is refused by a rule that names the field and shows no secret`, () => {
      const message = refusal({ baseUrl: input })

      assert.include(message, "baseUrl")
      assert.match(message, rule)
      assert.notInclude(message, "pa55word")
      assert.throws(() => new LLMConfig.LLMConfig({ baseUrl: input }))
    })
  }

  for (
    const input of [
      "https//ada:pa55word@host/v1",
      "https://ada:pa55word@",
      "https://ada:pa55word@host:99999/v1",
      "https://ada:pa55word@ho st/v1",
      "ada:pa55word@host/v1",
      "ada:pa55word",
      "ftp://ada:pa55word@host",
      "ftp://ada:pa55word@host?x#y",
      "//ada:pa55word@host",
      "https:\\\\ada:pa55word@host",
      "https://[::1:pa55word",
      "https://ada:pa55word%40host/v1",
      "mailto:pa55word@host"
    ]
  ) {
    it(`${JSON.stringify(input)} is refused by every constructor, and no part of it that can be a secret is shown`, () => {
      const result = LLMConfig.decode({ baseUrl: input })
      if (Either.isRight(result)) return assert.fail("it was accepted")
      for (const text of [shown(result.left), JSON.stringify(result.left), Inspectable.format(result.left)]) {
        assert.include(text, "baseUrl")
        assert.notInclude(text, "pa55word")
        assert.notInclude(text, "ada")
      }
      assert.throws(() => new LLMConfig.LLMConfig({ baseUrl: input }), /^(?!.*pa55word)/)
    })
  }

  it("is refused if it is not a text", () => {
    assert.include(refusal({ baseUrl: 5 }), "baseUrl")
    assert.include(refusal({ baseUrl: undefined }), "baseUrl")
  })
})

describe("apiKey", () => {
  for (const apiKey of [`${secret} x`, `${secret}\n${secret}`, `${secret}é`, `${secret}\u0000`]) {
    it(`is refused if no header can hold it, and not shown: ${JSON.stringify(apiKey.slice(secret.length))}`, () => {
      const message = refusal({ apiKey })

      assert.include(message, "apiKey")
      assert.include(message, "<redacted>")
      assert.notInclude(message, secret)
    })
  }

  it("is not shown if it is not a text", () => {
    const message = refusal({ apiKey: Redacted.make(secret), temperature: -1 })

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

describe("headers", () => {
  for (
    const [name, value, rule] of [
      ["bad header", secret, /^headers\["bad header"\]: Expected a name of letters/],
      ["", secret, /^headers\[""\]: Expected a name of/],
      ["x-a:b", secret, /^headers\["x-a:b"\]: Expected a name of/],
      ["x-a\r\nx-b", secret, /^headers\["x-a\\r\\nx-b"\]: Expected a name of/],
      ["名", secret, /^headers\["名"\]: Expected a name of/],
      ["x-a", `${secret}\r\nx-b: 1`, /^headers\.x-a: Expected printable Latin-1/],
      ["x-a", `${secret}\n`, /^headers\.x-a: Expected printable Latin-1/],
      ["x-a", `${secret}\u0000`, /^headers\.x-a: Expected printable Latin-1/],
      ["x-a", `${secret}你`, /^headers\.x-a: Expected printable Latin-1/],
      ["Content-Length", "5", /^headers\.Content-Length: Expected a header that the HTTP client does not set/],
      [
        "transfer-encoding",
        "chunked",
        /^headers\.transfer-encoding: Expected a header that the HTTP client does not set/
      ],
      ["connection", "upgrade", /^headers\.connection: Expected a header that the HTTP client does not set/],
      ["expect", "100-continue", /^headers\.expect: Expected a header that the HTTP client does not set/]
    ] as const
  ) {
    it(`are refused by a rule that names the header and shows no value: ${JSON.stringify([name, value])}`, () => {
      for (const headers of [{ [name]: value }, { [name]: Redacted.make(value) }]) {
        const message = refusal({ headers })
        assert.match(message, rule)
        assert.include(message, "headers")
        assert.notInclude(message, secret)
      }
      assert.throws(() => LLMConfig.make({ baseUrl, headers: { [name]: value } }), rule)
    })
  }

  it("are refused, as a key is, if they are not texts", () => {
    assert.match(refusal({ headers: { "x-a": 5 } }), /^headers\.x-a: Expected a text, actual <redacted>$/)
    assert.notInclude(refusal({ headers: { "x-a": [secret] } }), secret)
    assert.strictEqual(refusal({ headers: secret }), "headers: Expected texts by name, actual <redacted>")
    assert.match(refusal({ apiKey: 5 }), /apiKey[^]*actual <redacted>/)
    assert.notInclude(refusal({ apiKey: [secret] }), secret)
  })

  it("are accepted with any name and value that HTTP can carry", () => {
    const headers = { "X-Tenant_1": "a b", "x!#$%&'*+-.^_`|~": "\té", host: "other", accept: "" }
    const config = LLMConfig.make({ baseUrl, headers })
    assert.deepStrictEqual(Object.keys(config.headers), Object.keys(headers))
  })
})

describe("settings that the program did not choose", () => {
  const withPreset = (preset: Provider.Preset, overrides: Partial<LLMConfig.Options> = {}) =>
    LLMConfig.make({ ...preset, model: "m", ...overrides })

  const azure = Provider.azure({ resource: "r", deployment: "d" })

  it("are no temperature for OpenAI, Azure and Moonshot, or the program's own if it chose one", () => {
    for (const preset of [Provider.openai, azure, Provider.moonshot]) {
      assert.isNull(withPreset(preset).temperature)
      assert.strictEqual(withPreset(preset, { temperature: 0.7 }).temperature, 0.7)
      assert.isNull(new LLMConfig.LLMConfig({ ...preset, model: "m" }).temperature)
    }
  })

  it("are no temperature for models of OpenAI that accept only their own, on any server", () => {
    for (const model of ["gpt-5-mini", "openai/gpt-5", "o3", "o4-mini"]) {
      assert.isNull(LLMConfig.make({ baseUrl, model }).temperature)
      assert.strictEqual(LLMConfig.make({ baseUrl, model, temperature: 1 }).temperature, 1)
    }
    for (const model of ["gpt-4o", "olmo-2", "o3x"]) {
      assert.strictEqual(LLMConfig.make({ baseUrl, model }).temperature, 0.7)
    }
  })

  it("follow the preset and the model when a config is changed", () => {
    const config = LLMConfig.make({ baseUrl })
    const chosen = LLMConfig.make({ baseUrl, temperature: 0.7, model: "deepseek-chat" })
    const overridden = (self: LLMConfig.LLMConfig, overrides: LLMConfig.Overrides) =>
      Either.getOrThrow(LLMConfig.override(self, overrides))

    assert.isNull(overridden(config, { ...Provider.openai, model: "gpt-5" }).temperature)
    assert.isTrue(Either.isLeft(LLMConfig.override(config, Provider.openai)))
    assert.strictEqual(overridden(chosen, { ...Provider.openai, model: "gpt-5" }).temperature, 0.7)
    assert.strictEqual(overridden(chosen, Provider.openai).model, "deepseek-chat")
    assert.strictEqual(overridden(overridden(config, { maxTokens: 5 }), { topP: 0.5 }).temperature, 0.7)
    assert.isNull(overridden(config, { model: "claude-opus-4-5", topP: 0.5 }).temperature)
  })

  it("leave Claude, which accepts one of temperature and topP, the one that the program chose", () => {
    const claude = (more: Partial<LLMConfig.Options>) => {
      const { temperature, topP } = LLMConfig.make({ baseUrl, model: "anthropic/Claude-Opus-4.5", ...more })
      return { temperature, topP }
    }
    assert.deepStrictEqual(claude({}), { temperature: 0.7, topP: 1 })
    assert.deepStrictEqual(claude({ topP: 0.9 }), { temperature: null, topP: 0.9 })
    assert.deepStrictEqual(claude({ topP: 0.9, temperature: 0.7 }), { temperature: 0.7, topP: 0.9 })
  })

  it("are not in the JSON of the chosen settings", () => {
    const config = LLMConfig.make({ baseUrl, topP: 0.5 })
    const json = LLMConfig.encodeChosen(config)

    assert.notProperty(json, "model")
    assert.notProperty(json, "temperature")
    assert.strictEqual(json["topP"], 0.5)
    assert.deepInclude(LLMConfig.encodeChosen(LLMConfig.make({ baseUrl, model: "m", temperature: null })), {
      model: "m",
      temperature: null
    })
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
      headers: Schema.Record({
        key: Schema.String.pipe(Schema.pattern(/^x-[a-z]+$/)),
        value: Schema.String.pipe(Schema.pattern(/^[ -~]*$/))
      })
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

  it.effect("needs only an address, and treats blank variables as absent", () =>
    Effect.gen(function*() {
      const config = yield* read({ LLM_BASE_URL: baseUrl, LLM_API_KEY: " ", LLM_MODEL: "", LLM_TEMPERATURE: "" })

      assert.deepStrictEqual(config, LLMConfig.make({ baseUrl }))
    }))

  it.effect("accepts null and none for a sampling field that is not sent", () =>
    Effect.gen(function*() {
      const config = yield* read({ LLM_BASE_URL: baseUrl, LLM_TEMPERATURE: "null", LLM_MAX_TOKENS: "none" })

      assert.strictEqual(config.temperature, null)
      assert.strictEqual(config.maxTokens, null)
    }))

  it.effect("accepts a preset by its name, whose address another may replace", () =>
    Effect.gen(function*() {
      const preset = yield* read({ LLM_PROVIDER: "ollama", LLM_MODEL: "qwen3" })
      const withOtherUrl = yield* read({ LLM_PROVIDER: "mistral", LLM_BASE_URL: baseUrl, LLM_MODEL: "large" })

      assert.deepStrictEqual(preset, LLMConfig.make({ ...Provider.ollama, model: "qwen3" }))
      assert.strictEqual(withOtherUrl.baseUrl, baseUrl)
      assert.isFalse(withOtherUrl.wire.streamOptions)
    }))

  it.effect("fails with the missing variable if a preset has no default model", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read({ LLM_PROVIDER: "ollama" }))

      assert.strictEqual(
        shown(error),
        `(Missing data at LLM_MODEL: "Expected a model: the preset of "ollama" has no default model")`
      )
      assert.isTrue(ConfigError.isMissingDataOnly(error))
    }))

  it.effect("fails with the known names if a preset is unknown", () =>
    Effect.gen(function*() {
      for (const name of ["nobody", "__proto__", "constructor"]) {
        const error = shown(yield* Effect.flip(read({ LLM_PROVIDER: name })))

        assert.include(error, "LLM_PROVIDER")
        assert.include(error, "deepseek")
        assert.include(error, name)
      }
    }))

  it.effect("suggests the nearest preset for a misspelled one", () =>
    Effect.gen(function*() {
      for (const name of ["Ollama", "olama", "open-ai"]) {
        const error = shown(yield* Effect.flip(read({ LLM_PROVIDER: name })))
        const nearest = name === "open-ai" ? "openai" : "ollama"
        assert.strictEqual(
          error,
          `(Invalid data at LLM_PROVIDER: "There is no preset "${name}". Did you mean ${nearest}?")`
        )
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
        { LLM_PROVIDER: "openai", LLM_MODEL: "gpt-5" },
        { LLM_BASE_URL: "https://api.openai.com/v1" },
        { LLM_BASE_URL: baseUrl, OPENAI_BASE_URL: baseUrl },
        { OPENAI_BASE_URL: baseUrl }
      ], (variables) => Effect.map(read({ OPENAI_API_KEY: secret, ...variables }), keyOf))

      assert.deepStrictEqual(keys, [undefined, undefined, undefined, undefined, secret, secret, secret, secret])
    }))

  for (
    const [name, suggestion] of [
      ["LLM_MODLE", "LLM_MODEL"],
      ["LLM_TEMPRATURE", "LLM_TEMPERATURE"],
      ["LLM_MAX_TOKEN", "LLM_MAX_TOKENS"],
      ["LLM_APIKEY", "LLM_API_KEY"],
      ["LLM_BASE_ULR", "LLM_BASE_URL"],
      ["LLM_FIRST_TOKEN_TIMOUT", "LLM_FIRST_TOKEN_TIMEOUT"]
    ] as const
  ) {
    it.effect(`refuses ${name} in one line with the nearest name, however the provider splits names`, () =>
      Effect.gen(function*() {
        const variables = new Map([["LLM_PROVIDER", "deepseek"], [name, secret], ["PATH", "/bin"]])
        for (const pathDelim of ["_", ".", "__"]) {
          const error = yield* LLMConfig.config.pipe(
            Effect.withConfigProvider(ConfigProvider.fromMap(variables, { pathDelim })),
            Effect.flip
          )
          assert.strictEqual(
            shown(error),
            `(Invalid data at ${name}: "There is no such setting. Did you mean ${suggestion}?")`
          )
        }
      }))
  }

  it.effect("has the settings of the program in place of those of the environment", () =>
    Effect.gen(function*() {
      const readWith = (variables: Record<string, string>, overrides: LLMConfig.Overrides) =>
        Effect.withConfigProvider(
          LLMConfig.configWith(overrides),
          ConfigProvider.fromMap(new Map(Object.entries(variables)))
        )

      const config = yield* readWith({ LLM_TEMPERATURE: "9", LLM_TOP_P: "0.5" }, {
        baseUrl,
        temperature: 0.25,
        topP: undefined
      })
      assert.deepStrictEqual(config, LLMConfig.make({ baseUrl, temperature: 0.25, topP: 0.5 }))

      const openai = { OPENAI_BASE_URL: "http://openai/v1", OPENAI_API_KEY: secret }
      assert.strictEqual(keyOf(yield* readWith(openai, {})), secret)
      assert.isUndefined(keyOf(yield* readWith(openai, { baseUrl })))
      assert.strictEqual(keyOf(yield* readWith({ LLM_API_KEY: "other" }, { baseUrl, apiKey: secret })), secret)

      const error = shown(yield* Effect.flip(readWith({ LLM_TOP_P: "7" }, { baseUrl, temperature: 9 })))
      assert.strictEqual(
        error,
        "(Invalid data at temperature: \"Expected a number between 0 and 2, or null, actual 9\") and " +
          "(Invalid data at LLM_TOP_P: \"Expected a number between 0 and 1, or null, actual 7\")"
      )
    }))

  it.effect("reads policies and delays of retries", () =>
    Effect.gen(function*() {
      const config = yield* read({
        LLM_BASE_URL: baseUrl,
        LLM_ON_INTERRUPT: "rollback",
        LLM_ON_FAILURE: "keep",
        LLM_TURN_POLICY: "replace",
        LLM_RETRY_BASE_DELAY: "1 second",
        LLM_RETRY_MAX_DELAY: "3 seconds",
        LLM_MAX_RETRY_AFTER: "Infinity"
      })

      assert.deepStrictEqual(
        config,
        LLMConfig.make({
          baseUrl,
          onInterrupt: "rollback",
          onFailure: "keep",
          turnPolicy: "replace",
          retryBaseDelay: "1 second",
          retryMaxDelay: "3 seconds",
          maxRetryAfter: Infinity
        })
      )
    }))

  it.effect("names misspelled, unknown and invalid values together, and missing ones if nothing is misspelled", () =>
    Effect.gen(function*() {
      const variables = { LLM_PROVIDER: "olama", LLM_MODLE: "m", LLM_TEMPERATURE: "9" }
      assert.strictEqual(
        shown(yield* Effect.flip(read(variables))),
        "(Invalid data at LLM_MODLE: \"There is no such setting. Did you mean LLM_MODEL?\") and " +
          "(Invalid data at LLM_PROVIDER: \"There is no preset \"olama\". Did you mean ollama?\") and " +
          "(Invalid data at LLM_TEMPERATURE: \"Expected a number between 0 and 2, or null, actual 9\")"
      )
      const error = shown(yield* Effect.flip(read({ LLM_TEMPERATURE: "9" })))
      assert.include(error, "Invalid data at LLM_TEMPERATURE")
      assert.include(error, "Missing data at LLM_BASE_URL")
    }))

  it.effect("names all variables that are invalid or misspelled", () =>
    Effect.gen(function*() {
      const server = { LLM_BASE_URL: baseUrl }
      assert.strictEqual(
        shown(yield* Effect.flip(read({ ...server, LLM_TEMPERATURE: "9", LLM_MAX_TOKENS: "0" }))),
        "(Invalid data at LLM_TEMPERATURE: \"Expected a number between 0 and 2, or null, actual 9\") and " +
          "(Invalid data at LLM_MAX_TOKENS: \"Expected an integer greater than 0, or null, actual 0\")"
      )
      assert.strictEqual(
        shown(yield* Effect.flip(read({ ...server, LLM_MODLE: "m", LLM_TEMPRATURE: "1" }))),
        "(Invalid data at LLM_MODLE: \"There is no such setting. Did you mean LLM_MODEL?\") and " +
          "(Invalid data at LLM_TEMPRATURE: \"There is no such setting. Did you mean LLM_TEMPERATURE?\")"
      )
    }))

  it.effect("leaves alone the variables of other programs, and those that are like one that is set", () =>
    Effect.gen(function*() {
      const config = yield* read({
        LLM_BASE_URL: baseUrl,
        LLM_MODEL: "m",
        LLM_MODELS: "a,b",
        LLM_CACHE_DIR: "/tmp",
        LLM_A_B_C_D_E_F: "1",
        LLMODEL: "x",
        LLM: "y"
      })

      assert.deepStrictEqual(config, LLMConfig.make({ baseUrl, model: "m" }))
    }))

  it.effect("reads the variables of a provider that cannot list them", () =>
    Effect.gen(function*() {
      const variables = new Map([["LLM_BASE_URL", baseUrl]])
      const provider = ConfigProvider.fromFlat(
        ConfigProvider.makeFlat({
          load: (path, primitive, split) => ConfigProvider.fromMap(variables).flattened.load(path, primitive, split),
          enumerateChildren: (path) => Effect.fail(ConfigError.Unsupported([...path], "no listing")),
          patch: { _tag: "Empty" }
        })
      )
      const config = yield* Effect.withConfigProvider(LLMConfig.config, provider)

      assert.deepStrictEqual(config, LLMConfig.make({ baseUrl }))
    }))

  it.effect("fails in one line that says what to set if there is no address", () =>
    Effect.gen(function*() {
      const error = yield* Effect.flip(read({ LLM_API_KEY: secret, OPENAI_API_KEY: secret }))

      assert.match(shown(error), /^\(Missing data at LLM_BASE_URL: "Set LLM_BASE_URL .* or LLM_PROVIDER .*"\)$/)

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

  it("reads an address of many slashes or letters in linear time", () => {
    for (const text of ["/".repeat(200_000) + "x", "x".repeat(200_000), "http://" + "x/".repeat(100_000)]) {
      LLMConfig.decode({ baseUrl: text })
      LLMConfig.decode({ baseUrl: `http://x/${text}` })
    }
    const config = Either.getOrThrow(LLMConfig.decode({ baseUrl: `http://x/v1${"/".repeat(9)}chat/completions//` }))
    assert.strictEqual(config.baseUrl, "http://x/v1")
  })
})
