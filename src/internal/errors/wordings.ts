/**
 * The codes, types and messages with which servers report each class of error.
 *
 * Messages are matched as plain words: without capitals, punctuation, articles, forms of "to be", and the endings of
 * plurals and participles. A comment after each pattern names the servers that use it.
 */

/** Recognizes a class of errors by its names and by its words. */
export interface Rule {
  /** For codes, types and hints in lower case without punctuation: `contextlengthexceeded`. */
  readonly names: RegExp
  /** For texts made plain by {@link plainWords}. */
  readonly words: RegExp
}

/** Words that are ignored. */
const fillers = /\b(an?|the|this|that|your|our|its|is|are|was|were|be|of|(ha(s|ve) )?been)\b ?/g

/** Words without their endings: `exceeds` and `exceeded` become `exceed`. */
const stems = (text: string): string =>
  text.replace(fillers, "").replace(/\b(\w{3,}?)((?<!e)ed|s)\b/g, "$1").replaceAll("maximum", "max")

/** A text in the form that the patterns match: one sentence per line, and 9 for every number. */
export const plainWords = (text: string): string =>
  stems(
    text.toLowerCase().replace(/['’`]/g, "").replace(/\d[\d,.]*/g, "9").replace(/[.!?](?!\S)/g, "\n")
      .replace(/[^\p{L}\d\n:]+/gu, " ")
  )

/** `~` matches up to 60 characters of the same sentence. Chinese has a pattern of its own: it has no spaces. */
const wordsPattern = (wordings: ReadonlyArray<string>, chinese: RegExp): RegExp =>
  new RegExp(`\\b(${stems(wordings.join("|")).replaceAll("~", ".{0,60}")})|${chinese.source}`)

export const contextLength: Rule = {
  names:
    /context(length|window|size)(exceeded|overflow|limit|error)|exceedcontextsize|toomanyprompttokens|(prompt|input)(is)?toolong|prompttokensexceeded|tokenslimitreached|^1261$/,
  words: wordsPattern(
    [
      "context ?(length|window|size|limit) (exceeded|overflow)", // generic; llama.cpp while generating; MiniMax
      "maximum (model |input )?context (length|window|size)", // OpenAI, vLLM, DeepSeek, OpenRouter, Mistral, SambaNova
      "exceed(ing)? (model )?(maximum |available |configured |allowed )?(model |input )?context", // OpenAI, llama.cpp, Ollama, Anthropic, Cloudflare
      "(prompt|input|messages|conversation|context)( tokens| text)? too long", // Anthropic, Bedrock, Ollama, Perplexity, Fireworks
      "prompt exceeds (maximum )?(allowed )?(length|size|tokens)", // Z.ai
      "exceeds maximum (number )?(allowed )?(input |prompt |message )?(tokens|input length)", // Gemini, Poolside, Volcengine
      "maximum prompt length", // xAI
      "reduce (length|size) (either )?(messages|prompt|input|conversation|chat)", // OpenAI, Groq, Cerebras
      "reduce message size", // Groq, with a tokens-per-minute limit that no single request can meet
      "(prompt|input) token count 9 exceeds", // GitHub Copilot
      "(greater|longer|larger) than (model )?(maximum )?(context|model) length", // LM Studio, Together, SGLang, vLLM
      "when context overflows|context length only", // LM Studio
      "exceed (model )?(maximum |total )?(input )?token limit", // Moonshot, Snowflake
      "(token|prompt|input) limit exceeded", // generic
      "input length~ exceeds max", // SGLang, Volcengine
      "range input length should", // Alibaba
      "inputs (must have less than|tokens max new tokens)", // TGI, Together
      "input tokens (9 )?(cannot )?exceed", // OpenAI, watsonx
      "too many (input |prompt |total )?(tokens|text bytes)", // Cohere, Bedrock, HTTP proxies
      "tokens in prompt cannot exceed", // Cohere
      "too (large|long) for [^]{0,60}(max|size|limit):? 9 (maximum context|tokens)", // GitHub Models, Mistral
      "9 tokens but configured context", // llama.cpp derivatives
      "(greater than|exceeds|longer than|less than) (max seq len|max model len|n ctx|maximum sequence length)", // TabbyAPI, vLLM, SiliconFlow
      "maximum tokens 9 exceeded", // Snowflake
      "messages 9 content~ string too long" // OpenAI
    ],
    /上下文.{0,12}(超|过长|限制|上限)|超(出|过|长).{0,16}(上下文|最大(输入)?长度|长度限制)|(输入|提示词|消息|对话|prompt)(的|内容|文本|总?长度| ?token ?(数量?)?){0,3} ?(过长|超长|太长|超出|超过)/
  ) // Chinese gateways; Z.ai, Baidu, Tencent
}

/** llama.cpp's server error (500, or within a stream) for a full cache that slots share. */
export const sharedCacheFull = wordsPattern(["context size exceeded"], /(?!)/)

/** Server errors (500) of llama.cpp that a retry cannot fix, because the request itself is refused. */
export const permanentFault = wordsPattern(
  [
    "(image|audio|video|multimodal|media) (input|data|file)?~(not supported|unsupported)",
    "(image|audio|video|multimodal) not supported|unsupported (content part|param)",
    "context shift disabled|input too large to process",
    "params? requires? jinja|failed to parse (messages|tools|grammar)|invalid grammar",
    "conversation roles must alternate|no user query found"
  ],
  /(?!)/
)

export const quota: Rule = {
  names:
    /insufficient(user)?(quota|balance|credit|funds)|creditbalance|creditserror|rejectnocredit|^billing|billinghardlimit|exceededcurrentquota|(spend|budget|usage|credit)(ing)?limit(exceeded|reached)|budgetexceeded|exceededbudget|usagenotincluded|accountoverdue|arrearage|billoverdue|notenoughbalance|paymentrequired|freetieronly|setlimitexceeded|tokenquotafailed|tokenquotareached|^(1113|1308|1309|1310)$/,
  words: wordsPattern(
    [
      "exceeded (current|monthly) (quota|usage|included|credits)", // OpenAI, Hugging Face
      "insufficient (account )?(quota|balance|credits|funds)", // OpenAI, DeepSeek, MiniMax, Z.ai
      "balance (too low|insufficient|not enough|overdue|exhausted)|overdue balance", // Anthropic, SiliconFlow, Volcengine
      "(not enough|out|no|no more|any|used all available|requires more|purchase|purchase more|add|add more|buy) credits", // xAI, OpenRouter
      "can only afford", // OpenRouter
      "(spend|spending|billing|budget|credit|usage|monthly|weekly|key|inference) limits (\\w+ ){0,3}(reached|exceeded|exhausted)", // OpenAI, Together, OpenRouter, Z.ai
      "reached~(spending|usage|billing|monthly|inference|included)~limit", // xAI, Anthropic, Volcengine
      "budget exceeded|monthly included credits|(calls?|requests) month", // LiteLLM, Hugging Face, Cohere trial
      "account (in arrears|overdue|not active please check billing)|account in good standing", // Alibaba, OpenAI
      "free (tier|quota|allocated quota)~(exhausted|exceeded|used up)", // Alibaba
      "please recharge|top up|failure to pay", // Moonshot, Fireworks
      "out (\\w+ ){0,2}quota|used up (\\w+ ){0,2}(allocation|quota|credits)" // Azure, Cloudflare
    ],
    /余额不足|余额.{0,6}(耗尽|用完)|欠费|额度(不足|已?用(完|尽)|已?耗尽)|套餐.{0,6}(到期|过期|用完|用尽)|使用上限|请.{0,4}充值/
  ) // Z.ai, new-api
}

export const contentFilter: Rule = {
  names:
    /contentfilter|contentpolicy|usagepolicy|cyberpolicy|contentmoderation|responsibleai|datainspectionfailed|moderationblocked|sensitivecontent|guardrail|safetycheckfailed|unsafecontent|promptblocked|prohibitedcontent|censorship|^1301$/,
  words: wordsPattern([
    "content (management polic|filter)|filtered due to", // Azure, Anthropic, SAP
    "(prompt|input|content|request|message) flagged|requires moderation", // OpenAI, OpenRouter
    "violat\\w* (openai )?(\\w+ )?(usage|content|safety|community|use) (guideline|polic)|content violates", // xAI, OpenAI, iFlytek
    "safety system|(prompt|response|output|input|content) blocked (due to|by|for|because)", // OpenAI, Gemini, Cloudflare
    "inappropriate content|potentially unsafe|sensitive content|content exists risk|considered high risk|(in|out)put new sensitive" // Alibaba, Z.ai, DeepSeek, Moonshot, MiniMax
  ], /敏感(内容|信息|词)|不安全|违规内容|内容(安全|审核|违规)/) // Z.ai, Baidu, Tencent
}

/** An optional model name, then the problem. Matches the original text, because a name can have any form. */
export const modelNotFoundText =
  /\bmodels?\b( name| id)?[ :=/]{0,3}["'`[]?[\w./:@+-]{0,200}["'`\]]?,? ((is |was |does |do |could |can )?(not? ?(be )?|doesn'?t )(found|exist)|(is|was|has been|are) (deprecated|decommissioned|retired|shut down|no longer|not (available|loaded|deployed|a valid model)))/i // OpenAI, vLLM, Ollama, DeepSeek, Gemini, Groq, LM Studio

export const modelMissing: Rule = {
  names:
    /model(is)?not(found|exist|available|open)|model(not|un)supported$|deploymentnotfound|^notfounderror$|resourcenotfound|modeldecommissioned|^(invalid|unknown|unavailable)model|nosuchmodel|^1211$/,
  words: wordsPattern([
    "not valid model|(invalid|unknown|no such|unsupported) model\\b(?! (output|response|param))", // OpenRouter, Mistral, LiteLLM, GitHub
    "model (identifier|id|name) invalid|unexpected endpoint|no route for", // Bedrock, LM Studio, Cloudflare
    "requested model not supported|no models loaded|try pulling it", // GitHub Copilot, LM Studio, Ollama
    "no available channels for model|unable to access (non serverless )?model" // new-api, Together
  ], /模型.{0,40}(不存在|未找到|不可用|已下线)|无可用渠道/) // Z.ai, Alibaba, new-api
}

export const authentication: Rule = {
  names:
    /(invalid|incorrect|missing|expired|no)(api)?key|apikey(invalid|expired|missing|notfound)|authentication(error|failed|required)|invalidauth|^authfailure|^unauthorized|unauthenticated|invalidtoken|tokenexpired/,
  words: wordsPattern(
    [
      "(invalid|incorrect|missing|expired|wrong|revoked|malformed|unknown|no|valid) (\\w+ ){0,2}(api ?key|access token|authentication|bearer|authorization|credentials)\\b", // OpenAI, xAI, Mistral, OpenRouter
      "api ?key~(invalid|not valid|incorrect|expired|missing|required|not found|revoked|disabled|not provided)", // Gemini, DeepSeek, SiliconFlow
      "(access|security) token~(invalid|expired|missing)|unregistered callers", // Baidu, Bedrock, Gemini
      "provide api key|login fail|authentication (fail|required|parameter not)|not authenticated" // OpenAI, MiniMax, DeepSeek
    ],
    /(无效|错误|过期|缺少)的?.{0,6}(令牌|密钥|api ?key)|(令牌|密钥|token).{0,8}(无效|过期|不正确|非法)|身份验证失败|鉴权失败/
  ) // Z.ai, new-api
}

export const permission: Rule = {
  names:
    /permissiondenied|permissionerror|unsupportedcountry|accessdenied|notauthorized|insufficientpermission|organizationrestricted/,
  words: wordsPattern([
    "(country|region|location|territory)\\b~(not supported|unsupported|not available)|unsupported (country|region)|not (available|supported) in (country|region|location)", // OpenAI, Gemini
    "insufficient (permission|scope)|missing scope|(not|\\w+nt) have (sufficient )?(permission|access)|not (allowed|permitted|authorized|authorised) to|permission denied" // OpenAI, Bedrock, Hugging Face
  ], /无权|没有.{0,6}权限|权限不足/) // Z.ai, new-api
}

export const rateLimit: Rule = {
  names:
    /ratelimit|toomanyrequests|throttl|(request|token)quotaexceeded|limitrequests|requestlimitexceeded|^resourceexhausted$|concurrencylimit|^10(39|41)$/,
  words: wordsPattern(
    ["rate ?limit(ing)?\\b|too many requests|throttl|too many tokens please wait|requests per (second|minute)|limit reached for rpm|request limit reached"], // Bedrock gateways, MiniMax, Baidu
    /限流|请求.{0,6}频繁|速率限制|频率.{0,4}(过高|限制)|并发.{0,8}(过高|超|限制)/ // Z.ai, Volcengine
  )
}

/** A limit per time. Such texts may also say "too many tokens" and "limit exceeded", like a context overflow. */
export const throttling = wordsPattern(
  ["rate ?limit|too many requests|throttl|per (second|min|hour|day)|[trq]p[smd]\\b|please wait|try again (later|in 9)"],
  /限流|频繁|速率|频率|每分钟|每秒|并发/
)

export const overloaded = /overloaded|capacityexceeded|nocapacity/

export const serverFault = /servererror|internal|^apierror$|timeout|unavailable|upstream/

/** `words` are those of MiniMax and TGI, which send neither a status nor a code. */
export const badRequest: Rule = {
  names:
    /invalidrequest|badrequest|validation|invalidparam|invalidargument|unprocessable|tooluse|^invalid|unsupportedvalue/,
  words: /^invalid (params?|parameters?|request|argument|input)\b|validation error/
}
