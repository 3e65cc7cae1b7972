import { assert, describe, it } from "@effect/vitest"
import { Effect, Either } from "effect"
import { type CallOptions, ChatMessage, LLMConfig, Provider } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { generated } from "./support/generated.ts"
import { completeFrom, streamFrom } from "./support/wire/ask.ts"
import { completion, done, says } from "./support/wire/say.ts"

const messages: ReadonlyArray<ChatMessage.ChatMessage> = [
  ChatMessage.system("be brief"),
  ChatMessage.user("hi"),
  { role: "assistant", content: "hello", reasoning: "a greeting" },
  ChatMessage.user("again")
]

const plain = [
  { role: "system", content: "be brief" },
  { role: "user", content: "hi" },
  { role: "assistant", content: "hello" },
  { role: "user", content: "again" }
]

const echoing = (name: string) =>
  plain.map((message) => message.role === "assistant" ? { ...message, [name]: "a greeting" } : message)

const sampling = { temperature: 0.7 }

const streaming = { stream: true, stream_options: { include_usage: true } }

const options: CallOptions.CallOptions = {
  seed: 7,
  stop: ["END"],
  user: "u1",
  parallelToolCalls: false,
  tools: [{ name: "f" }],
  toolChoice: { name: "f" }
}

const tools = [{ type: "function", function: { name: "f", parameters: { type: "object", properties: {} } } }]

const optional = {
  seed: 7,
  stop: ["END"],
  user: "u1",
  parallel_tool_calls: false,
  tools,
  tool_choice: { type: "function", function: { name: "f" } }
}

const requiringTools = { ...optional, tool_choice: "required" }

const without = (fields: object, ...names: ReadonlyArray<string>) =>
  Object.fromEntries(Object.entries(fields).filter(([name]) => !names.includes(name)))

interface Expected {
  readonly preset: Provider.Preset
  readonly url: string
  readonly provider: string
  readonly body: Readonly<Record<string, unknown>>
}

const expected: Readonly<Record<string, Expected>> = {
  deepseek: {
    preset: Provider.deepseek,
    provider: "deepseek",
    url: "https://api.deepseek.com/v1/chat/completions",
    body: { messages: echoing("reasoning_content"), ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  openai: {
    preset: Provider.openai,
    provider: "openai",
    url: "https://api.openai.com/v1/chat/completions",
    body: { messages: plain, max_completion_tokens: 8192, ...optional, ...streaming }
  },
  "openai-reasoning": {
    preset: Provider.openaiReasoning,
    provider: "openai",
    url: "https://api.openai.com/v1/chat/completions",
    body: {
      messages: plain.map((message) => message.role === "system" ? { ...message, role: "developer" } : message),
      max_completion_tokens: 8192,
      ...optional,
      ...streaming
    }
  },
  ollama: {
    preset: Provider.ollama,
    provider: "ollama",
    url: "http://localhost:11434/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  vllm: {
    preset: Provider.vllm,
    provider: "vllm",
    url: "http://localhost:8000/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  llamacpp: {
    preset: Provider.llamacpp,
    provider: "llama.cpp",
    url: "http://localhost:8080/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...requiringTools, ...streaming }
  },
  lmstudio: {
    preset: Provider.lmstudio,
    provider: "lmstudio",
    url: "http://localhost:1234/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...requiringTools, ...streaming }
  },
  openrouter: {
    preset: Provider.openrouter,
    provider: "openrouter",
    url: "https://openrouter.ai/api/v1/chat/completions",
    body: { messages: echoing("reasoning"), ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  groq: {
    preset: Provider.groq,
    provider: "groq",
    url: "https://api.groq.com/openai/v1/chat/completions",
    body: { messages: plain, ...sampling, max_completion_tokens: 8192, ...optional, ...streaming }
  },
  mistral: {
    preset: Provider.mistral,
    provider: "mistral_ai",
    url: "https://api.mistral.ai/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...without(optional, "seed", "user"), stream: true }
  },
  xai: {
    preset: Provider.xai,
    provider: "x_ai",
    url: "https://api.x.ai/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  cerebras: {
    preset: Provider.cerebras,
    provider: "cerebras",
    url: "https://api.cerebras.ai/v1/chat/completions",
    body: { messages: plain, ...sampling, max_completion_tokens: 8192, ...optional, ...streaming }
  },
  together: {
    preset: Provider.together,
    provider: "together",
    url: "https://api.together.xyz/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  fireworks: {
    preset: Provider.fireworks,
    provider: "fireworks",
    url: "https://api.fireworks.ai/inference/v1/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, ...streaming }
  },
  perplexity: {
    preset: Provider.perplexity,
    provider: "perplexity",
    url: "https://api.perplexity.ai/chat/completions",
    body: { messages: plain, ...sampling, max_tokens: 8192, ...optional, stream: true }
  },
  moonshot: {
    preset: Provider.moonshot,
    provider: "moonshot_ai",
    url: "https://api.moonshot.ai/v1/chat/completions",
    body: { messages: echoing("reasoning_content"), max_tokens: 8192, ...optional, ...streaming }
  },
  gemini: {
    preset: Provider.gemini,
    provider: "gcp.gemini",
    url: "https://generativelanguage.googleapis.com/v1beta/openai/chat/completions",
    body: {
      messages: plain,
      ...sampling,
      max_tokens: 8192,
      ...without(optional, "seed"),
      ...streaming
    }
  },
  azure: {
    preset: Provider.azure({ resource: "contoso", deployment: "gpt 4o" }),
    provider: "azure.ai.openai",
    url: "https://contoso.openai.azure.com/openai/deployments/gpt%204o/chat/completions?api-version=2024-10-21",
    body: { messages: plain, max_completion_tokens: 8192, ...optional, ...streaming }
  }
}

const config = (preset: Provider.Preset): Partial<LLMConfig.Options> => ({ ...preset, model: "m1", apiKey: "sk-1234" })

const columns: Readonly<Record<string, (preset: Provider.Preset) => string>> = {
  address: ({ baseUrl }) => baseUrl,
  "name in spans": ({ provider }) => provider,
  "default model": ({ wire }) => wire.defaultModel ? "yes" : "no",
  "default temperature": ({ wire }) => wire.defaultTemperature ? "sent" : "not sent",
  "maximum of tokens": ({ wire }) => wire.maxTokensField,
  "system message": ({ wire }) => `${wire.systemRole}, ${wire.systemMessages}`,
  stream_options: ({ wire }) => wire.streamOptions ? "yes" : "no",
  "never sent": ({ wire }) => wire.omit.join(", "),
  "earlier reasoning": ({ wire }) => wire.reasoningEcho,
  "values asked for by": ({ wire }) => wire.structuredOutput,
  "ids of tool calls": ({ wire }) => wire.toolCallIds,
  "tool results": ({ wire }) =>
    [wire.toolResultName ? "with name" : "", wire.userAfterTool ? "" : "no user message after"].filter(Boolean).join(
      ", "
    ),
  "most tools": ({ wire }) => wire.maxTools === undefined ? "" : `${wire.maxTools}`,
  "tools and a response format": ({ wire }) => wire.toolsWithFormat ? "together" : "apart",
  "calls without tools": ({ wire }) => wire.toolHistory,
  "one tool demanded by": ({ wire }) => wire.namedToolChoice,
  "names of users": ({ wire }) => wire.userNames ? "name" : "in the text",
  "key in": ({ wire }) => wire.authHeader,
  query: ({ wire }) => new URLSearchParams(wire.query).toString()
}

const table = (): string =>
  [
    `| preset | ${Object.keys(columns).join(" | ")} |`,
    `|${" --- |".repeat(Object.keys(columns).length + 1)}`,
    ...Object.entries(expected).map(([name, { preset }]) =>
      `| ${name} | ${Object.values(columns).map((cell) => cell(preset)).join(" | ")} |`
    )
  ].join("\n")

describe("Provider", () => {
  it.effect("the presets agree with docs/providers.md", () => generated("providers.md", table()))

  for (const [name, { body, preset, provider, url }] of Object.entries(expected)) {
    it.effect(`${name} receives exactly the fields that it accepts`, () =>
      Effect.map(
        streamFrom([ScriptedHttpClient.bytes([says("a"), done])], { config: config(preset), messages, options }),
        ({ requests: [request] }) => {
          if (request === undefined) return assert.fail("no request")
          assert.strictEqual(request.url, url)
          assert.strictEqual(request.method, "POST")
          assert.deepStrictEqual(JSON.parse(request.text), { model: "m1", ...body })
          assert.strictEqual(preset.provider, provider)
          if (name === "azure") {
            assert.strictEqual(request.headers["api-key"], "sk-1234")
            assert.notProperty(request.headers, "authorization")
          } else {
            assert.strictEqual(request.headers["authorization"], "Bearer sk-1234")
            assert.notProperty(request.headers, "api-key")
          }
        }
      ))
  }

  it.effect("a call without a stream asks no server for the usage of a stream", () =>
    Effect.forEach(Object.values(expected), ({ preset }) =>
      Effect.map(
        completeFrom([ScriptedHttpClient.json(completion({ content: "a" }))], { config: config(preset) }),
        ({ requests: [request] }) => {
          const body = JSON.parse(request?.text ?? "")
          assert.isFalse(body.stream)
          assert.notProperty(body, "stream_options")
        }
      )))

  it("every preset with a fixed address has its name in the list, and a test here", () => {
    assert.sameMembers(Object.keys(Provider.presets), Object.keys(expected).filter((name) => name !== "azure"))
    for (const [name, preset] of Object.entries(Provider.presets)) {
      assert.strictEqual(expected[name]?.preset, preset)
    }
  })

  it("only DeepSeek's preset has a default model, and the error names the preset", () => {
    for (const { preset } of Object.values(expected)) {
      const config = LLMConfig.decode(preset)
      if (preset === Provider.deepseek) assert.strictEqual(Either.getOrThrow(config).model, "deepseek-chat")
      else {
        const error = Either.getOrThrow(Either.flip(config))
        assert.include(error.message, preset.provider)
        assert.match(error.message, /^model: [^\n]+$/)
        assert.throws(() => new LLMConfig.LLMConfig(preset), /model/)
      }
    }
  })

  it("every member of a preset's wire that a preset sets has a column in docs/providers.md", () => {
    const read = new Set<PropertyKey>()
    const wire = new Proxy(Provider.Wire.make({}), {
      get: (target, key, receiver) => {
        read.add(key)
        return Reflect.get(target, key, receiver)
      }
    })
    for (const cell of Object.values(columns)) cell({ provider: "p", baseUrl: "b", wire })
    const unused = Object.keys(Provider.Wire.fields).filter((field) => !read.has(field))
    assert.deepStrictEqual(unused, ["thinkTags", "endOfStreamIsComplete"])
    for (const { preset } of Object.values(expected)) {
      assert.isFalse(preset.wire.thinkTags || preset.wire.endOfStreamIsComplete)
    }
  })

  it.effect("OpenAI gets at most 128 tools, and an error names both numbers before the request", () =>
    Effect.gen(function*() {
      const ask = (preset: Provider.Preset, count: number) =>
        completeFrom([ScriptedHttpClient.json(completion({ content: "a" }))], {
          config: config(preset),
          options: { tools: Array.from({ length: count }, (_, n) => ({ name: `t${n}` })) }
        })
      const refused = yield* ask(Provider.openai, 129)

      if (Either.isRight(refused.outcome)) return assert.fail("accepted")
      assert.strictEqual(refused.outcome.left._tag, "InvalidRequestError")
      assert.match(refused.outcome.left.message, /129 tools.* 128 /)
      assert.lengthOf(refused.requests, 0)
      assert.lengthOf((yield* ask(Provider.openai, 128)).requests, 1)
      assert.lengthOf((yield* ask(Provider.ollama, 129)).requests, 1)
    }))

  it("Azure accepts another version of its API", () => {
    const { wire } = Provider.azure({ resource: "r", deployment: "d", apiVersion: "2025-01-01-preview" })
    assert.deepStrictEqual(wire.query, { "api-version": "2025-01-01-preview" })
  })
})
