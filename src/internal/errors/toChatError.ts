/**
 * Creates the ChatError for a failed request: from a status, a body, a redirect, a transport error or a time limit.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Duration from "effect/Duration"
import * as ChatError from "../../ChatError.ts"
import { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Problem } from "../decode/decoder.ts"
import { asText, defined } from "../json.ts"
import { fetchTimeout } from "../time.ts"
import type { TimedOut } from "../transport/deadlines.ts"
import { DecompressionError } from "../transport/decompression.ts"
import { classify } from "./classify.ts"
import { displayMessage, type ErrorInfo, fromBody, statusText } from "./errorBody.ts"
import { scrubAll, scrubAndCut, scrubCause, type Secrets } from "./redaction.ts"
import { type HeaderFields, requestId, resetAfterMillis, retryAfterFromInfo, retryAfterMillis } from "./retryAfter.ts"

export { secretsOf } from "./redaction.ts"

/** The config of the failed request, and what has arrived of its response. */
export interface Context {
  readonly config: LLMConfig
  readonly secrets: Secrets
  readonly status: number | undefined
  readonly headers: HeaderFields
  /** The date of the Clock in milliseconds, to compare with a `Retry-After` date. */
  readonly now: number
  readonly partial: ChatResponse | undefined
}

/** The maximum length of a message or a body in an error, and of a name such as a code, in characters. */
const maxMessageLength = 8192
const maxCodeLength = 256

const toDetails = (
  { headers, partial, secrets, status }: Context,
  message: string,
  body: string,
  extra?: Partial<ChatError.Details>
): ChatError.Details => {
  const id = requestId(headers)
  return defined({
    message: scrubAndCut(message, secrets, maxMessageLength),
    status,
    requestId: id && scrubAndCut(id, secrets, maxCodeLength),
    body: asText(scrubAndCut(body, secrets, maxMessageLength)),
    partial: partial && scrubResponse(partial, secrets),
    ...extra
  })
}

const scrubResponse = (response: ChatResponse, secrets: Secrets): ChatResponse => {
  const clean = scrubAll(response, secrets)
  return clean === response ? response : ChatResponse.make(Object.assign({}, response, clean))
}

/** The value of the `x-should-retry` header of each error. It takes precedence over the class of the error. */
const requestedRetries = new WeakMap<ChatError.ChatError, boolean>()

/** Whether the server's `x-should-retry` header allows a retry. Undefined if there is no such header. */
export const isRetryRequested = (error: ChatError.ChatError): boolean | undefined => requestedRetries.get(error)

/** The error of a status and a body. */
const fromInfo = (context: Context, info: ErrorInfo, body: string): ChatError.ChatError => {
  const { headers, now, secrets, status = 200 } = context
  const scrubName = (text: string | undefined) =>
    text === undefined ? undefined : scrubAndCut(text, secrets, maxCodeLength)
  // An error without a message: with a success status the body is the message, other statuses are described in words.
  const message = displayMessage(info) || (status < 300 ? body.trim() : "") || statusText(status)
  const isTemporary = status === 429 || status >= 500 || status < 300
  const requestedWait = retryAfterMillis(headers, now) ?? retryAfterFromInfo(info, now)
  // A wait of 0 is replaced by the reset of a limit that is used up.
  const millis = requestedWait || ((isTemporary ? resetAfterMillis(headers, now) : undefined) ?? requestedWait)
  const fields = toDetails(context, message, body, {
    code: scrubName(info.code),
    type: scrubName(info.type),
    retryAfter: millis === undefined ? undefined : Duration.millis(millis)
  })
  const error = new (classify(context.status, info))(fields)
  const shouldRetry = headers["x-should-retry"]?.trim().toLowerCase()
  if (shouldRetry === "true" || shouldRetry === "false") requestedRetries.set(error, shouldRetry === "true")
  return error
}

/** The error of a status other than 2xx. */
export const fromStatus = (context: Context, body: string): ChatError.ChatError => {
  const status = context.status ?? 0
  if (status === 0) return fromOpaqueRedirect(context)
  if (status >= 300 && status < 400) return fromRedirect(context, context.headers["location"] ?? "nowhere", body)
  return fromInfo(context, fromBody(body, context.headers["content-type"]), body)
}

/** A redirect that is not followed: to another origin, which must not get the key and the prompt, or one too many. */
export const fromRedirect = (context: Context, target: string, body: string): ChatError.ChatError => {
  const { baseUrl } = context.config
  const url = URL.canParse(target, baseUrl) ? new URL(target, baseUrl) : undefined
  const isLoop = (context.status === 307 || context.status === 308) && url?.origin === new URL(baseUrl).origin
  const message = isLoop
    ? `The server redirects too often, the last time to ${target}`
    : `The server redirects to ${target}: set baseUrl to its new address`
  return new ChatError.InvalidRequestError(toDetails(context, message, body))
}

/** In a browser, `fetch` hides the target of a redirect that it does not follow. */
const fromOpaqueRedirect = (context: Context): ChatError.ChatError => {
  const message = "The server redirects to an address that this platform does not reveal: set baseUrl to that address"
  return new ChatError.InvalidRequestError(toDetails({ ...context, status: undefined }, message, ""))
}

/** The error of a 200 that is not a complete answer. */
export const fromProblem = (context: Context, problem: Problem): ChatError.ChatError => {
  if (problem._tag === "ReportedError") return fromInfo(context, problem.info, problem.body)
  const Class = problem._tag === "Truncated" ? ChatError.TruncatedError : ChatError.MalformedResponseError
  return new Class(toDetails(context, problem.message, problem.body))
}

/** The messages of an error and its causes, joined by colons, without duplicates. */
const causeMessages = (cause: unknown): string => {
  const messages = new Set([""])
  let next: unknown = cause
  for (let depth = 0; depth < 5 && next instanceof Error; depth++) {
    messages.add(next.message === "" && "code" in next ? String(next.code) : next.message)
    next = (next instanceof AggregateError ? next.errors[0] : undefined) ?? next.cause
  }
  return [...messages].join(": ")
}

/** The fields of an error that comes from an error of the HTTP client. */
const detailsFrom = (
  context: Context,
  message: string,
  error: HttpClientError.HttpClientError
): ChatError.Details => {
  const cause = error.cause ?? error
  return toDetails(context, message + causeMessages(cause), "", { cause: scrubCause(cause, context.secrets) })
}

/** The server is unreachable, the connection broke, or the body cannot be decompressed. The message starts with `prefix`. */
export const fromTransport = (
  context: Context,
  prefix: string,
  error: HttpClientError.HttpClientError
): ChatError.ChatError => {
  // `fetch` decompresses by the header alone, and fails without the bytes of a body that is not compressed.
  if (error.cause instanceof DecompressionError || hasCode(error.cause, /^Z_|^ERR_(?:_ERROR_F|BROTLI|ZSTD|PADDING)/)) {
    return new ChatError.MalformedResponseError(
      detailsFrom(context, "The answer is not compressed as its header says", error)
    )
  }
  return hasCode(error.cause, /^UND_ERR_(?:HEADERS|BODY)_TIMEOUT$/)
    ? fromFetchTimeout(context, error)
    : new ChatError.TransportError(detailsFrom(context, `${prefix} ${context.config.baseUrl}`, error))
}

/** Whether an error or one of its causes has a code that matches. */
const hasCode = (cause: unknown, code: RegExp, depth = 5): boolean =>
  cause instanceof Error && depth > 0 &&
  (("code" in cause && code.test(String(cause.code))) || hasCode(cause.cause, code, depth - 1))

const fromFetchTimeout = (context: Context, error: HttpClientError.HttpClientError): ChatError.ChatError => {
  const message =
    "fetch gave up after its own limit, 300 seconds without a byte: NodeHttpClient.layerUndici has no such limit"
  return new ChatError.TimeoutError({
    ...toDetails(context, message, "", { cause: scrubCause(error.cause, context.secrets) }),
    phase: context.partial === undefined ? "firstToken" : "idle",
    limit: fetchTimeout
  })
}

const phases = {
  firstToken: "sent nothing of its answer within",
  idle: "sent nothing more of its answer for",
  total: "did not end its answer within"
}

/** A time limit was exceeded. `body` is the part of an error's body that arrived, `cause` the error before a retry. */
export const fromTimeout = (
  context: Context,
  { limit, phase }: TimedOut,
  body: string,
  cause?: ChatError.ChatError
): ChatError.ChatError =>
  new ChatError.TimeoutError({
    ...toDetails(context, `The server ${phases[phase]} ${Duration.format(limit)}`, body, { cause }),
    phase,
    limit
  })

/** The HTTP client could not create the request. */
export const fromRequest = (context: Context, error: HttpClientError.HttpClientError): ChatError.ChatError =>
  new ChatError.InvalidRequestError(
    detailsFrom(context, `The request to ${context.config.baseUrl} cannot be sent`, error)
  )

/** A copy of the error with these fields replaced. */
export const withErrorFields = <E extends ChatError.ChatError>(error: E, fields: Partial<ChatError.Details>): E => {
  const isSameClass = (copy: unknown): copy is E => copy instanceof error.constructor
  const copy: unknown = Reflect.construct(error.constructor, [
    Object.assign({}, error, { message: error.message, cause: error.cause }, fields)
  ])
  return isSameClass(copy) ? copy : error
}
