/**
 * What went wrong on the wire → the error that says so.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Duration from "effect/Duration"
import * as Redacted from "effect/Redacted"
import * as ChatError from "../../ChatError.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Problem } from "../decode/decoder.ts"
import { asText, defined } from "../json.ts"
import type { TimedOut } from "../transport/deadlines.ts"
import { classify } from "./classify.ts"
import { type ErrorInfo, fromBody, statusText } from "./errorBody.ts"
import { scrub, scrubCause } from "./redaction.ts"
import { type HeaderFields, requestId, retryAfterFromInfo, retryAfterMillis } from "./retryAfter.ts"

/** What is known of the exchange that failed. */
export interface Context {
  readonly config: LLMConfig
  readonly secrets: ReadonlyArray<string>
  readonly status: number | undefined
  readonly headers: HeaderFields
  /** The Clock's time in milliseconds, which a `Retry-After` date is relative to. */
  readonly now: number
  readonly partial: ChatResponse | undefined
}

const details = (
  { headers, partial, secrets, status }: Context,
  message: string,
  body: string,
  more?: Partial<ChatError.Details>
): ChatError.Details => {
  // How much of a body, or of a message, an error keeps, in characters.
  const kept = 8192
  // More is searched for secrets, so that none is cut in two where the kept part ends.
  const clean = (text: string): string => scrub(text.slice(0, 2 * kept), secrets).slice(0, kept)
  const id = requestId(headers)
  return defined({
    message: clean(message),
    status,
    requestId: id && clean(id),
    body: asText(clean(body)),
    partial,
    ...more
  })
}

/** What the server said went wrong, by status and body together. */
const fromInfo = (context: Context, info: ErrorInfo, body: string): ChatError.ChatError => {
  const { secrets } = context
  const millis = retryAfterMillis(context.headers, context.now) ?? retryAfterFromInfo(info)
  // An error without words that are known as such: its status says most, and within a success its body does.
  const { status = 200 } = context
  const message = info.message || (status < 300 ? body.trim() : "") || statusText(status)
  const fields = details(context, message, body, {
    code: info.code && scrub(info.code, secrets),
    type: info.type && scrub(info.type, secrets),
    retryAfter: millis === undefined ? undefined : Duration.millis(millis)
  })
  return new (classify(context.status, info))(fields)
}

/** An answer with a status that is no success. */
export const fromStatus = (context: Context, body: string): ChatError.ChatError => {
  const status = context.status ?? 0
  if (status >= 300 && status < 400) return fromRedirect(context, context.headers["location"] ?? "nowhere", body)
  return fromInfo(context, fromBody(body, context.headers["content-type"]), body)
}

/** The server sends its clients elsewhere, where neither key nor prompt was meant to go. */
export const fromRedirect = (context: Context, target: string, body: string): ChatError.ChatError => {
  const message = `The server redirects to ${target}: set baseUrl to where it lives`
  return new ChatError.InvalidRequestError(details(context, message, body))
}

/** A 200 that is no whole answer. */
export const fromProblem = (context: Context, problem: Problem): ChatError.ChatError => {
  if (problem._tag === "ServerSaid") return fromInfo(context, problem.info, problem.body)
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

/** The server was not reached, or the connection broke. */
export const fromTransport = (
  context: Context,
  what: string,
  error: HttpClientError.HttpClientError
): ChatError.ChatError => new ChatError.TransportError(beneath(context, `${what} ${context.config.baseUrl}`, error))

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

/** What must not be shown: the key, and the values of further headers, also without the scheme before a token. */
export const secretsOf = (config: LLMConfig): ReadonlyArray<string> =>
  [config.apiKey, ...Object.values(config.headers)].flatMap((secret) => {
    if (secret === undefined) return []
    const value = Redacted.value(secret).trim()
    const token = /^(?:bearer|basic|token|key|apikey)\s+(.+)$/i.exec(value)?.[1]
    return token === undefined ? [value] : [value, token]
  })
