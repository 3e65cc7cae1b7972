/**
 * One HTTP exchange: sends the request, follows safe redirects, and opens the body of the response.
 */
import * as HttpBody from "@effect/platform/HttpBody"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as ChatError from "../../ChatError.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { fieldsOf, type JsonRecord, toJsonText } from "../json.ts"
import { urlIn } from "../settingSchemas.ts"
import type { Deadlines } from "./deadlines.ts"
import { decompressed, decompressedPull } from "./decompression.ts"
import { withFetchInit } from "./fetchInit.ts"
import { pacedBody, pacedPull } from "./pacing.ts"
import * as Body from "./responseBody.ts"
import { withoutSecretsInSpans } from "./spans.ts"
import { type Pull, toPull } from "./stream.ts"

/** How long the rest of a body is read after the answer is complete, in milliseconds. */
const drainTime = 1000

/** An open response. Its owner closes the scope. */
export interface Exchange {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly pull: Pull<Uint8Array, HttpClientError.HttpClientError>
  /** The body, if it can be read without `pull`. */
  readonly body: Body.Body | undefined
  readonly scope: Scope.CloseableScope
}

/** The request for a completion. Fails if JSON cannot represent its body. */
export const toRequest = (
  config: LLMConfig,
  body: () => JsonRecord,
  stream: boolean
): Effect.Effect<HttpClientRequest.HttpClientRequest, ChatError.InvalidRequestError> =>
  Effect.try({
    try: () => HttpBody.text(toJsonText(body()), "application/json"),
    catch: (cause) =>
      new ChatError.InvalidRequestError({ message: "The request has a value that JSON cannot represent", cause })
  }).pipe(Effect.map((body) =>
    HttpClientRequest.post(`${config.baseUrl}/chat/completions`, {
      urlParams: config.wire.query,
      headers: {
        accept: stream ? "text/event-stream" : "application/json",
        ...authorization(config),
        ...Record.map(config.headers, Redacted.value)
      },
      body
    })
  ))

const authorization = ({ apiKey, wire: { authHeader } }: LLMConfig): Readonly<Record<string, string>> => {
  const key = apiKey === undefined ? "" : Redacted.value(apiKey).trim()
  return key === "" ? {} : { [authHeader]: authHeader === "authorization" ? `Bearer ${key}` : key }
}

const isStatusError = (error: HttpClientError.HttpClientError): error is HttpClientError.ResponseError =>
  error._tag === "ResponseError" && error.reason === "StatusCode"

/** The program's client. */
export type Client = HttpClient.HttpClient

/** `node:http` throws if a header is not valid in HTTP. */
const isInvalidHeader = (defect: unknown): boolean =>
  defect instanceof TypeError && "code" in defect && /^ERR_INVALID_(?:HTTP_TOKEN|CHAR)$/.test(String(defect.code))

/** The maximum number of redirects per request. */
const maxRedirects = 5

/**
 * The request to the target of a redirect. Undefined if the response is not a redirect that is followed.
 *
 * The library follows redirects that keep the method and the body (307 and 308) and stay within the origin, because HTTP
 * clients differ: `node:http` and undici follow none, and Node's `fetch` cannot send the body again. Other redirects are
 * not followed: they would send the key and the prompt to another origin, or turn the POST into a GET.
 */
const redirected = (
  request: HttpClientRequest.HttpClientRequest,
  response: HttpClientResponse.HttpClientResponse
): HttpClientRequest.HttpClientRequest | undefined => {
  if (response.status !== 307 && response.status !== 308) return undefined
  // The program's client may have changed the URL.
  const sentTo = urlIn(response.request.url)
  const location = response.headers["location"] ?? ""
  if (sentTo === undefined || location === "" || !URL.canParse(location, sentTo)) return undefined
  const target = new URL(location, sentTo)
  // undici would send the fragment.
  target.hash = ""
  const isSameOrigin = target.origin === sentTo.origin && urlIn(request.url)?.origin === sentTo.origin
  return isSameOrigin && target.username === "" && target.password === ""
    ? HttpClientRequest.setUrl(request, target)
    : undefined
}

/** Sends the request, and follows the redirects that are safe to follow. */
const send = (
  client: HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>,
  request: HttpClientRequest.HttpClientRequest,
  redirects = maxRedirects
): Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError, Scope.Scope> =>
  client.execute(request).pipe(
    // If the program's client fails on error statuses, its error has the response.
    Effect.catchIf(isStatusError, (error) => Effect.succeed(error.response)),
    Effect.catchSomeDefect((cause) =>
      isInvalidHeader(cause)
        ? Option.some(new HttpClientError.RequestError({ request, reason: "Encode", cause }))
        : Option.none()
    ),
    Effect.flatMap((response) => {
      const next = redirects === 0 ? undefined : redirected(request, response)
      return next === undefined
        ? Effect.succeed(response)
        : Effect.zipRight(Body.fromResponse(response)?.close ?? Effect.void, send(client, next, redirects - 1))
    })
  )

/** Sends the request. Closing `scope`, which is also the scope of the context, aborts it and closes its response. */
export const open = (
  client: Client,
  config: LLMConfig,
  request: HttpClientRequest.HttpClientRequest,
  scope: Scope.CloseableScope
): Effect.Effect<Exchange, HttpClientError.HttpClientError, Scope.Scope> =>
  send(HttpClient.withScope(withFetchInit(client, config)), request).pipe(
    // Drops services that were provided for the request only.
    Effect.mapInputContext((context: Context.Context<Scope.Scope>) => context),
    Effect.locally(HttpClient.currentTracerPropagation, config.tracePropagation),
    withoutSecretsInSpans(config),
    Effect.flatMap((response): Effect.Effect<Exchange> => {
      const coding = response.headers["content-encoding"] ?? ""
      const toFailure = Body.failureOf(response)
      const source = Body.fromResponse(response)
      const body = source && pacedBody(decompressed(source, coding, isFetch(response), toFailure))
      const pull = body === undefined
        ? pacedPull(decompressedPull(toPull(response.stream, scope, undefined), coding, toFailure, scope))
        : Body.pullOf(body)
      return Effect.as(Scope.addFinalizer(scope, body?.close ?? Effect.void), {
        response,
        pull,
        body,
        scope
      })
    })
  )

const isFetch = (response: HttpClientResponse.HttpClientResponse): boolean =>
  fieldsOf(response)["source"] instanceof Response

/** The URL of the response if `fetch` followed a redirect to another origin by itself. Otherwise undefined. */
export const redirectedTo = ({ response }: Exchange, baseUrl: string): string | undefined => {
  const { source } = fieldsOf(response)
  return source instanceof Response && source.redirected && new URL(source.url).origin !== new URL(baseUrl).origin
    ? source.url
    : undefined
}

/**
 * Reads the rest of the body of a complete answer for a short time, in the background, and then closes it. A body that was
 * read to its end lets the client reuse the connection.
 */
export const drain = ({ body, pull, scope }: Exchange, deadlines: Deadlines): void => {
  const { fork } = deadlines.wait
  const close = Scope.close(scope, Exit.void)
  if (body === undefined) {
    fork(Effect.forever(pull).pipe(Effect.timeout(drainTime), Effect.ignore, Effect.ensuring(close)))
  } else Body.discard(body, deadlines.schedule(drainTime, () => void fork(close)))
}

/** The start of an error's body, as far as it has arrived. */
export interface ErrorBody {
  /** Reads until the body ends, fails or is long enough. */
  readonly read: Effect.Effect<void>
  readonly text: () => string
}

/** The body of an exchange with an error status. */
export const errorBody = (exchange: Exchange): ErrorBody => {
  // In characters.
  const maxLength = 2 ** 16
  const utf8 = new TextDecoder()
  let text = ""
  const read: Effect.Effect<void> = Effect.matchEffect(exchange.pull, {
    onFailure: () => Effect.sync(() => void (text += utf8.decode())),
    onSuccess: (bytes) => {
      for (const chunk of bytes) text += utf8.decode(chunk, { stream: true })
      return text.length < maxLength ? read : Effect.void
    }
  })
  return { read, text: () => text.slice(0, maxLength) }
}
