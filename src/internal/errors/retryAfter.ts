/**
 * How long a server asks to be left alone, and the name it gave to a request.
 *
 * @internal
 */
import { asText, first } from "../json.ts"
import { type ErrorInfo, layersOf } from "./errorBody.ts"

/** Response headers with lower-case names. */
export type HeaderFields = Readonly<Record<string, string | undefined>>

const number = (text = ""): number | undefined => /^\s*(?:\d+\.?\d*|\.\d+)\s*$/.test(text) ? Number(text) : undefined

// The obsolete asctime form has no zone and still means GMT; `Date.parse` would take it as local time.
const httpDate = (text = ""): number | undefined => {
  const zoned = /(?:GMT|UTC|Z|[+-]\d{2}:?\d{2})\s*$/i.test(text) ? text : `${text} GMT`
  const at = /\d:\d\d/.test(text) ? Date.parse(zoned) : NaN
  return Number.isNaN(at) ? undefined : at
}

/**
 * The wait in milliseconds that the response headers (lower-case names) ask for.
 *
 * `retry-after-ms` is the more precise and wins, except that its 0 gives way to a `retry-after`: Azure sends
 * `retry-after-ms: 0` with `retry-after: 1`, and calling again at once would be sooner than the server said.
 *
 * @internal
 */
export const retryAfterMillis = (headers: HeaderFields, nowMillis: number): number | undefined => {
  const precise = number(headers["retry-after-ms"])
  if (precise !== undefined && precise > 0) {
    return Math.ceil(precise)
  }
  const header = headers["retry-after"]
  const seconds = number(header)
  if (seconds !== undefined) {
    return Math.ceil(seconds * 1_000)
  }
  const at = httpDate(header)
  return at === undefined ? precise : Math.max(0, at - nowMillis)
}

const part =
  /\d+(?:\.\d+)? ?(?:ms|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[smhd])(?![a-z])/.source

/** For texts with single spaces. */
const stated: ReadonlyArray<RegExp> = [
  // OpenAI, Groq: "Please try again in 6m0s"; Azure: "Please retry after 20 seconds"; Gemini: "Please retry in 33.5s";
  // Moonshot: "please try again after 1 seconds"
  /(?:try(?:ing)? again|retry(?:ing)?) (?:in|after) (?:(?:about|approximately) )?/,
  // GitHub Models: "Please wait 5000 seconds before retrying"
  /\bwait (?:for )?(?:(?:about|another|at least) )?/,
  // Gemini: "Your quota will reset after 13h19m1s"
  /\bresets? (?:in|after) /,
  // Google's RetryInfo quoted in a message: "retryDelay": "34s"
  /retryDelay\\?["']? ?: ?\\?["']?/
].map((before) => new RegExp(`${before.source}((?:${part}[ ,]*(?:and )?)+)`, "i")).concat(
  // Chinese gateways: 请在 10 秒后重试
  /(\d+(?:\.\d+)? ?(?:毫?秒|分钟|小时)) ?之?后[再重]?试/
)

/** Milliseconds by what a unit's name begins with. */
const units: ReadonlyArray<readonly [RegExp, number]> = [
  [/^(?:ms|milli|毫)/, 1],
  [/^(?:m|分)/, 60_000],
  [/^(?:h|小)/, 3_600_000],
  [/^d/, 86_400_000]
]

const unitOf = (name: string): number => units.find(([start]) => start.test(name.toLowerCase()))?.[1] ?? 1_000

const durationMillis = (text: string): number | undefined => {
  const bare = number(text)
  if (bare !== undefined) {
    return Math.ceil(bare * 1_000)
  }
  const parts = [...text.matchAll(/(\d+(?:\.\d+)?)\s*(\p{L}+)/gu)]
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * unitOf(unit ?? "s"), 0)
  // Rounded to the microsecond first: 2.007 * 1000 must not become 2008 by a floating-point tail.
  return parts.length === 0 ? undefined : Math.ceil(Number(total.toFixed(3)))
}

/**
 * The wait in milliseconds that the error itself states, as a field or in words. Ranks below the headers.
 *
 * @internal
 */
export const retryAfterFromInfo = (info: ErrorInfo): number | undefined =>
  first(layersOf(info), ({ message, retryDelay }) => {
    // Errors that echo the request can be megabytes long; the wait is never that far in.
    const maxSearched = 8_000
    const field = retryDelay === undefined ? undefined : durationMillis(retryDelay)
    const said = message.slice(0, maxSearched).replace(/\s+/g, " ")
    return field ?? durationMillis(first(stated, (pattern) => pattern.exec(said)?.[1]) ?? "")
  })

/**
 * Names of headers that have the id of a request, the best first: what support staff know best, any other request's id,
 * that of its trace, and the delivery network's. An id that the client gave is none.
 */
const requestIdNames: ReadonlyArray<RegExp> = [
  /^x-request-id$/, // OpenAI, Groq, xAI, Together, vLLM
  // `request-id` (Anthropic), `apim-` and `x-ms-request-id` (Azure), `x-amzn-requestid` (Bedrock), `x-kong-request-id`
  // (Mistral), `msh-request-id` (Moonshot), `x-dashscope-request-id` (Alibaba), `nvcf-reqid` (NVIDIA)
  /\b(?<!client-)req(uest)?-?id$/,
  // `mistral-correlation-id`, `x-ds-trace-id` (DeepSeek), `x-siliconcloud-trace-id`, `x-log-id` (Z.ai), `x-tt-logid`
  // (Volcengine), `x-generation-id` (OpenRouter), `x-inference-id`, `x-vercel-id`
  /\b(correlation|trace|log|generation|inference|vercel)-?id$/,
  /^cf-ray$/ // Cloudflare
]

/**
 * The id under which the server knows the request, from response headers with lower-case names.
 *
 * @internal
 */
export const requestId = (headers: HeaderFields): string | undefined =>
  first(
    requestIdNames,
    (pattern) => first(Object.keys(headers), (name) => pattern.test(name) ? asText(headers[name]?.trim()) : undefined)
  )
