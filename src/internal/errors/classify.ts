/**
 * Chooses the class of a server's error by its status and body together. Neither is enough: servers send a context
 * overflow as 400, 413, 422 or 500, and an empty account as 402, 403 or 429.
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

/** What the rules match: the names and texts of the error and of its upstream errors. */
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

const named = (facts: Facts, pattern: RegExp): boolean => facts.names.some((name) => pattern.test(name))

const worded = (facts: Facts, rule: Rule): boolean => rule.words.test(facts.words)

const says = (facts: Facts, rule: Rule): boolean => named(facts, rule.names) || worded(facts, rule)

/** The HTTP status, or inside a 200 the status in the body. */
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
  // Google's free tier lists metrics whose limit is 0: a retry cannot help.
  if (named(facts, quota.names) || /\bquota exceeded\b.*\blimit: 0\b(?![.,]?\d)/i.test(facts.text)) {
    return true
  }
  // "Add a payment method to raise your rate limit" is advice. A server that states a wait will accept the account later.
  const passing = named(facts, /ratelimit|throttl|limitrequests|(request|token)quotaexceeded/)
  return !passing && worded(facts, quota) && retryAfterFromInfo(info, 0) === undefined
}

const isContextLength = (facts: Facts, status: number | undefined): boolean => {
  if (named(facts, contextLength.names)) {
    return true
  }
  // A cache that the server's requests share is full: the same request can succeed later.
  if ((status === undefined || status >= 500) && sharedCacheFull.test(facts.words)) return false
  // A single request that exceeds a tokens-per-minute limit must be shorter: a retry cannot help.
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
 * The class of an error. For errors inside a 200, such as those in a stream, the status in the body counts.
 *
 * @internal
 */
export const classify = (httpStatus: number | undefined, info: ErrorInfo): ErrorClass => {
  const status = effectiveStatus(httpStatus, info)
  const facts = factsOf(info)
  // A 5xx is retried unless a code, or the wording of a context overflow, shows that a retry cannot help.
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
    // OpenCode's type is `ModelError`, which other servers use for a failure of the model.
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
