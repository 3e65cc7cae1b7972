/**
 * Which class of error a server's answer is: by status and body together, since neither alone is enough. The same
 * overflow comes as 400, 413, 422 or 500, the same empty account as 402, 403 or 429.
 *
 * @internal
 */
import * as ChatError from "../../ChatError.ts"
import { first } from "../json.ts"
import { type ErrorInfo, layersOf } from "./errorBody.ts"
import { retryAfterFromInfo } from "./retryAfter.ts"
import {
  authentication,
  badRequest,
  contentFilter,
  contextLength,
  modelIsNot,
  modelMissing,
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

/** @internal */
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

/** What the rules look at: the error and the one behind it. */
interface Facts {
  readonly names: ReadonlyArray<string>
  readonly text: string
  readonly words: string
}

const factsOf = (info: ErrorInfo): Facts => {
  // An echoed request can be megabytes long; what is wrong stands at the front.
  const maxText = 4_000
  const layers = layersOf(info)
  const names = layers.flatMap(({ code, hints = [], type }) => [code, type, ...hints])
  const texts = layers.map(({ message }) =>
    // Links to "account/rate-limits" or "settings/billing" stand in errors that are about neither.
    message.slice(0, maxText).replace(/https?:\/\/\S+/g, "").replace(/\s+/g, " ").trim()
  )
  const text = texts.join("\n")
  return {
    names: names.map((name = "") => name.toLowerCase().replace(/[^a-z0-9]/g, "")),
    text,
    words: plainWords(text)
  }
}

const named = (facts: Facts, pattern: RegExp): boolean => facts.names.some((name) => pattern.test(name))

const worded = (facts: Facts, rule: Rule): boolean => rule.words.test(facts.words)

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
  return !passing && worded(facts, quota) && retryAfterFromInfo(info, 0) === undefined
}

const isContextLength = (facts: Facts, status: number | undefined): boolean => {
  if (named(facts, contextLength.names)) {
    return true
  }
  // The cache that all requests of the server share is full: the same request can succeed later.
  if ((status === undefined || status >= 500) && sharedCacheFull.test(facts.words)) return false
  // Over a tokens-per-minute limit by a single request: no wait will help, only a shorter request.
  const guarded = status === 413 ? false : throttling.test(facts.words) || named(facts, rateLimit.names)
  return status !== 429 && !guarded && worded(facts, contextLength)
}

const byStatus = (status: number | undefined, facts: Facts): ErrorClass => {
  if (status === undefined) {
    return says(facts, badRequest) && !named(facts, serverFault) ? ChatError.InvalidRequestError : ChatError.ServerError
  }
  if (status === 408 || status === 409 || status === 425 || status >= 498) {
    return ChatError.ServerError
  }
  return named(facts, overloaded) ? ChatError.ServerError : ChatError.InvalidRequestError
}

/**
 * The class of an error. The HTTP status is 200 for errors inside a stream, where a status that the error
 * itself states counts.
 *
 * @internal
 */
export const classify = (httpStatus: number | undefined, info: ErrorInfo): ErrorClass => {
  const status = effectiveStatus(httpStatus, info)
  const facts = factsOf(info)
  // A 5xx is retried, so mere wordings do not make it final there, except those of an overflow.
  const fault = status !== undefined && status >= 498
  const clear = (rule: Rule) => fault ? named(facts, rule.names) : says(facts, rule)

  if (status !== 429 && status !== 402 && clear(contentFilter)) {
    return ChatError.ContentFilterError
  }
  if (fault ? named(facts, quota.names) : isQuota(facts, info, status)) {
    return ChatError.QuotaError
  }
  if (isContextLength(facts, status)) {
    return ChatError.ContextLengthError
  }
  if ((fault || status === undefined) && permanentFault.test(facts.words)) {
    return ChatError.InvalidRequestError
  }
  if (status === 429) {
    return ChatError.RateLimitError
  }
  if (status === 401 || status === 407) {
    // OpenCode calls it a `ModelError`, which is the model's own failure elsewhere.
    return named(facts, modelMissing.names) || named(facts, /^modelerror$/)
      ? ChatError.NotFoundError
      : worded(facts, permission)
      ? ChatError.PermissionError
      : ChatError.AuthenticationError
  }
  if (status === 404 || status === 410) {
    return ChatError.NotFoundError
  }
  if (status === 451 || (status === 403 && worded(facts, permission))) {
    return ChatError.PermissionError
  }
  if (status !== 413 && clear(rateLimit)) {
    return ChatError.RateLimitError
  }
  if ((clear(modelMissing) || (!fault && modelIsNot.test(facts.text))) && !worded(facts, permission)) {
    return ChatError.NotFoundError
  }
  if (!fault && says(facts, permission) && !worded(facts, authentication)) {
    return ChatError.PermissionError
  }
  if (!fault && says(facts, authentication)) {
    return ChatError.AuthenticationError
  }
  return status === 403 ? ChatError.PermissionError : byStatus(status, facts)
}
