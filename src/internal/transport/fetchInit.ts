/**
 * Sets options of `fetch` for programs whose HttpClient uses it: no automatic redirects, and no time limits of its own.
 */
import * as FetchHttpClient from "@effect/platform/FetchHttpClient"
import * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import type * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as FiberRef from "effect/FiberRef"
import * as Option from "effect/Option"
import type { LLMConfig } from "../../LLMConfig.ts"
import { fieldsOf, firstDefined, isRecord } from "../json.ts"
import { fetchTimeout } from "../time.ts"

/** The method of a dispatcher (undici) that sends a request of Node's `fetch`. */
type Dispatch = (options: object, handler: unknown) => unknown

const dispatchOf = (dispatcher: unknown): Dispatch | undefined => {
  const dispatch = isRecord(dispatcher) ? dispatcher["dispatch"] : undefined
  return typeof dispatch === "function"
    ? (options, handler) => Reflect.apply(dispatch, dispatcher, [options, handler])
    : undefined
}

/**
 * The default dispatcher of Node's `fetch`. It exists only after a part of `fetch` was used. From Node 26 on, it has the
 * name with 2, and the name with 1 is a dispatcher for older handlers.
 */
const globalDispatch = (): Dispatch | undefined =>
  typeof globalThis.Response === "function"
    ? firstDefined([2, 1], (version) =>
      dispatchOf(Reflect.get(globalThis, Symbol.for(`undici.globalDispatcher.${version}`))))
    : undefined

/** Options that remove the time limits of `fetch`, so that only those of the config apply. */
const withoutTimeouts = (programDispatcher: unknown): object => {
  const dispatch = dispatchOf(programDispatcher) ?? globalDispatch()
  return {
    // For Bun.
    timeout: false,
    ...dispatch === undefined ? {} : {
      dispatcher: {
        dispatch: (options: object, handler: unknown) =>
          dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 }, handler)
      }
    }
  }
}

/** In a page, `fetch` hides the target of a redirect, so it may follow redirects if Authorization is the only secret. */
const isPage = "document" in globalThis

const initOf = (config: LLMConfig, programInit: RequestInit): RequestInit => {
  const exceedsFetchTimeout = Duration.greaterThanOrEqualTo(config.firstTokenTimeout, fetchTimeout) ||
    Duration.greaterThanOrEqualTo(config.idleTimeout, fetchTimeout)
  const followsRedirects = isPage && config.wire.authHeader === "authorization" &&
    Object.keys(config.headers).length === 0
  return {
    ...programInit,
    ...exceedsFetchTimeout ? withoutTimeouts(fieldsOf(programInit)["dispatcher"]) : {},
    ...followsRedirects ? {} : { redirect: "manual" }
  }
}

type Requests = Effect.Effect<HttpClientRequest.HttpClientRequest, HttpClientError.HttpClientError>

/** The two parts of the platform's clients: one creates the final request, the other sends it. */
interface SplitClient {
  readonly preprocess: (request: HttpClientRequest.HttpClientRequest) => Requests
  readonly postprocess: (
    request: Requests
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
}

const isSplitClient = (client: object): client is SplitClient =>
  "preprocess" in client && typeof client.preprocess === "function" &&
  "postprocess" in client && typeof client.postprocess === "function"

/** Sets the options of `fetch` for the rest of the fiber. */
const setInit = (config: LLMConfig): Effect.Effect<void> =>
  Effect.flatMap(FiberRef.get(FiberRef.currentContext), (context) => {
    const programInit = Option.getOrElse(Context.getOption(context, FetchHttpClient.RequestInit), () => ({}))
    return FiberRef.set(
      FiberRef.currentContext,
      Context.add(context, FetchHttpClient.RequestInit, initOf(config, programInit))
    )
  })

/**
 * The client with a `fetch` that follows no redirect by itself and has no time limit shorter than the config's.
 *
 * Keeps the options of `fetch` that the program provides around the call or in the client's layer. The services of a layer
 * are available only where the client sends the request, so the options are changed there.
 */
export const withFetchInit = (client: HttpClient.HttpClient, config: LLMConfig): HttpClient.HttpClient => {
  const set = setInit(config)
  return isSplitClient(client)
    ? HttpClient.makeWith((request: Requests) => client.postprocess(Effect.zipLeft(request, set)), client.preprocess)
    : HttpClient.mapRequestEffect(client, (request) => Effect.as(set, request))
}
