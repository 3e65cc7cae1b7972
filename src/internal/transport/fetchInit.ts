/**
 * Options of `fetch` beside the request, for programs whose HttpClient uses `fetch`.
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
import { fieldsOf, first, isRecord } from "../json.ts"

/** After so long without a byte, Node's `fetch` and Bun's give up by themselves. */
const limitOfFetch = Duration.seconds(300)

/** Makes the request of options that Node's `fetch` hands to its dispatcher. */
type Dispatch = (options: object, handler: unknown) => unknown

const dispatchOf = (dispatcher: unknown): Dispatch | undefined => {
  const dispatch = isRecord(dispatcher) ? dispatcher["dispatch"] : undefined
  return typeof dispatch === "function"
    ? (options, handler) => Reflect.apply(dispatch, dispatcher, [options, handler])
    : undefined
}

/**
 * The dispatcher that Node's `fetch` uses if it is given none. It is there once a part of `fetch` was used. From Node 26 on
 * it is the second of these names, and the first one is for older handlers.
 */
const globalDispatch = (): Dispatch | undefined =>
  typeof globalThis.Response === "function"
    ? first([2, 1], (version) => dispatchOf(Reflect.get(globalThis, Symbol.for(`undici.globalDispatcher.${version}`))))
    : undefined

/** Options that apply the limits of the config if they are longer than those of `fetch`. */
const withoutLimits = (own: unknown): object => {
  const dispatch = dispatchOf(own) ?? globalDispatch()
  return {
    // Bun's name for it.
    timeout: false,
    ...dispatch === undefined ? {} : {
      dispatcher: {
        dispatch: (options: object, handler: unknown) =>
          dispatch({ ...options, headersTimeout: 0, bodyTimeout: 0 }, handler)
      }
    }
  }
}

/** In a page, where `fetch` does not tell where a redirect leads, it follows as long as Authorization is the only secret. */
const isPage = "document" in globalThis

const initOf = (config: LLMConfig, own: RequestInit): RequestInit => {
  const isLong = Duration.greaterThanOrEqualTo(config.firstTokenTimeout, limitOfFetch) ||
    Duration.greaterThanOrEqualTo(config.idleTimeout, limitOfFetch)
  const follows = isPage && config.wire.authHeader === "authorization" && Object.keys(config.headers).length === 0
  return {
    ...own,
    ...isLong ? withoutLimits(fieldsOf(own)["dispatcher"]) : {},
    ...follows ? {} : { redirect: "manual" }
  }
}

type Requests = Effect.Effect<HttpClientRequest.HttpClientRequest, HttpClientError.HttpClientError>

/** The two halves of the platform's clients: what makes the final request, and what sends it. */
interface Halves {
  readonly preprocess: (request: HttpClientRequest.HttpClientRequest) => Requests
  readonly postprocess: (
    request: Requests
  ) => Effect.Effect<HttpClientResponse.HttpClientResponse, HttpClientError.HttpClientError>
}

const hasHalves = (client: object): client is Halves =>
  "preprocess" in client && typeof client.preprocess === "function" &&
  "postprocess" in client && typeof client.postprocess === "function"

/** Changes the options for the following operations of the fiber. */
const setInit = (config: LLMConfig): Effect.Effect<void> =>
  Effect.flatMap(FiberRef.get(FiberRef.currentContext), (context) => {
    const own = Option.getOrElse(Context.getOption(context, FetchHttpClient.RequestInit), () => ({}))
    return FiberRef.set(
      FiberRef.currentContext,
      Context.add(context, FetchHttpClient.RequestInit, initOf(config, own))
    )
  })

/**
 * The client, whose `fetch` follows no redirect by itself and has no time limit that is shorter than the config's.
 *
 * What the program set for `fetch` stays, around the call or within the client's layer. A layer's services are there only
 * where the client sends a request, so the options are changed there, in the fiber that goes on to send it.
 */
export const withFetchInit = (client: HttpClient.HttpClient, config: LLMConfig): HttpClient.HttpClient => {
  const set = setInit(config)
  return hasHalves(client)
    ? HttpClient.makeWith((request: Requests) => client.postprocess(Effect.zipLeft(request, set)), client.preprocess)
    : HttpClient.mapRequestEffect(client, (request) => Effect.as(set, request))
}
