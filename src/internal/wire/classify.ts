/**
 * Which class of error a server's answer is: by status and body together, since neither alone is enough. The same
 * overflow comes as 400, 413, 422 or 500, the same empty account as 402, 403 or 429.
 *
 * The wordings are facts about servers, kept as data: a regular expression and who says so.
 *
 * @internal
 */
import { first } from "../json.ts"
import { type ErrorInfo, layersOf } from "./errorBody.ts"
import { retryAfterFromInfo } from "./retryAfter.ts"

/** @internal */
export type ErrorKind =
  | "Authentication"
  | "Permission"
  | "NotFound"
  | "InvalidRequest"
  | "ContextLength"
  | "ContentFilter"
  | "RateLimit"
  | "Quota"
  | "Server"

/** Codes, types and hints, compared in lower case without punctuation: `context_length_exceeded`, `ContextLengthExceeded`. */
interface Rule {
  readonly names: RegExp
  readonly wordings: ReadonlyArray<RegExp>
}

const contextLength: Rule = {
  names:
    /context(length|window|size)(exceeded|overflow|limit|error)|exceedcontextsize|toomanyprompttokens|(prompt|input)(is)?toolong|prompttokensexceeded|tokenslimitreached|^1261$/,
  wordings: [
    /context[ _-]?(length|window|size|limit)[ _](has been |was |is )?(exceed|overflow)/i, // generic; llama.cpp while generating; MiniMax
    /max(imum)?[ _](model[ _]|input[ _])?context[ _](length|window|size)/i, // OpenAI, vLLM, DeepSeek, OpenRouter, Mistral, SambaNova
    /exceed(s|ed|ing)? (the |this |its |your |that )?(model'?s? )?(max(imum)? |available |configured |allowed )?(model |input )?context/i, // OpenAI, llama.cpp, Ollama, Anthropic, Cloudflare
    /\b(prompt|inputs?|messages|conversation|context)( tokens?)? (is |are |was |text is )?too long/i, // Anthropic, Bedrock, Ollama, Perplexity, Fireworks
    /prompt exceeds (the )?(max(imum)? )?(allowed )?(length|size|tokens?)/i, // Z.ai
    /exceeds? the max(imum)? (number of )?(allowed )?(input |prompt )?(tokens|input length)/i, // Gemini, Poolside
    /max(imum)? prompt length is/i, // xAI
    /reduce (the )?(length|size) of (the|your|either) (messages?|prompt|input|conversation|chat)/i, // OpenAI, Groq, Cerebras
    /reduce your message size/i, // Groq, beside a tokens-per-minute limit that no single request can meet
    /(prompt|input) token count of [\d,]+ exceeds/i, // GitHub Copilot
    /(greater|longer|larger) than the (model'?s? )?(max(imum)? )?(context|model) length/i, // LM Studio, Together, SGLang, vLLM
    /when context the overflows|context length of only/i, // LM Studio
    /exceed(s|ed)?( the)?( model'?s?)? (max(imum)? |total )?(input )?tokens? limit/i, // Moonshot, Snowflake
    /(token|tokens|prompt|input) limit (is |was )?exceeded/i, // generic
    /input length[^.]{0,40} exceeds? (the )?max/i, // SGLang, Volcengine
    /tokens.{0,40}exceeds? (the )?max(imum)? message tokens/i, // Volcengine
    /range of input length should be/i, // Alibaba
    /`?inputs`? (must have less than|tokens \+ `?max_new_tokens)/i, // TGI, Together
    /input tokens ([\d,]+ )?(cannot )?exceeds? the/i, // OpenAI, watsonx
    /too many (input |prompt |total )?(tokens|text bytes)/i, // Cohere, Bedrock, HTTP proxies
    /tokens in the prompt cannot exceed/i, // Cohere
    /(too large|too long) for .{0,60}(max(imum)?|size|limit):? ?[\d,]+ (maximum context|tokens)/i, // GitHub Models, Mistral
    /[\d,]+ tokens,? but the configured context/i, // llama.cpp derivatives
    /(greater than|exceeds?|longer than|less than) (the )?(max_seq_len|max_model_len|n_ctx|maximum sequence length)/i, // TabbyAPI, vLLM, SiliconFlow
    /max(imum)? tokens of [\d,]+ exceeded/i, // Snowflake
    /messages\[\d+\]\.content.{0,60}string too long/i, // OpenAI
    /上下文.{0,12}(超|过长|限制|上限)|超[出过长].{0,16}(上下文|最大(输入)?长度|长度限制)/, // Chinese gateways
    /(输入|提示词|消息|对话|prompt)(的|内容|文本|总?长度| ?tokens? ?(数量?)?){0,3} ?([过太]长|超[长出过])/i // Z.ai, Baidu, Tencent
  ]
}

/** A limit that time lifts; such texts say "too many tokens" and "limit exceeded" as well. */
const throttling =
  /rate[ _-]?limit|too many requests|throttl|per[ _-]?(second|min(ute)?|hour|day)|\b[TRQ]P[SMD]\b|please wait|try again (later|in \d)|限流|频[繁率]|速率|每(分钟|秒)|并发/i

const quota: Rule = {
  names:
    /insufficient(user)?(quota|balance|credits?|funds)|creditbalance|creditserror|rejectnocredit|^billing|billinghardlimit|exceededcurrentquota|(spend|budget|usage|credit)(ing)?limit(exceeded|reached)|budgetexceeded|exceededbudget|usagenotincluded|accountoverdue|arrearage|billoverdue|notenoughbalance|paymentrequired|freetieronly|setlimitexceeded|tokenquotafailed|tokenquotareached|^(1113|1308|1309|1310)$/,
  wordings: [
    /exceeded your (current|monthly) (quota|usage|included|credits?)/i, // OpenAI, Hugging Face
    /insufficient[ _](account[ _])?(quota|balance|credits?|funds)/i, // OpenAI, DeepSeek, MiniMax, Z.ai
    /(credit )?balance (is )?(too low|insufficient|not enough|overdue|exhausted)|overdue balance/i, // Anthropic, SiliconFlow, Volcengine
    /(not enough|out of|no|no more|any|ran out of|used all available|requires more|purchase( more)?|add( more)?|buy) credits/i, // xAI, OpenRouter
    /can only afford/i, // OpenRouter
    /(spend(ing)?|billing|budget|credit|usage|monthly|weekly|key|inference) limits? (\([^)]*\) )?(has been |have been |was |is )?(reached|exceeded|exhausted)/i, // OpenAI, Together, OpenRouter, Z.ai
    /reached (its|your|the|a)[^.]{0,40}(spending|usage|billing|monthly|inference|included)[^.]{0,20}limits?/i, // xAI, Anthropic, Volcengine
    /budget has been exceeded|monthly included credits|(calls?|requests) ?\/ ?month/i, // LiteLLM, Hugging Face, Cohere trial
    /account (is |has been )?(in arrears|overdue|not active, please check your billing)|account is in good standing/i, // Alibaba, OpenAI
    /free (tier|quota|allocated quota)[^.]{0,40}(exhausted|exceeded|used up)/i, // Alibaba
    /please recharge|top up your|failure to pay/i, // Moonshot, Fireworks
    /out of (\w+ ){0,2}quota|used up your (\w+ ){0,2}(allocation|quota|credits?)/i, // Azure, Cloudflare
    /(余额|额度|套餐).{0,6}(不足|耗尽|用[完尽]|[到过]期)|欠费|使用上限|请.{0,4}充值/ // Z.ai, new-api
  ]
}

const contentFilter: Rule = {
  names:
    /contentfilter|contentpolicy|usagepolicy|cyberpolicy|contentmoderation|responsibleai|datainspectionfailed|moderationblocked|sensitivecontent|guardrail|safetycheckfailed|unsafecontent|promptblocked|prohibitedcontent|censorship|^1301$/,
  wordings: [
    /content[ _-](management|filter(ing)?)[ _-]?polic|content_filter|filtered due to/i, // Azure, Anthropic
    /(prompt|input|content|request|message)s? (was|were|has been|have been) flagged|requires moderation/i, // OpenAI, OpenRouter
    /violat\w* (of )?(our |the |openai'?s? )?(\w+ )?(usage|content|safety|community|use) (guidelines|polic)/i, // xAI, OpenAI
    /content filter(ing)? (was |is )?triggered|content violates/i, // SAP, iFlytek
    /safety system|(prompt|response|output|input|content) (was |is )?blocked (due to|by|for|because)/i, // OpenAI, Gemini, Cloudflare
    /inappropriate content|potentially unsafe|sensitive content|content exists risk|considered high risk|(in|out)put new_sensitive/i, // Alibaba, Z.ai, DeepSeek, Moonshot, MiniMax
    /敏感(内容|信息|词)|不安全|违规内容|内容(安全|审核|违规)/ // Z.ai, Baidu, Tencent
  ]
}

const modelMissing: Rule = {
  names:
    /model(is)?not(found|exist|available|open)|model(not|un)supported$|deploymentnotfound|endpointormodelnotfound|^notfounderror$|resourcenotfound|^modelerror$|modeldecommissioned|^(invalid|unknown|unavailable)model|nosuchmodel|^1211$/,
  wordings: [
    // The model, perhaps its id, then what is wrong with it.
    /\bmodels?\b( name| id)?[ :=/]*["'`[]?[\w./:@+-]*["'`\]]?,? (is |was |does |do |could |can )?(not? ?(be )?|doesn'?t )(found|exist)/i, // OpenAI, vLLM, Ollama, DeepSeek, Gemini
    /\bmodels?\b( name| id)?[ :=/]*["'`[]?[\w./:@+-]*["'`\]]?,? (is|was|has been|are) (deprecated|decommissioned|retired|shut down|no longer|not (available|loaded|deployed|a valid model))/i, // OpenAI, Groq, LM Studio
    /not a valid model|(invalid|unknown|no such|unsupported) model\b(?! (output|response|param))/i, // OpenRouter, Mistral, LiteLLM, GitHub
    /model (identifier|id|name) is invalid|unexpected endpoint|no route for/i, // Bedrock, LM Studio, Cloudflare
    /requested model is not supported|no models? (is |are )?loaded|try pulling it/i, // GitHub Copilot, LM Studio, Ollama
    /no available channels? for model|unable to access (non-serverless )?model/i, // new-api, Together
    /模型.{0,40}(不存在|未找到|不可用|已下线)|无可用渠道/ // Z.ai, Alibaba, new-api
  ]
}

const authentication: Rule = {
  names:
    /(invalid|incorrect|missing|expired|no)(api)?key|apikey(invalid|expired|missing|notfound)|authentication(error|failed|required)|invalidauth|^authfailure|^unauthorized|unauthenticated|invalidtoken|tokenexpired/,
  wordings: [
    /(invalid|incorrect|missing|expired|wrong|revoked|malformed|unknown|no|valid) (\w+ ){0,2}(api[ _-]?key|access token|authentication|bearer|authorization|credentials?)\b/i, // OpenAI, xAI, Mistral, OpenRouter
    /api[ _-]?key\b.{0,40}(invalid|not valid|incorrect|expired|missing|required|not found|revoked|disabled|not provided)/i, // Gemini, DeepSeek, SiliconFlow
    /(access|security) token\b.{0,40}(invalid|expired|missing)|unregistered callers/i, // Baidu, Bedrock, Gemini
    /provide an api key|login fail|authentication (fail|required|parameter not)|not authenticated/i, // OpenAI, MiniMax, DeepSeek
    /(无效|错误|过期|缺少).{0,7}(令牌|密钥|api ?key)|(令牌|密钥|token).{0,8}(无效|过期|不正确|非法)|(身份验证|鉴权)失败/i // Z.ai, new-api
  ]
}

const permission: Rule = {
  names:
    /permissiondenied|permissionerror|unsupportedcountry|accessdenied|notauthorized|insufficientpermissions?|organizationrestricted/,
  wordings: [
    /(country|region|location|territory)\b.{0,40}(not supported|unsupported|not available)|unsupported (country|region)|not (available|supported) in your (country|region|location)/i, // OpenAI, Gemini
    /insufficient (permissions?|scopes?)|missing scopes?|(not|n't) have (sufficient )?(permissions?|access)|not (allowed|permitted|authorized|authorised) to|permission denied/i, // OpenAI, Bedrock, Hugging Face
    /无权|没有.{0,6}权限|权限不足/ // Z.ai, new-api
  ]
}

const rateLimit: Rule = {
  names:
    /ratelimit|toomanyrequests|throttl|(request|token)quotaexceeded|limitrequests|requestlimitexceeded|^resourceexhausted$|concurrencylimit|^10(39|41)$/,
  wordings: [
    /rate[ -]?limit(ed|ing)?\b|too many requests|throttl|too many tokens, please wait|requests? per (second|minute)|limit reached for RPM|request limit reached/i, // Bedrock gateways, MiniMax, Baidu
    /限流|请求.{0,6}频繁|速率限制|(频率|并发).{0,8}(过高|超|限制)/ // Z.ai, Volcengine
  ]
}

const overloaded = /overloaded|capacityexceeded|nocapacity|engineoverloaded/
const serverFault = /servererror|internal|^apierror$|timeout|unavailable|upstream/
const badRequest =
  /invalidrequest|badrequest|validation|invalidparam|invalidargument|unprocessable|tooluse|^invalid|unsupportedvalue/

/** Said without a status or a code that would tell it: MiniMax, TGI. */
const refusal = /^invalid (params?|parameters?|request|argument|input)\b|validation error/i

/** What the rules look at: the error and the one behind it. */
interface Facts {
  readonly names: ReadonlyArray<string>
  readonly text: string
}

// An echoed request can be megabytes long; what is wrong stands at the front.
const maxText = 4_000

const factsOf = (info: ErrorInfo): Facts => {
  const layers = layersOf(info)
  const names = layers.flatMap(({ code, hints = [], type }) => [code, type, ...hints])
  const texts = layers.map(({ message }) =>
    // Links to "account/rate-limits" or "settings/billing" stand in errors that are about neither.
    message.slice(0, maxText).replace(/https?:\/\/\S+/g, "").replace(/\s+/g, " ").trim()
  )
  return {
    names: names.map((name = "") => name.toLowerCase().replace(/[^a-z0-9]/g, "")).filter((name) => name !== ""),
    text: texts.join("\n")
  }
}

const named = (facts: Facts, pattern: RegExp): boolean => facts.names.some((name) => pattern.test(name))

const worded = (facts: Facts, rule: Rule): boolean => rule.wordings.some((wording) => wording.test(facts.text))

const says = (facts: Facts, rule: Rule): boolean => named(facts, rule.names) || worded(facts, rule)

/** The HTTP status, or inside a 200 the one that the error itself states. */
const effectiveStatus = (status: number | undefined, info: ErrorInfo): number | undefined =>
  status !== undefined && status >= 300
    ? status
    : first(layersOf(info), ({ code = "", status }) => status ?? (/^[45]\d\d$/.test(code) ? Number(code) : undefined))

const isQuota = (facts: Facts, info: ErrorInfo, status: number | undefined): boolean => {
  if (status === 402) return true
  // Alibaba calls its tokens-per-minute limit `insufficient_quota` too; Google names the quota in a hint.
  const perMinute = /(?<!free )allocated quota exceeded/i.test(facts.text) ||
    (named(facts, /per(minute|second)/) && !named(facts, /perday/))
  if (perMinute) return false
  // Google's free tier says which metrics have a limit of nothing: no wait will help.
  if (named(facts, quota.names) || /\bquota exceeded\b.*\blimit: 0\b(?![.,]?\d)/i.test(facts.text)) {
    return true
  }
  // "Add a payment method to raise your rate limit" is advice, and who names a wait has an account that will do.
  const passing = named(facts, /ratelimit|throttl|limitrequests|(request|token)quotaexceeded/)
  return !passing && worded(facts, quota) && retryAfterFromInfo(info) === undefined
}

const isContextLength = (facts: Facts, status: number | undefined): boolean => {
  if (named(facts, contextLength.names)) {
    return true
  }
  // Over a tokens-per-minute limit by a single request: no wait will help, only a shorter request.
  const guarded = status === 413 ? false : throttling.test(facts.text) || named(facts, rateLimit.names)
  return status !== 429 && !guarded && worded(facts, contextLength)
}

const byBody = (facts: Facts): ErrorKind =>
  (named(facts, badRequest) || refusal.test(facts.text)) && !named(facts, serverFault) ? "InvalidRequest" : "Server"

const byStatus = (status: number | undefined, facts: Facts): ErrorKind => {
  if (status === undefined) {
    return byBody(facts)
  }
  if (status === 408 || status === 409 || status === 425 || status >= 498) {
    return "Server"
  }
  return named(facts, overloaded) ? "Server" : "InvalidRequest"
}

/**
 * The class of an error. `status` is the HTTP status: 200 for errors inside a stream, where a status that the error
 * itself states counts.
 *
 * @internal
 */
export const classify = (input: { readonly status: number | undefined; readonly info: ErrorInfo }): ErrorKind => {
  const { info } = input
  const status = effectiveStatus(input.status, info)
  const facts = factsOf(info)
  // A 5xx is retried, so mere wordings do not make it final there, except those of an overflow.
  const fault = status !== undefined && status >= 498
  const clear = (rule: Rule) => fault ? named(facts, rule.names) : says(facts, rule)

  if (status !== 429 && status !== 402 && clear(contentFilter)) {
    return "ContentFilter"
  }
  if (fault ? named(facts, quota.names) : isQuota(facts, info, status)) {
    return "Quota"
  }
  if (isContextLength(facts, status)) {
    return "ContextLength"
  }
  if (status === 429) {
    return "RateLimit"
  }
  if (status === 401 || status === 407) {
    return named(facts, modelMissing.names) ? "NotFound" : worded(facts, permission) ? "Permission" : "Authentication"
  }
  if (status === 404 || status === 410) {
    return "NotFound"
  }
  if (status === 451 || (status === 403 && worded(facts, permission))) {
    return "Permission"
  }
  if (status !== 413 && clear(rateLimit)) {
    return "RateLimit"
  }
  if (clear(modelMissing) && !worded(facts, permission)) {
    return "NotFound"
  }
  if (!fault && says(facts, permission) && !worded(facts, authentication)) {
    return "Permission"
  }
  if (!fault && says(facts, authentication)) {
    return "Authentication"
  }
  return status === 403 ? "Permission" : byStatus(status, facts)
}
