import { assert, describe, it } from "@effect/vitest"
import * as Fs from "node:fs"
import { classify } from "../../../src/internal/errors/classify.ts"
import type { ErrorInfo } from "../../../src/internal/errors/errorBody.ts"
import { fromBody, fromJson } from "../../../src/internal/errors/errorBody.ts"
import { plainWords } from "../../../src/internal/errors/wordings.ts"

const nothing: ErrorInfo = { message: "", code: undefined, type: undefined }

const classOf = (status: number | undefined, info: ErrorInfo): string =>
  classify(status, info)._tag.replace(/Error$/, "")

const classOfError = (status: number | undefined, error: unknown): string =>
  classOf(status, fromJson({ error }) ?? nothing)

type Row = readonly [status: number | undefined, error: unknown]

const testRows = (kind: string, table: ReadonlyArray<Row>) => {
  for (const [status, error] of table) {
    it(`is ${kind}: ${status ?? "no status"} ${JSON.stringify(error)}`, () => {
      assert.strictEqual(classOfError(status, error), kind)
    })
  }
}

describe("plain words", () => {
  it("have no capitals, punctuation, fillers, endings and numbers, and one sentence per line", () => {
    assert.strictEqual(
      plainWords("Your model's `max_tokens` (8,192) has been EXCEEDED. Needed: 3.5 credits!"),
      "model max token 9 exceed\n need: 9 credit\n"
    )
  })
})

describe("messages in other words than those of known servers", () => {
  testRows("ContextLength", [
    [400, "The model's context windows were exceeded."],
    [422, "MAXIMUM-CONTEXT_LENGTH: 4096"],
    [400, "Your prompts are too long"]
  ])
  testRows("Quota", [[403, "Your account's balance has been exhausted"]])
  testRows("Permission", [[400, "Your key doesn't have permissions"]])
})

describe("an overflow of the context", () => {
  testRows("ContextLength", [
    // OpenAI
    [400, {
      message: "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
      code: "context_length_exceeded"
    }],
    [400, { message: "x", code: "context_length_exceeded" }],
    [400, "Your input exceeds the context window of this model. Please adjust your input and try again."],
    [400, "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000 tokens."],
    [400, "Invalid 'messages[1].content': string too long. Expected a string with maximum length 1048576."],
    // vLLM, SGLang
    [
      400,
      "'max_tokens' is too large: 8192. This model's maximum context length is 8192 tokens and your request has 10 input tokens"
    ],
    [400, "The decoder prompt (length 9000) is longer than the maximum model length of 8192."],
    [400, "Requested token count exceeds the model's maximum context length of 8192 tokens."],
    [400, "The input (210000 tokens) is longer than the model's context length (200000 tokens)."],
    // llama.cpp
    [400, {
      message: "the request exceeds the available context size, try increasing it",
      type: "exceed_context_size_error"
    }],
    [400, "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it"],
    // LM Studio
    [
      400,
      "Trying to keep the first 5000 tokens when context the overflows. However, the model is loaded with context length of only 4096 tokens"
    ],
    [400, "The number of tokens to keep from the initial prompt is greater than the context length."],
    // Ollama
    [400, "prompt too long; exceeded max context length by 1119046 tokens (ref: 96164522)"],
    [400, "the input length exceeds the context length"],
    // Anthropic, Bedrock
    [400, "prompt is too long: 213462 tokens > 200000 maximum"],
    [
      400,
      "input length and `max_tokens` exceed context limit: 196395 + 64000 > 204698, decrease input length or `max_tokens` and try again"
    ],
    [400, "Input is too long for requested model."],
    // Gemini, xAI, Groq, Cohere, Mistral, Moonshot, MiniMax, Perplexity
    [400, "The input token count (1196265) exceeds the maximum number of tokens allowed (1048575)."],
    [400, "This model's maximum prompt length is 131072 but the request contains 537812 tokens."],
    [400, "Please reduce the length of the messages or completion."],
    [400, "too many tokens: size limit exceeded by 11326 tokens. Try using shorter or fewer inputs."],
    [400, "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length"],
    [400, "Invalid request: Your request exceeded model token limit: 8192"],
    [200, "invalid params, context window exceeds limit (2013)"],
    [400, { message: "The total length of all messages is too long.", type: "too_many_prompt_tokens", code: 400 }],
    // SambaNova, Cloudflare, watsonx, GitHub, Copilot, Poolside, Together / TGI
    [
      400,
      "The maximum context length of DeepSeek-V3-0324 is 32768. However, answering your request will take 39732 tokens."
    ],
    [
      400,
      "AiError: The estimated number of input and maximum output tokens (9000) exceeded this model context window limit (8000)."
    ],
    [400, "the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model"],
    [413, {
      message: "Request body too large for gpt-4o-mini model. Max size: 8000 tokens.",
      code: "tokens_limit_reached"
    }],
    [413, "Request body too large for gpt-4o-mini model. Max size: 8000 tokens."],
    [400, "prompt token count of 218231 exceeds the limit of 128000"],
    [400, "Prompt exceeds the maximum allowed input length of 131072 tokens."],
    [422, "`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens and 512 `max_new_tokens`"],
    [422, "`inputs` must have less than 4096 tokens. Given: 5000"],
    // Z.ai, Alibaba, Volcengine, Chinese gateways
    [400, { code: "1261", message: "Prompt 超长" }],
    [400, "Prompt exceeds max length"],
    [400, "<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 202745]"],
    [400, "Total tokens of image and text exceed max message tokens."],
    [400, "输入内容过长，请缩短后重试"],
    [400, "上下文长度超出模型限制"],
    // a limit per minute that a single request exceeds: the request must be shorter
    [413, {
      message:
        "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 7000, please reduce your message size and try again.",
      type: "tokens",
      code: "rate_limit_exceeded"
    }],
    [400, "too many tokens: total number of tokens in the prompt cannot exceed 4081 - received 5000."],
    [400, "total number of tokens in the prompt cannot exceed 4081 - received 5000."],
    [400, "Prompt has 32769 tokens, but the configured context size is 32768 tokens"],
    [400, "Prompt length 9000 is greater than max_seq_len 8192"],
    [400, "Input length (9000 tokens) exceeds the maximum allowed length (8192 tokens)"],
    [400, "Token limit exceeded: 430 > 8192"],
    // behind a gateway, and inside a stream
    [502, {
      message: "Provider returned error",
      code: 502,
      metadata: { raw: "{\"error\":{\"message\":\"prompt is too long: 9 tokens > 8 maximum\"}}" }
    }],
    [undefined, "the request exceeds the available context size"],
    // SiliconFlow, Snowflake
    [400, { message: "length of prompt_tokens (40000) must be less than max_seq_len (32768).", code: 20015 }],
    [400, { message: "max tokens of 4096 exceeded", error_code: "390400" }]
  ])

  it("is not confused with a rate limit that says too many tokens", () => {
    for (
      const text of [
        "Too many tokens, please wait before trying again.",
        "ThrottlingException: Too many tokens, please wait before trying again.",
        "Too many tokens per minute",
        "Rate limit exceeded: token limit exceeded for this minute, too many tokens"
      ]
    ) {
      assert.strictEqual(classOfError(429, text), "RateLimit", text)
      assert.notStrictEqual(classOfError(400, text), "ContextLength", text)
    }
    assert.strictEqual(classOfError(400, "Too many tokens, please wait before trying again."), "RateLimit")
  })

  testRows("ContextLength", [
    [500, { message: "Context size has been exceeded.", code: 500, type: "exceed_context_size_error" }],
    [400, "Context size has been exceeded."]
  ])

  // llama.cpp's 500 that a retry cannot fix
  testRows("InvalidRequest", [
    [500, {
      message: "image input is not supported - hint: if this is unexpected, you may need to provide the mmproj",
      code: 500,
      type: "server_error"
    }],
    [500, "audio input is not supported"],
    [500, { message: "Unsupported content part type: \"video_url\"", code: 500, type: "server_error" }],
    [500, { message: "context shift is disabled", code: 500, type: "server_error" }],
    [200, { message: "context shift is disabled", code: 500, type: "server_error" }],
    [500, "tools param requires --jinja flag"],
    [500, "Conversation roles must alternate user/assistant/user/assistant/..."],
    [500, "input is too large to process. increase the physical batch size"]
  ])

  testRows("InvalidRequest", [
    [413, ""],
    [413, "Failed to buffer the request body: length limit exceeded"],
    [413, { message: "Payload too large", code: "rate_limit_exceeded" }],
    [400, "Bad value. See https://example.com/account/rate-limit"],
    [413, "413 Request Entity Too Large"],
    [400, "max_tokens is too large: 100000. This model supports at most 16384 completion tokens"],
    [400, "The maximum tokens you requested exceeds the model limit of 4096"],
    [400, "Range of max_tokens should be [1, 8192]"],
    [400, "Invalid 'user': string too long. Expected a string with maximum length 64."],
    [400, "输入图片数量超过限制"]
  ])
})

describe("an exhausted quota", () => {
  testRows("Quota", [
    [402, ""],
    [402, "Prompt tokens limit exceeded: 12000 > 5000. To increase, upgrade to a paid account"],
    [403, "You requested up to 65536 tokens, but can only afford 1234."],
    [400, "You have reached your specified API usage limits. You will regain access on 2025-12-01."],
    [429, "Your account is not active, please check your billing details on our website."],
    [403, "The free tier of the model has been exhausted."],
    [403, "用户剩余额度不足"],
    [429, "您的账户已欠费,请充值后重试"],
    [429, "已达到 5 小时的使用上限。您的限额将在 18:00 重置"],
    [402, "Insufficient Balance"],
    [
      402,
      "This request requires more credits, or fewer max_tokens. You requested up to 65536 tokens, but can only afford 1234."
    ],
    [429, {
      message: "You exceeded your current quota, please check your plan and billing details.",
      type: "insufficient_quota",
      code: "insufficient_quota"
    }],
    [429, "You exceeded your current quota, please check your plan and billing details."],
    [429, { message: "x", code: "credit_balance_exhausted" }],
    [429, {
      message: "Your account is suspended due to insufficient balance, please recharge",
      type: "exceeded_current_quota_error"
    }],
    [429, { message: "Insufficient balance or no resource package. Please recharge.", code: "1113" }],
    [429, "Your team has either used all available credits or reached its monthly spending limit."],
    [400, "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing."],
    [400, { message: "Access denied, please make sure your account is in good standing.", code: "Arrearage" }],
    [400, { message: "Budget has been exceeded! Current cost: 2, Max budget: 1", type: "budget_exceeded" }],
    [403, { message: "用户额度不足", code: "insufficient_user_quota" }],
    [403, "Sorry, your account balance is insufficient"],
    [403, "Key limit exceeded (total limit). Manage it using https://openrouter.ai/settings/keys"],
    [403, { message: "The request failed because your account has an overdue balance.", code: "AccountOverdueError" }],
    [403, "Your newly created team doesn't have any credits or licenses yet."],
    [401, { type: "CreditsError", message: "Insufficient balance." }],
    [
      412,
      "Account x is suspended, possibly due to reaching the monthly spending limit or failure to pay past invoices"
    ],
    [429, "You are using a Trial key, which is limited to 1000 API calls / month."],
    [429, "Quota exceeded for metric: generate_content_free_tier_requests, limit: 0, model: x\nPlease retry in 17.3s."],
    [200, { message: "insufficient balance (1008)" }],
    // new-api, watsonx, Azure, Cloudflare
    [403, { message: "token quota is not enough", code: "pre_consume_token_quota_failed" }],
    [403, { message: "This request would exceed the token quota for this month", code: "token_quota_reached" }],
    [403, "Out of call volume quota for CognitiveServices. Quota will be replenished in 12.03:12:03."],
    [429, "you have used up your daily free allocation of 10,000 neurons, please upgrade to the paid plan"]
  ])

  testRows("RateLimit", [
    [429, ""],
    [429, "Requests per second limit exceeded - too many requests sent."],
    [429, {
      message: "Requests per second limit exceeded",
      code: "request_quota_exceeded",
      type: "too_many_requests_error"
    }],
    [429, {
      message:
        "Rate limit reached for gpt-4o. Please try again in 20s. You can increase your rate limit by adding a payment method to your account at https://platform.openai.com/account/billing.",
      code: "rate_limit_exceeded",
      type: "requests"
    }],
    [429, {
      message:
        "Rate limit reached on tokens per day (TPD): Limit 100000, Used 99999. Please try again in 6m0s. Upgrade at https://console.groq.com/settings/billing",
      type: "tokens",
      code: "rate_limit_exceeded"
    }],
    [429, {
      message:
        "Request too large on tokens per min (TPM): Limit 200000, Requested 2500013. The input or output tokens must be reduced",
      code: "rate_limit_exceeded",
      type: "tokens"
    }],
    [429, { message: "Resource has been exhausted (e.g. check quota).", code: 429, status: "RESOURCE_EXHAUSTED" }],
    [429, {
      message: "You exceeded your current quota, please check your plan and billing details. Please retry in 33.5s.",
      code: 429,
      status: "RESOURCE_EXHAUSTED"
    }],
    [429, {
      message: "You exceeded your current quota",
      details: [{ violations: [{ quotaId: "GenerateRequestsPerMinutePerProject" }] }]
    }],
    [429, { message: "Allocated quota exceeded, please increase your quota limit", code: "insufficient_quota" }],
    [429, { message: "The service may be temporarily overloaded, please try again later", code: "1305" }],
    [429, "Too many tokens"],
    [429, { message: "Rate limit reached. Add credits to raise it.", code: "rate_limit_exceeded" }],
    [429, "Service tier capacity exceeded for this model."],
    [400, { message: "x", type: "rate_limit_error" }],
    [403, { message: "x", code: "rateLimitExceeded" }],
    [200, { message: "Provider returned error", code: 429 }],
    [200, { message: "rate limit reached for RPM (1002)" }],
    [400, "您的请求过于频繁"],
    [undefined, "Rate limit reached"],
    // Baidu, MiniMax
    [200, { message: "Open api daily request limit reached", code: 17 }],
    [200, { message: "Open api qps request limit reached", code: 18 }],
    [200, { message: "token limit", code: "1039" }]
  ])
})

describe("refused content", () => {
  testRows("ContentFilter", [
    [400, {
      message: "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
      code: "content_filter"
    }],
    [400, { message: "x", code: null, innererror: { code: "ResponsibleAIPolicyViolation" } }],
    [400, { message: "x", code: "content_policy_violation" }],
    [400, { message: "Input data may contain inappropriate content.", code: "data_inspection_failed" }],
    [400, "The response was filtered due to the prompt triggering Azure OpenAI's content management policy."],
    [400, "Your request was rejected as a result of our safety system."],
    [400, "Prompt blocked due to security configurations"],
    [403, "Your chosen model requires moderation"],
    [400, "系统检测到输入或生成内容可能包含不安全或敏感内容"],
    [400, "Content Exists Risk"],
    [400, "Output blocked by content filtering policy"],
    [400, { message: "系统检测到输入或生成内容可能包含不安全或敏感内容", code: "1301" }],
    [400, "The request was rejected because it was considered high risk"],
    [400, "Invalid prompt: your prompt was flagged as potentially violating our usage policy."],
    [403, "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO"],
    [403, {
      message: "Your chosen model requires moderation and your input was flagged",
      metadata: { reasons: ["violence"], flagged_input: "…" }
    }],
    [200, { message: "input new_sensitive (1026)" }],
    // SAP, StepFun, iFlytek
    [400, "Azure OpenAI content filter triggered"],
    [451, { message: "The content you provided or machine outputted is blocked.", type: "censorship_blocked" }],
    [200, { message: "The input content violates policy", code: 10013 }]
  ])
})

describe("a model that does not exist", () => {
  testRows("NotFound", [
    [404, ""],
    [404, "404 page not found"],
    [410, ""],
    [404, { message: "The model `x` does not exist or you do not have access to it.", code: "model_not_found" }],
    [404, "model \"llama9\" not found, try pulling it first"],
    [400, "Model Not Exist"],
    [400, "The model `gpt-9.5-turbo` does not exist."],
    [400, "model 'x:7b' not found"],
    [400, "models/gemini-foo is not found for API version v1beta"],
    [400, "acme/nothing is not a valid model ID"],
    [400, { message: "Invalid model: x", type: "invalid_model", code: "1500" }],
    [400, {
      message: "The model `llama2-70b-4096` has been decommissioned and is no longer supported.",
      code: "model_decommissioned"
    }],
    [400, "The model `gpt-3.5-turbo-0613` has been deprecated"],
    [400, "Unable to access non-serverless model x. Please create a dedicated endpoint."],
    [400, "No available channel for model x under group default"],
    [400, "模型不存在，请检查模型代码"],
    [400, "The requested model is not supported."],
    [400, { message: "模型不存在，请检查模型代码", code: "1211" }],
    [401, { type: "ModelError", message: "Model x not supported" }],
    [503, { message: "No available channel for model x under group default", code: "model_not_found" }],
    [undefined, "model \"x\" not found, try pulling it first"],
    // Bedrock, LM Studio, Cloudflare
    [400, "The provided model identifier is invalid."],
    [200, "Unexpected endpoint or method. (POST /chat/completions)"],
    [200, { message: "No route for that URI", code: 7000 }]
  ])

  testRows("InvalidRequest", [
    [400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."],
    [400, "Unsupported value: 'none' is not supported with the 'o3-2025-04-16' model."],
    [400, "registry.ollama.ai/library/x:latest does not support tools"],
    [400, "Tool call x not found in the messages before this one"],
    [400, "Missing required parameter: 'credentials'."],
    [400, "Invalid value for 'model_output': not a valid JSON"],
    [400, "messages[0].name is too long"],
    [400, "The model produced an unknown tool"],
    [422, "Input should be a valid string"],
    [400, ""],
    [405, ""],
    [307, ""]
  ])
})

describe("authentication and permission", () => {
  testRows("Authentication", [
    [401, ""],
    [401, "Unauthorized"],
    [401, {
      message: "Authentication Fails, Your api key: ****x is invalid",
      type: "authentication_error",
      code: "invalid_request_error"
    }],
    [401, "Missing Authentication header"],
    [401, "You didn't provide an API key. Unauthenticated callers have a low rate limit."],
    [400, "API key not valid. Please pass a valid API key."],
    [400, "Incorrect API key provided: xa***. You can obtain an API key from https://console.x.ai."],
    [403, { message: "Invalid or missing API Key", code: "access_denied" }],
    [400, "Your api key: ****x is invalid"],
    [403, { message: "x", code: "invalid_api_key" }],
    [200, { message: "login fail: Please carry the API secret key in the 'Authorization' field" }],
    [200, { message: "无效的令牌", type: "new_api_error" }],
    [undefined, { message: "invalid x-api-key", type: "authentication_error" }],
    // Baidu, Tencent, Bedrock, Gemini
    [200, { message: "Access token invalid or no longer valid", code: 110 }],
    [200, { message: "The SecretId is not found", code: "AuthFailure.SecretIdNotFound" }],
    [403, "The security token included in the request is invalid."],
    [403, { message: "Method doesn't allow unregistered callers", status: "PERMISSION_DENIED" }],
    [400, "Missing or invalid Authorization header."]
  ])

  testRows("Permission", [
    [403, ""],
    [403, { message: "Forbidden", code: "forbidden", type: "invalid_request_error" }],
    [403, { message: "Country, region, or territory not supported", code: "unsupported_country_region_territory" }],
    [403, { message: "Project `proj` does not have access to model `gpt-4`", code: "model_not_found" }],
    [403, "This authentication method does not have sufficient permissions to call Inference Providers"],
    [401, "You have insufficient permissions for this operation. Missing scopes: model.request."],
    [400, "您无权访问该接口"],
    [400, "The model x-1 is not available in your region"],
    [400, "User location is not supported for the API use."],
    [400, "You don't have access to the model with the specified model ID."],
    [451, ""],
    [undefined, { message: "x", type: "permission_error" }],
    [400, { message: "Organization has been restricted.", code: "organization_restricted" }]
  ])
})

describe("a failing server", () => {
  testRows("Server", [
    [500, ""],
    // llama.cpp's full cache, which slots share: the same request can succeed later
    [500, { message: "Context size has been exceeded.", code: 500, type: "server_error" }],
    [500, "Context size has been exceeded."],
    [200, { message: "Context size has been exceeded.", code: 500, type: "server_error" }],
    [undefined, { message: "Context size has been exceeded.", type: "server_error" }],
    [500, { message: "Cannot use both json_schema and grammar", code: 500, type: "server_error" }],
    [502, "502 Bad Gateway"],
    [503, "The model is at capacity and currently cannot serve this request. Please try again later."],
    [503, "Invalid API key cache, model not found in cache"],
    [529, { message: "Overloaded", type: "overloaded_error" }],
    [524, "A timeout occurred"],
    [408, ""],
    [409, ""],
    [425, ""],
    [498, { message: "Flex tier capacity exceeded", code: "capacity_exceeded" }],
    [400, { message: "Overloaded", type: "overloaded_error" }],
    [200, { message: "Upstream error", code: 502 }],
    [200, { message: "Upstream error", code: "server_error" }],
    [200, { message: "Overloaded", type: "overloaded_error" }],
    [200, "failed to decode, try again, increasing context size or reducing parallel"],
    [200, "boom"],
    [undefined, ""]
  ])
})

describe("an error inside a 200", () => {
  it("is classified by its status", () => {
    assert.strictEqual(classOfError(200, { message: "x", code: "tool_use_failed", status_code: 400 }), "InvalidRequest")
    assert.strictEqual(classOfError(200, { message: "x", code: 401 }), "Authentication")
    assert.strictEqual(classOfError(200, { message: "x", code: "503" }), "Server")
    assert.strictEqual(classOfError(200, { message: "x", http_status_code: 422 }), "InvalidRequest")
    assert.strictEqual(classOfError(200, { message: "x", httpCode: 401 }), "Authentication")
  })

  it("is classified by its type if it has no status", () => {
    assert.strictEqual(classOfError(200, { message: "x", type: "invalid_request_error" }), "InvalidRequest")
    assert.strictEqual(classOfError(200, { message: "x", type: "not_found_error" }), "NotFound")
  })

  it("is classified by its words if it has neither", () => {
    assert.strictEqual(classOfError(200, "invalid params, chat content is empty (2013)"), "InvalidRequest")
    assert.strictEqual(
      classOfError(200, "Input validation error: `temperature` must be strictly positive"),
      "InvalidRequest"
    )
  })

  it("is classified by the HTTP status if that is an error and the body has another one", () => {
    assert.strictEqual(classOfError(429, { message: "x", code: 400 }), "RateLimit")
  })
})

it("classifies megabytes of text quickly", () => {
  const info = { ...nothing, message: "model ".repeat(400_000) + "not found ".repeat(400_000) }

  assert.strictEqual(classOf(400, info), "InvalidRequest")
}, 1_000)

const corpus = new URL("../../../../shared/corpus/", import.meta.url)
const hasCorpus = Fs.existsSync(corpus)

const recorded: Readonly<Record<string, string>> = {
  "azure-foundry-err413": "InvalidRequest",
  "azure-foundry-err429": "RateLimit",
  "azure-foundry-err500": "Server",
  "azure-openai-err404": "NotFound",
  "cerebras-err429": "RateLimit",
  "deepseek-err401": "Authentication",
  "deepseek-err422": "InvalidRequest",
  "doubleword-err403": "Permission",
  "gpustack-err200": "Server",
  "groq-err200": "InvalidRequest",
  "groq-err400": "InvalidRequest",
  "groq-err404": "NotFound",
  "llamacpp-err400": "InvalidRequest",
  "llamacpp-err500": "Server",
  "mistral-err401": "Authentication",
  "mistral-err422": "InvalidRequest",
  "ollama-cloud-err400": "ContextLength",
  "ollama-err400": "InvalidRequest",
  "openai-err400": "InvalidRequest",
  "openai-err404": "NotFound",
  "openai-err429": "RateLimit",
  "openrouter-err400-openrouter": "InvalidRequest",
  "openrouter-err400-real": "ContextLength",
  "openrouter-err401": "Authentication",
  "openrouter-err429": "RateLimit",
  "perplexity-err400": "ContextLength",
  "together-err400": "InvalidRequest",
  "xai-err503": "Server",
  "zai-err429": "RateLimit"
}

describe.skipIf(!hasCorpus)(`recorded errors${hasCorpus ? "" : " (skipped: the recordings are not here)"}`, () => {
  for (const id of hasCorpus ? Fs.readdirSync(corpus) : []) {
    const prefix = Object.keys(recorded).find((name) => id.startsWith(name))
    if (prefix !== undefined) {
      it(`classifies ${id} as ${recorded[prefix]}`, () => {
        const { bodyFile, sse, status } = JSON.parse(Fs.readFileSync(new URL(`${id}/case.json`, corpus), "utf8"))
        const body = Fs.readFileSync(new URL(`${id}/${bodyFile}`, corpus), "utf8")
        const last = body.trim().split("\n\n").at(-1) ?? ""

        const kind = classOf(status, fromBody(sse ? last : body, undefined))

        assert.strictEqual(kind, recorded[prefix])
      })
    }
  }
})
