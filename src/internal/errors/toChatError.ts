/**
 * Turns what went wrong with a request into the error that says so.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Duration from "effect/Duration"
import * as ChatError from "../../ChatError.ts"
import { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Problem } from "../decode/decoder.ts"
import { asText, defined } from "../json.ts"
import type { TimedOut } from "../transport/deadlines.ts"
import { DecompressionError } from "../transport/decompression.ts"
import { classify } from "./classify.ts"
import { type ErrorInfo, fromBody, statusText, wordsOf } from "./errorBody.ts"
import { scrubAll, scrubAndCut, scrubCause, type Secrets } from "./redaction.ts"
import { type HeaderFields, requestId, resetAfterMillis, retryAfterFromInfo, retryAfterMillis } from "./retryAfter.ts"

export { secretsOf } from "./redaction.ts"

/** What is known of the exchange that failed. */
export interface Context {
  readonly config: LLMConfig
  readonly secrets: Secrets
  readonly status: number | undefined
  readonly headers: HeaderFields
  /** The date of the Clock in milliseconds, which a `Retry-After` date is compared with. */
  readonly now: number
  readonly partial: ChatResponse | undefined
}

/** How many characters are kept of a message or a body, and of a name such as a code. */
const kept = 8192
const keptName = 256

const details = (
  { headers, partial, secrets, status }: Context,
  message: string,
  body: string,
  more?: Partial<ChatError.Details>
): ChatError.Details => {
  const id = requestId(headers)
  return defined({
    message: scrubAndCut(message, secrets, kept),
    status,
    requestId: id && scrubAndCut(id, secrets, keptName),
    body: asText(scrubAndCut(body, secrets, kept)),
    partial: partial && scrubResponse(partial, secrets),
    ...more
  })
}

const scrubResponse = (response: ChatResponse, secrets: Secrets): ChatResponse => {
  const clean = scrubAll(response, secrets)
  return clean === response ? response : ChatResponse.make(Object.assign({}, response, clean))
}

/** What servers say of their errors in `x-should-retry`, which counts more than the class of the error. */
const retryVerdicts = new WeakMap<ChatError.ChatError, boolean>()

/** Whether the server said that the request should be sent again, undefined where it said nothing. */
export const saysToRetry = (error: ChatError.ChatError): boolean | undefined => retryVerdicts.get(error)

/** The error that the server sent, by status and body together. */
const fromInfo = (context: Context, info: ErrorInfo, body: string): ChatError.ChatError => {
  const { headers, now, secrets, status = 200 } = context
  const name = (text: string | undefined) => text === undefined ? undefined : scrubAndCut(text, secrets, keptName)
  // An error without words that are known as such: its status says most, and within a success its body does.
  const message = wordsOf(info) || (status < 300 ? body.trim() : "") || statusText(status)
  const mayPass = status === 429 || status >= 500 || status < 300
  const asked = retryAfterMillis(headers, now) ?? retryAfterFromInfo(info, now)
  // "At once" is no answer to when a limit resets that is used up.
  const millis = asked || ((mayPass ? resetAfterMillis(headers, now) : undefined) ?? asked)
  const fields = details(context, message, body, {
    code: name(info.code),
    type: name(info.type),
    retryAfter: millis === undefined ? undefined : Duration.millis(millis)
  })
  const error = new (classify(context.status, info))(fields)
  const verdict = headers["x-should-retry"]?.trim().toLowerCase()
  if (verdict === "true" || verdict === "false") retryVerdicts.set(error, verdict === "true")
  return error
}

/** An answer with a status that is no success. */
export const fromStatus = (context: Context, body: string): ChatError.ChatError => {
  const status = context.status ?? 0
  if (status === 0) return fromOpaqueRedirect(context)
  if (status >= 300 && status < 400) return fromRedirect(context, context.headers["location"] ?? "nowhere", body)
  return fromInfo(context, fromBody(body, context.headers["content-type"]), body)
}

/** A redirect that is not followed: to another origin, where neither key nor prompt was meant to go, or one of too many. */
export const fromRedirect = (context: Context, target: string, body: string): ChatError.ChatError => {
  const { baseUrl } = context.config
  const url = URL.canParse(target, baseUrl) ? new URL(target, baseUrl) : undefined
  const isLoop = (context.status === 307 || context.status === 308) && url?.origin === new URL(baseUrl).origin
  const message = isLoop
    ? `The server redirects too often, the last time to ${target}`
    : `The server redirects to ${target}: set baseUrl to where it lives`
  return new ChatError.InvalidRequestError(details(context, message, body))
}

/** In a browser, `fetch` does not tell where a redirect leads that it does not follow. */
const fromOpaqueRedirect = (context: Context): ChatError.ChatError => {
  const message = "The server redirects, and this platform does not tell where to: set baseUrl to the address behind it"
  return new ChatError.InvalidRequestError(details({ ...context, status: undefined }, message, ""))
}

/** A 200 that is no whole answer. */
export const fromProblem = (context: Context, problem: Problem): ChatError.ChatError => {
  if (problem._tag === "ReportedError") return fromInfo(context, problem.info, problem.body)
  const Class = problem._tag === "Truncated" ? ChatError.TruncatedError : ChatError.MalformedResponseError
  return new Class(details(context, problem.message, problem.body))
}

/** The messages of an error and of those beneath it, each after a colon, without what repeats. */
const chain = (cause: unknown): string => {
  const seen = new Set([""])
  let next: unknown = cause
  for (let depth = 0; depth < 5 && next instanceof Error; depth++) {
    seen.add(next.message === "" && "code" in next ? String(next.code) : next.message)
    next = (next instanceof AggregateError ? next.errors[0] : undefined) ?? next.cause
  }
  return [...seen].join(": ")
}

/** What an error says that comes of the client's: its cause is what is beneath that. */
const beneath = (
  context: Context,
  message: string,
  error: HttpClientError.HttpClientError
): ChatError.Details => {
  const cause = error.cause ?? error
  return details(context, message + chain(cause), "", { cause: scrubCause(cause, context.secrets) })
}

/** The server was not reached, the connection broke, or its bytes cannot be decoded. */
export const fromTransport = (
  context: Context,
  what: string,
  error: HttpClientError.HttpClientError
): ChatError.ChatError => {
  // `fetch` decodes by the header alone, and keeps the bytes of what is not compressed to itself.
  if (error.cause instanceof DecompressionError || hasCode(error.cause, /^Z_|^ERR_(?:_ERROR_F|BROTLI|ZSTD|PADDING)/)) {
    return new ChatError.MalformedResponseError(beneath(context, "The answer is not compressed as it says", error))
  }
  return hasCode(error.cause, /^UND_ERR_(?:HEADERS|BODY)_TIMEOUT$/)
    ? fromLimitOfFetch(context, error)
    : new ChatError.TransportError(beneath(context, `${what} ${context.config.baseUrl}`, error))
}

/** Whether an error, or one beneath it, has such a code. Node's `fetch` gives up by itself if no bytes come for some time. */
const hasCode = (cause: unknown, code: RegExp, depth = 5): boolean =>
  cause instanceof Error && depth > 0 &&
  (("code" in cause && code.test(String(cause.code))) || hasCode(cause.cause, code, depth - 1))

const fromLimitOfFetch = (context: Context, error: HttpClientError.HttpClientError): ChatError.ChatError => {
  const limit = Duration.seconds(300)
  const message =
    "fetch gave up after its own limit, 300 seconds without a byte: NodeHttpClient.layerUndici has no such limit"
  return new ChatError.TimeoutError({
    ...details(context, message, "", { cause: scrubCause(error.cause, context.secrets) }),
    phase: context.partial === undefined ? "firstToken" : "idle",
    limit
  })
}

const phases = {
  firstToken: "sent nothing of its answer within",
  idle: "sent nothing more of its answer for",
  total: "did not end its answer within"
}

/** A limit was passed. `body` is what had come of an error's body, `cause` the error that a further try was to mend. */
export const fromTimeout = (
  context: Context,
  { limit, phase }: TimedOut,
  body: string,
  cause?: ChatError.ChatError
): ChatError.ChatError =>
  new ChatError.TimeoutError({
    ...details(context, `The server ${phases[phase]} ${Duration.format(limit)}`, body, { cause }),
    phase,
    limit
  })

/** The HTTP client could not make a request of what it was given. */
export const fromRequest = (context: Context, error: HttpClientError.HttpClientError): ChatError.ChatError =>
  new ChatError.InvalidRequestError(
    beneath(context, `The request to ${context.config.baseUrl} cannot be sent`, error)
  )

/** The error with other values in some fields. */
export const change = <E extends ChatError.ChatError>(error: E, fields: Partial<ChatError.Details>): E => {
  const isAlike = (copy: unknown): copy is E => copy instanceof error.constructor
  const copy: unknown = Reflect.construct(error.constructor, [
    Object.assign({}, error, { message: error.message, cause: error.cause }, fields)
  ])
  return isAlike(copy) ? copy : error
}
