/**
 * Chooses the class of a server's error by its status and body together. Neither is enough: servers send a context
 * overflow as 400, 413, 422 or 500, and an empty account as 402, 403 or 429.
 */
import * as ChatError from "../../ChatError.ts"
import { firstDefined } from "../json.ts"
import { type ErrorInfo, layersOf } from "./errorBody.ts"
import { retryAfterFromInfo } from "./retryAfter.ts"
import {
  authentication,
  badRequest,
  contentFilter,
  contextLength,
  modelMissing,
  modelNotFoundText,
  overloaded,
  permanentFault,
  permission,
  plainWords,
  quota,
  rateLimit,
  type Rule,
  serverFault,
  sharedCacheFull,
  throttling
} from "./wordings.ts"

export type ErrorClass =
  | typeof ChatError.AuthenticationError
  | typeof ChatError.PermissionError
  | typeof ChatError.NotFoundError
  | typeof ChatError.InvalidRequestError
  | typeof ChatError.ContextLengthError
  | typeof ChatError.ContentFilterError
  | typeof ChatError.RateLimitError
  | typeof ChatError.QuotaError
  | typeof ChatError.ServerError

/** The names and texts of an error and of its upstream errors, which the rules match. */
interface Facts {
  readonly names: ReadonlyArray<string>
  readonly text: string
  readonly words: string
}

const factsOf = (info: ErrorInfo): Facts => {
  // An echoed request can be megabytes long; the cause is at the start.
  const maxText = 4_000
  const layers = layersOf(info)
  const names = layers.flatMap(({ code, hints = [], type }) => [code, type, ...hints])
  const texts = layers.map(({ message }) =>
    // Links to "account/rate-limits" or "settings/billing" occur in errors of other classes.
    message.slice(0, maxText).replace(/https?:\/\/\S+/g, "").replace(/\s+/g, " ").trim()
  )
  const text = texts.join("\n")
  return {
    names: names.map((name = "") => name.toLowerCase().replace(/[^a-z0-9]/g, "")),
    text,
    words: plainWords(text)
  }
}

const matchesName = (facts: Facts, pattern: RegExp): boolean => facts.names.some((name) => pattern.test(name))

const matchesWords = (facts: Facts, rule: Rule): boolean => rule.words.test(facts.words)

const matchesRule = (facts: Facts, rule: Rule): boolean => matchesName(facts, rule.names) || matchesWords(facts, rule)

/** The HTTP status, or inside a 200 the status in the body. */
const effectiveStatus = (status: number | undefined, info: ErrorInfo): number | undefined =>
  status !== undefined && status >= 300
    ? status
    : firstDefined(
      layersOf(info),
      ({ code = "", status }) => status ?? (/^[45]\d\d$/.test(code) ? Number(code) : undefined)
    )

const isQuota = (facts: Facts, info: ErrorInfo, status: number | undefined): boolean => {
  if (status === 402) return true
  // Alibaba calls its tokens-per-minute limit `insufficient_quota` too; Google names the quota in a hint.
  const isPerMinute = /(?<!free )allocated quota exceeded/i.test(facts.text) ||
    (matchesName(facts, /per(minute|second)/) && !matchesName(facts, /perday/))
  if (isPerMinute) return false
  // Google's free tier lists metrics whose limit is 0: a retry cannot help.
  if (matchesName(facts, quota.names) || /\bquota exceeded\b.*\blimit: 0\b(?![.,]?\d)/i.test(facts.text)) {
    return true
  }
  // "Add a payment method to raise your rate limit" is advice. If the error has a wait, the account can be used after it.
  const isThrottled = matchesName(facts, /ratelimit|throttl|limitrequests|(request|token)quotaexceeded/)
  return !isThrottled && matchesWords(facts, quota) && retryAfterFromInfo(info, 0) === undefined
}

const isContextLength = (facts: Facts, status: number | undefined): boolean => {
  if (matchesName(facts, contextLength.names)) {
    return true
  }
  // A cache that the server's requests share is full: the same request can succeed later.
  if ((status === undefined || status >= 500) && sharedCacheFull.test(facts.words)) return false
  // A single request that exceeds a tokens-per-minute limit must be shorter: a retry cannot help.
  const isThrottled = status === 413 ? false : throttling.test(facts.words) || matchesName(facts, rateLimit.names)
  return status !== 429 && !isThrottled && matchesWords(facts, contextLength)
}

const classOfStatus = (status: number | undefined, facts: Facts): ErrorClass => {
  if (status === undefined) {
    return matchesRule(facts, badRequest) && !matchesName(facts, serverFault)
      ? ChatError.InvalidRequestError
      : ChatError.ServerError
  }
  if (status === 408 || status === 409 || status === 425 || status >= 498) {
    return ChatError.ServerError
  }
  return matchesName(facts, overloaded) ? ChatError.ServerError : ChatError.InvalidRequestError
}

/** The class of an error. For errors inside a 200, such as those in a stream, the status in the body counts. */
export const classify = (httpStatus: number | undefined, info: ErrorInfo): ErrorClass => {
  const status = effectiveStatus(httpStatus, info)
  const facts = factsOf(info)
  // For a 5xx only codes count, and the words of a context overflow or a permanent fault: other 5xx errors are retried.
  const isFault = status !== undefined && status >= 498
  const applies = (rule: Rule) => isFault ? matchesName(facts, rule.names) : matchesRule(facts, rule)

  if (status !== 429 && status !== 402 && applies(contentFilter)) {
    return ChatError.ContentFilterError
  }
  if (isFault ? matchesName(facts, quota.names) : isQuota(facts, info, status)) {
    return ChatError.QuotaError
  }
  if (isContextLength(facts, status)) {
    return ChatError.ContextLengthError
  }
  if ((isFault || status === undefined) && permanentFault.test(facts.words)) {
    return ChatError.InvalidRequestError
  }
  if (status === 429) {
    return ChatError.RateLimitError
  }
  if (status === 401 || status === 407) {
    // OpenCode's type is `ModelError`, which other servers use for a failure of the model.
    return matchesName(facts, modelMissing.names) || matchesName(facts, /^modelerror$/)
      ? ChatError.NotFoundError
      : matchesWords(facts, permission)
      ? ChatError.PermissionError
      : ChatError.AuthenticationError
  }
  if (status === 404 || status === 410) {
    return ChatError.NotFoundError
  }
  if (status === 451 || (status === 403 && matchesWords(facts, permission))) {
    return ChatError.PermissionError
  }
  if (status !== 413 && applies(rateLimit)) {
    return ChatError.RateLimitError
  }
  if (
    (applies(modelMissing) || (!isFault && modelNotFoundText.test(facts.text))) && !matchesWords(facts, permission)
  ) {
    return ChatError.NotFoundError
  }
  if (!isFault && matchesRule(facts, permission) && !matchesWords(facts, authentication)) {
    return ChatError.PermissionError
  }
  if (!isFault && matchesRule(facts, authentication)) {
    return ChatError.AuthenticationError
  }
  return status === 403 ? ChatError.PermissionError : classOfStatus(status, facts)
}
