/**
 * One HTTP exchange: the request that is sent, and the answer that is opened for reading.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as Headers from "@effect/platform/Headers"
import * as HttpBody from "@effect/platform/HttpBody"
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Record from "effect/Record"
import * as Redacted from "effect/Redacted"
import * as Scope from "effect/Scope"
import * as ChatError from "../../ChatError.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { fieldsOf, type JsonRecord } from "../json.ts"
import * as Body from "./byteReader.ts"
import type { Deadlines } from "./deadlines.ts"
import { type Pull, toPull } from "./stream.ts"

/** How long the rest of an answer may take to arrive once the answer is known to be whole, in milliseconds. */
const drainTime = 1000

/** An answer that is open. Whoever holds it closes its scope. */
export interface Exchange {
  readonly response: HttpClientResponse.HttpClientResponse
  readonly pull: Pull<Uint8Array, HttpClientError.HttpClientError>
  /** The body, where it can be read without `pull`. */
  readonly body: Body.Body | undefined
  readonly scope: Scope.CloseableScope
}

/** The request for a completion. Fails where its body has no JSON. */
export const toRequest = (
  config: LLMConfig,
  body: JsonRecord,
  stream: boolean
): Effect.Effect<HttpClientRequest.HttpClientRequest, ChatError.InvalidRequestError> =>
  Effect.try({
    try: () => HttpBody.unsafeJson(body),
    catch: (cause) =>
      new ChatError.InvalidRequestError({ message: "The request has a value that JSON has no form for", cause })
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

/**
 * Keeps the config's secrets where they belong: out of the HTTP client's spans, and with the origin that they are for.
 * `fetch` takes only Authorization away when it follows a redirect to another origin, so with other secrets it follows
 * none. What the program set for `fetch` around the call stays; what it set within the client's layer cannot be seen.
 */
const guarded = (config: LLMConfig) => {
  const names = Object.keys(config.headers).map((name) => name.toLowerCase())
  if (config.wire.authHeader !== "authorization") names.push(config.wire.authHeader)
  return <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    names.length === 0 ?
      effect :
      Effect.flatMap(Effect.serviceOption(FetchHttpClient.RequestInit), (own) =>
        effect.pipe(
          Effect.locallyWith(Headers.currentRedactedNames, (redacted) => [...redacted, ...names]),
          Effect.provideService(FetchHttpClient.RequestInit, { ...Option.getOrUndefined(own), redirect: "manual" })
        ))
}

const isRefusal = (error: HttpClientError.HttpClientError): error is HttpClientError.ResponseError =>
  error._tag === "ResponseError" && error.reason === "StatusCode"

/** A client whose requests last until their scope closes. */
export type Client = HttpClient.HttpClient.With<HttpClientError.HttpClientError, Scope.Scope>

/** Sends the request. Closing the scope, which is the one at hand, takes it back and lets go of its answer. */
export const open = (
  client: Client,
  config: LLMConfig,
  request: HttpClientRequest.HttpClientRequest,
  scope: Scope.CloseableScope
): Effect.Effect<Exchange, HttpClientError.HttpClientError, Scope.Scope> =>
  client.execute(request).pipe(
    // A client that the program made fail on bad statuses still has the answer that tells why.
    Effect.catchIf(isRefusal, (error) => Effect.succeed(error.response)),
    guarded(config),
    Effect.flatMap((response): Effect.Effect<Exchange> => {
      const body = Body.of(response)
      const pull = body === undefined ? toPull(response.stream, scope, undefined) : pullOfBody(body)
      return Effect.as(Scope.addFinalizer(scope, body?.close ?? Effect.void), {
        response,
        pull,
        body,
        scope
      })
    })
  )

const pullOfBody = (body: Body.Body): Exchange["pull"] =>
  Effect.async((resume) =>
    body.read((result) => {
      resume(Body.isBytes(result) ? Effect.succeed([result]) : Effect.fail(result))
      return true
    })
  )

/** The other origin from which an answer comes, where `fetch` followed a redirect by itself. */
export const redirectedTo = ({ response }: Exchange, baseUrl: string): string | undefined => {
  const { source } = fieldsOf(response)
  return source instanceof Response && source.redirected && new URL(source.url).origin !== new URL(baseUrl).origin
    ? source.url
    : undefined
}

/**
 * Lets go of an answer that is whole, in the background: what is left of its body is read, for a short while, so that
 * the connection can serve again.
 */
export const drain = ({ body, pull, scope }: Exchange, deadlines: Deadlines): void => {
  const { fork } = deadlines.waiting
  const close = Scope.close(scope, Exit.void)
  if (body === undefined) {
    fork(Effect.forever(pull).pipe(Effect.timeout(drainTime), Effect.ignore, Effect.ensuring(close)))
  } else Body.discard(body, deadlines.schedule(drainTime, () => void fork(close)))
}

/** The beginning of an error's body, as far as it has arrived. */
export interface ErrorBody {
  /** Reads on to the end of the body, to where it breaks off, or to where it is long enough. */
  readonly read: Effect.Effect<void>
  readonly text: () => string
}

/** The body of an exchange whose status is an error's. */
export const errorBody = (exchange: Exchange): ErrorBody => {
  // In characters.
  const longest = 2 ** 16
  const utf8 = new TextDecoder()
  let text = ""
  const read: Effect.Effect<void> = Effect.matchEffect(exchange.pull, {
    onFailure: () => Effect.sync(() => void (text += utf8.decode())),
    onSuccess: (bytes) => {
      for (const chunk of bytes) text += utf8.decode(chunk, { stream: true })
      return text.length < longest ? read : Effect.void
    }
  })
  return { read, text: () => text.slice(0, longest) }
}
