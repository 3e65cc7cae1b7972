/**
 * Reads how long a server asks to wait, and the id that it gave to a request.
 */
import { asText, firstDefined } from "../json.ts"
import { type ErrorInfo, layersOf } from "./errorBody.ts"
import {
  isDuration,
  parseDateMillis,
  parseDecimal,
  parseDurationMillis,
  resetMillis,
  resetsIn,
  toWait
} from "./resets.ts"

/** Response headers with lower-case names. */
export type HeaderFields = Readonly<Record<string, string | undefined>>

/**
 * The wait in milliseconds that the response headers (lower-case names) ask for.
 *
 * `retry-after-ms` is more precise and takes precedence over `retry-after`, unless it is 0: Azure sends
 * `retry-after-ms: 0` with `retry-after: 1`.
 */
export const retryAfterMillis = (headers: HeaderFields, nowMillis: number): number | undefined => {
  const precise = parseDecimal(headers["retry-after-ms"])
  if (precise !== undefined && precise > 0) return toWait(precise)
  const header = headers["retry-after"]
  const seconds = parseDecimal(header)
  if (seconds !== undefined) return resetMillis(header ?? "", nowMillis)
  const at = parseDateMillis(header)
  if (at !== undefined) return toWait(at - nowMillis)
  return header !== undefined && isDuration(header) ? parseDurationMillis(header) : precise
}

/**
 * The wait in milliseconds until all used-up limits in the response headers have reset. A wait that the server asks for
 * takes precedence, because some limits admit a request before they have reset completely.
 */
export const resetAfterMillis = (headers: HeaderFields, nowMillis: number): number | undefined =>
  latestReset(resetsIn(headers), nowMillis)

const latestReset = (resets: ReadonlyArray<string>, nowMillis: number): number | undefined => {
  // A reset in the past is ignored: some servers send it with every response.
  const millis = Math.max(...resets.map((reset) => resetMillis(reset, nowMillis) ?? 0))
  return millis > 0 ? millis : undefined
}

const durationPart =
  /\d{1,12}(?:\.\d{1,12})? ?(?:ms|milliseconds?|seconds?|secs?|minutes?|mins?|hours?|hrs?|days?|[smhd])(?![a-z])/.source

/** Match the wait in a message, whose white space is reduced to single spaces. */
const waitPatterns: ReadonlyArray<RegExp> = [
  // OpenAI, Groq: "Please try again in 6m0s"; Azure: "Please retry after 20 seconds"; Gemini: "Please retry in 33.5s";
  // Moonshot: "please try again after 1 seconds"
  /(?:try(?:ing)? again|retry(?:ing)?) (?:in|after) (?:(?:about|approximately) )?/,
  // GitHub Models: "Please wait 5000 seconds before retrying"
  /\bwait (?:for )?(?:(?:about|another|at least) )?/,
  // Gemini: "Your quota will reset after 13h19m1s"
  /\bresets? (?:in|after) /,
  // Google's RetryInfo quoted in a message: "retryDelay": "34s"
  /retryDelay\\?["']? ?: ?\\?["']?/
].map((prefix) => new RegExp(`${prefix.source}((?:${durationPart}[ ,]*(?:and )?)+)`, "i")).concat(
  // Chinese gateways: 请在 10 秒后重试
  /((?<!\d)\d{1,12}(?:\.\d{1,12})? ?(?:毫?秒|分钟|小时)) ?之?后[再重]?试/
)

/** The wait in milliseconds in the body of an error, as a field or in words. Headers take precedence. */
export const retryAfterFromInfo = (info: ErrorInfo, nowMillis: number): number | undefined =>
  firstDefined(layersOf(info), ({ message, resets = [], retryDelay }) => {
    // Errors that echo the request can be megabytes long; the wait is near the start.
    const maxSearchedLength = 8_000
    const field = retryDelay === undefined
      ? undefined
      : resetMillis(retryDelay, nowMillis)
    const text = message.slice(0, maxSearchedLength).replace(/\s+/g, " ")
    return field ?? parseDurationMillis(firstDefined(waitPatterns, (pattern) => pattern.exec(text)?.[1]) ?? "") ??
      latestReset(resets, nowMillis)
  })

/**
 * Names of headers with the id of a request, in order of preference: the common one, other request ids, the id of a trace,
 * and the id of the content delivery network. Ids that the client sent are excluded.
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

/** The server's id of the request, from response headers with lower-case names. */
export const requestId = (headers: HeaderFields): string | undefined =>
  firstDefined(
    requestIdNames,
    (pattern) =>
      firstDefined(Object.keys(headers), (name) => pattern.test(name) ? asText(headers[name]?.trim()) : undefined)
  )
