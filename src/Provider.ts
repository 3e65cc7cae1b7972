/**
 * Presets of known servers as plain data: the address of each server, and how its requests and answers differ.
 *
 * Spread a preset into a config: `LLMConfig.make({ ...Provider.ollama, model: "qwen3" })`. For another server, set its
 * `baseUrl` and, if it differs from the common form, `wire`; see {@link Wire}.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { oneOf, optionalFields, withDefault } from "./internal/settingSchemas.ts"

/**
 * A request field that a server may refuse, by its name in this library.
 *
 * @since 0.1.0
 * @category models
 */
export type OptionalField =
  | "temperature"
  | "topP"
  | "maxTokens"
  | "frequencyPenalty"
  | "presencePenalty"
  | "seed"
  | "stop"
  | "user"
  | "parallelToolCalls"

/**
 * How the requests and answers of a server differ from the common ones. The defaults suit most servers.
 *
 * @since 0.1.0
 * @category schemas
 */
export class Wire extends Schema.Class<Wire>("effect-chat/Wire")({
  /** The JSON name of `maxTokens`. OpenAI's newer models accept only `max_completion_tokens`. Default `max_tokens`. */
  maxTokensField: withDefault(oneOf("max_tokens", "max_completion_tokens"), "max_tokens"),
  /**
   * The role of the system message. With `user`, it is sent within the first user message, for servers without a system role.
   * Default `system`, which every server but OpenAI's reasoning models accepts.
   */
  systemRole: withDefault(oneOf("system", "developer", "user"), "system"),
  /** Whether streams request usage with `stream_options`, which Mistral refuses (422). Default true. */
  streamOptions: withDefault(Schema.Boolean, true),
  /** Whether a config without a model gets `deepseek-chat`. Otherwise it is refused. Default true. */
  defaultModel: withDefault(Schema.Boolean, true),
  /**
   * Whether the library's default temperature is sent. Some models accept only their own temperature: with `false`, a
   * temperature is sent only if the config or the call has one. Default true.
   */
  defaultTemperature: withDefault(Schema.Boolean, true),
  /** Fields that this server refuses: they are never sent. Default none. */
  omit: withDefault(
    Schema.Array(oneOf(...optionalFields)),
    []
  ),
  /** Where system messages are accepted. With `first`, all of them are sent as one. Default `first`. */
  systemMessages: withDefault(oneOf("first", "anywhere"), "first"),
  /** Whether user messages can have a `name`. Otherwise the name is sent in the text. Default true. */
  userNames: withDefault(Schema.Boolean, true),
  /**
   * Whether a user message may follow a tool result. Otherwise an assistant message is sent between them. Default true,
   * except for models whose name is that of a Mistral model.
   */
  userAfterTool: withDefault(Schema.Boolean, true),
  /**
   * The ids of tool calls that are accepted: any, those of OpenAI (at most 40 characters), those of Anthropic (letters,
   * digits, `_` and `-`), or those of Mistral (nine letters or digits). Other ids are replaced. Default `any`, except for
   * models whose name is that of a Claude or Mistral model.
   */
  toolCallIds: withDefault(oneOf("any", "openai", "anthropic", "mistral"), "any"),
  /** Whether a tool's result names its tool, which Gemini demands and others refuse. Default false. */
  toolResultName: withDefault(Schema.Boolean, false),
  /**
   * How earlier tool calls and results are sent in a request without tools. Anthropic and Bedrock refuse `calls` there.
   * Default `text`, which every server accepts.
   */
  toolHistory: withDefault(oneOf("calls", "text"), "text"),
  /**
   * How a request demands one tool: by its `function`, or by `required` with only that tool, for servers that ignore or
   * refuse the former. Default `function`.
   */
  namedToolChoice: withDefault(oneOf("function", "required"), "function"),
  /**
   * The name under which earlier reasoning is sent back, even if it is empty. DeepSeek demands it, Mistral refuses it.
   * Default `none`.
   */
  reasoningEcho: withDefault(oneOf("none", "reasoning_content", "reasoning"), "none"),
  /** The maximum number of tools in a request. With more, the call fails with `InvalidRequestError`. Default no limit. */
  maxTools: Schema.optional(Schema.Int.pipe(Schema.positive())),
  /** The response format of `askObject` and `chatObject`: a JSON Schema, any JSON, or none. Default `json_schema`. */
  structuredOutput: withDefault(oneOf("json_schema", "json_object", "none"), "json_schema"),
  /**
   * Whether a request can have tools and a response format, which Groq and Gemini refuse. Otherwise a turn with both sends
   * the format in a last request without tools. Default true.
   */
  toolsWithFormat: withDefault(Schema.Boolean, true),
  /** Whether `<think>` text at the start of an answer is reasoning. Default false: the text stays unchanged. */
  thinkTags: withDefault(Schema.Boolean, false),
  /** Whether a stream may end without a finish reason or `[DONE]`. Default false: it fails with `TruncatedError`. */
  endOfStreamIsComplete: withDefault(Schema.Boolean, false),
  /** The header with the key: `Authorization: Bearer …`, or Azure's `api-key`. Default `authorization`. */
  authHeader: withDefault(oneOf("authorization", "api-key"), "authorization"),
  /** Query parameters of the address, such as Azure's `api-version`. Default none. */
  query: withDefault(Schema.Record({ key: Schema.String, value: Schema.String }), {})
}) {}

/**
 * The settings that a preset adds to a config.
 *
 * @since 0.1.0
 * @category models
 */
export interface Preset {
  /** The server's name in spans and metrics: OpenTelemetry's well-known value where there is one. */
  readonly provider: string
  readonly baseUrl: string
  readonly wire: Wire
}

const preset = (
  provider: string,
  baseUrl: string,
  wire: Partial<typeof Wire.Type> = {}
): Preset => ({ provider, baseUrl, wire: Wire.make({ defaultModel: false, ...wire }) })

const penalties: ReadonlyArray<OptionalField> = ["frequencyPenalty", "presencePenalty"]

/**
 * What OpenAI's models have in common, at OpenAI and on Azure. Newer models refuse `max_tokens` and every temperature other
 * than their own ({@link https://github.com/microsoft/vscode/issues/323110 | vscode#323110}), and more than 128 tools
 * ({@link https://github.com/zed-industries/zed/issues/32946 | zed#32946}).
 */
const openaiWire = {
  maxTokensField: "max_completion_tokens",
  defaultTemperature: false,
  systemMessages: "anywhere",
  toolCallIds: "openai",
  toolHistory: "calls",
  maxTools: 128
} as const

/**
 * DeepSeek. Its thinking models demand their reasoning back, and its JSON mode has no schema.
 *
 * @since 0.1.0
 * @category presets
 */
export const deepseek: Preset = preset("deepseek", "https://api.deepseek.com/v1", {
  defaultModel: true,
  systemMessages: "anywhere",
  toolHistory: "calls",
  reasoningEcho: "reasoning_content",
  structuredOutput: "json_object"
})

/**
 * OpenAI's chat models. Newer ones refuse `max_tokens`
 * ({@link https://github.com/pydantic/pydantic-ai/issues/1205 | pydantic-ai#1205}).
 *
 * @since 0.1.0
 * @category presets
 */
export const openai: Preset = preset("openai", "https://api.openai.com/v1", openaiWire)

/**
 * OpenAI's reasoning models, which refuse sampling fields and call the system message `developer`.
 *
 * @since 0.1.0
 * @category presets
 */
export const openaiReasoning: Preset = preset("openai", "https://api.openai.com/v1", {
  ...openaiWire,
  systemRole: "developer",
  omit: ["temperature", "topP", ...penalties]
})

/**
 * A deployment on Azure OpenAI, by the names of its resource and deployment. Newer models refuse
 * `max_tokens` ({@link https://learn.microsoft.com/en-us/answers/questions/5840554/sudden-openai-errors-on-gpt-4o | Microsoft}).
 *
 * @example
 * import { LLMConfig, Provider } from "effect-chat"
 *
 * const preset = Provider.azure({ resource: "my-resource", deployment: "my-gpt" })
 * const config = LLMConfig.make({ ...preset, model: "gpt-4o", apiKey: "key" })
 *
 * assert.strictEqual(config.baseUrl, "https://my-resource.openai.azure.com/openai/deployments/my-gpt")
 *
 * @since 0.1.0
 * @category presets
 */
export const azure = (options: {
  readonly resource: string
  readonly deployment: string
  /** Default `2024-10-21`. */
  readonly apiVersion?: string | undefined
}): Preset =>
  preset(
    "azure.ai.openai",
    `https://${options.resource}.openai.azure.com/openai/deployments/${encodeURIComponent(options.deployment)}`,
    {
      ...openaiWire,
      authHeader: "api-key",
      query: { "api-version": options.apiVersion ?? "2024-10-21" }
    }
  )

/**
 * Ollama on this machine.
 *
 * @since 0.1.0
 * @category presets
 */
export const ollama: Preset = preset("ollama", "http://localhost:11434/v1")

/**
 * vLLM on this machine.
 *
 * @since 0.1.0
 * @category presets
 */
export const vllm: Preset = preset("vllm", "http://localhost:8000/v1")

/**
 * The server of llama.cpp on this machine, which ignores a tool choice that names a tool.
 *
 * @since 0.1.0
 * @category presets
 */
export const llamacpp: Preset = preset("llama.cpp", "http://localhost:8080/v1", { namedToolChoice: "required" })

/**
 * LM Studio on this machine, which refuses a tool choice that names a tool.
 *
 * @since 0.1.0
 * @category presets
 */
export const lmstudio: Preset = preset("lmstudio", "http://localhost:1234/v1", { namedToolChoice: "required" })

/**
 * OpenRouter. It passes earlier reasoning on to the model.
 *
 * @since 0.1.0
 * @category presets
 */
export const openrouter: Preset = preset("openrouter", "https://openrouter.ai/api/v1", { reasoningEcho: "reasoning" })

/**
 * Groq.
 *
 * @since 0.1.0
 * @category presets
 */
export const groq: Preset = preset("groq", "https://api.groq.com/openai/v1", {
  maxTokensField: "max_completion_tokens",
  toolsWithFormat: false
})

/**
 * Mistral. It always sends usage and refuses (422) fields that it does not know: `stream_options`
 * ({@link https://github.com/openai/openai-agents-python/issues/442 | openai-agents-python#442}), `user` and `seed`,
 * which it calls `random_seed` (set it with `extraBody`). It accepts the penalties
 * ({@link https://docs.rs/crate/mistral-openapi-client/latest/source/docs/ChatCompletionRequest.md | its OpenAPI}).
 * Ids of tool calls have nine letters or digits ({@link https://github.com/anomalyco/opencode/issues/1680 | opencode#1680}).
 *
 * @since 0.1.0
 * @category presets
 */
export const mistral: Preset = preset("mistral_ai", "https://api.mistral.ai/v1", {
  streamOptions: false,
  userNames: false,
  userAfterTool: false,
  toolCallIds: "mistral",
  omit: ["seed", "user"]
})

/**
 * xAI. Its reasoning models refuse the penalties and `stop`. The library sends `stop` if a call has it
 * ({@link https://docs.x.ai/docs/guides/reasoning | docs.x.ai}).
 *
 * @since 0.1.0
 * @category presets
 */
export const xai: Preset = preset("x_ai", "https://api.x.ai/v1", { omit: penalties })

/**
 * Cerebras, which refuses (400) the penalties ({@link https://hexdocs.pm/req_llm/cerebras.html | req_llm}).
 *
 * @since 0.1.0
 * @category presets
 */
export const cerebras: Preset = preset("cerebras", "https://api.cerebras.ai/v1", {
  maxTokensField: "max_completion_tokens",
  omit: penalties
})

/**
 * Together.
 *
 * @since 0.1.0
 * @category presets
 */
export const together: Preset = preset("together", "https://api.together.xyz/v1")

/**
 * Fireworks.
 *
 * @since 0.1.0
 * @category presets
 */
export const fireworks: Preset = preset("fireworks", "https://api.fireworks.ai/inference/v1")

/**
 * Perplexity. It sends usage with every chunk without a request for it.
 *
 * @since 0.1.0
 * @category presets
 */
export const perplexity: Preset = preset("perplexity", "https://api.perplexity.ai", { streamOptions: false })

/**
 * Moonshot. Its thinking models demand their reasoning back, and some models accept only their own temperature
 * ({@link https://github.com/NoFxAiOS/nofx/issues/1415 | nofx#1415}).
 *
 * @since 0.1.0
 * @category presets
 */
export const moonshot: Preset = preset("moonshot_ai", "https://api.moonshot.ai/v1", {
  defaultTemperature: false,
  reasoningEcho: "reasoning_content"
})

/**
 * Google's Gemini at its OpenAI-compatible address. It refuses (400) the penalties
 * ({@link https://github.com/n4ze3m/page-assist/issues/418 | page-assist#418}) and `seed`
 * ({@link https://github.com/Vali-98/ChatterUI/issues/227 | ChatterUI#227}). A tool's result must name its tool
 * ({@link https://github.com/NousResearch/hermes-agent/issues/19728 | hermes-agent#19728}).
 *
 * @since 0.1.0
 * @category presets
 */
export const gemini: Preset = preset("gcp.gemini", "https://generativelanguage.googleapis.com/v1beta/openai", {
  toolResultName: true,
  toolsWithFormat: false,
  omit: [...penalties, "seed"]
})

/**
 * The presets with a fixed address, by the name that `LLM_PROVIDER` accepts.
 *
 * @example
 * import { Provider } from "effect-chat"
 *
 * assert.strictEqual(Provider.presets["ollama"], Provider.ollama)
 *
 * @since 0.1.0
 * @category presets
 */
export const presets: Readonly<Record<string, Preset>> = {
  deepseek,
  openai,
  "openai-reasoning": openaiReasoning,
  ollama,
  vllm,
  llamacpp,
  lmstudio,
  openrouter,
  groq,
  mistral,
  xai,
  cerebras,
  together,
  fireworks,
  perplexity,
  moonshot,
  gemini
}
