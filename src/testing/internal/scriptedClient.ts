/**
 * The `HttpClient` of a script.
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as Chunk from "effect/Chunk"
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { BodyStep, CapturedRequest, Options, Script, ScriptedResponse, Service } from "../Script.ts"
import * as RequestBody from "./requestBody.ts"
import * as Response from "./scriptedResponse.ts"

interface Counters {
  pending: number
  open: number
  unread: number
}

export const make = (script: Script, options?: Options): Service & { readonly client: HttpClient.HttpClient } => {
  const requests: Array<CapturedRequest> = []
  const counters: Counters = { pending: 0, open: 0, unread: 0 }

  const client = HttpClient.make((request, url, signal) =>
    RequestBody.text(request.body).pipe(
      Effect.mapError((cause) => new HttpClientError.RequestError({ request, reason: "Encode", cause })),
      Effect.zip(Clock.currentTimeMillis),
      Effect.flatMap(([text, at]) => {
        const captured: CapturedRequest = {
          index: requests.length,
          at,
          method: request.method,
          url: url.toString(),
          headers: { ...request.headers },
          body: RequestBody.parseJson(text),
          text
        }
        requests.push(captured)
        return Effect.acquireUseRelease(
          Effect.sync(() => void counters.pending++),
          () =>
            Effect.flatMap(
              choose(script, options, captured, request),
              (response) => play(response, request, signal, counters)
            ),
          () => Effect.sync(() => void counters.pending--)
        )
      })
    )
  )

  return {
    client,
    requests: Effect.sync(() => requests.slice()),
    remaining: Effect.sync(() =>
      typeof script === "function" ? Infinity : Math.max(0, script.length - requests.length)
    ),
    pendingRequests: Effect.sync(() => counters.pending),
    openBodies: Effect.sync(() => counters.open),
    unreadBodies: Effect.sync(() => counters.unread)
  }
}

const choose = (
  script: Script,
  options: Options | undefined,
  captured: CapturedRequest,
  request: HttpClientRequest.HttpClientRequest
): Effect.Effect<ScriptedResponse, HttpClientError.RequestError> => {
  if (typeof script === "function") {
    const chosen = script(captured, captured.index)
    return Effect.isEffect(chosen) ? chosen : Effect.succeed(chosen)
  }
  const chosen = script[captured.index] ?? (options?.repeatLast ? script.at(-1) : undefined)
  if (chosen !== undefined) return Effect.succeed(chosen)
  const description = `no scripted response for request ${captured.index + 1}, the script has ${script.length}`
  return Effect.fail(new HttpClientError.RequestError({ request, reason: "Encode", description }))
}

const play = (
  response: ScriptedResponse,
  request: HttpClientRequest.HttpClientRequest,
  signal: AbortSignal,
  counters: Counters
): Effect.Effect<Response.ScriptedHttpResponse, HttpClientError.RequestError> => {
  switch (response._tag) {
    case "Delayed":
      return Effect.zipRight(
        Effect.sleep(response.duration),
        Effect.suspend(() => play(response.response, request, signal, counters))
      )
    case "ConnectionError":
      return Effect.fail(new HttpClientError.RequestError({ request, reason: "Transport", cause: response.cause }))
    case "Reply":
      return Effect.sync(() =>
        new Response.ScriptedHttpResponse(request, {
          status: response.status,
          headers: Headers.fromInput(response.headers),
          body: body(response.body, signal, counters)
        })
      )
  }
}

/** The stream of the steps, which updates the counters. A body without steps holds no connection and is not counted. */
const body = (
  steps: ReadonlyArray<BodyStep>,
  signal: AbortSignal,
  counters: Counters
): Stream.Stream<Uint8Array, unknown> => {
  if (steps.length === 0) return Stream.empty
  let unread = true
  const markRead = () => {
    if (unread) counters.unread--
    unread = false
  }
  counters.unread++
  signal.addEventListener("abort", markRead, { once: true })
  const openBody = Effect.acquireRelease(
    Effect.sync(() => {
      markRead()
      counters.open++
    }),
    () => Effect.sync(() => void counters.open--)
  )
  return Stream.fromPull(Effect.map(openBody, () => pull(steps, signal)))
}

/** Pulls one step at a time, so each step of the script is one read for the program. */
const pull = (
  steps: ReadonlyArray<BodyStep>,
  signal: AbortSignal
): Effect.Effect<Chunk.Chunk<Uint8Array>, Option.Option<unknown>> => {
  const encoder = new TextEncoder()
  let next = 0
  return Effect.suspend(() => {
    if (signal.aborted) return Effect.fail(Option.some<unknown>(signal.reason))
    const step = steps[next++]
    if (step === undefined) return Effect.fail(Option.none())
    if (typeof step === "string") return Effect.succeed(Chunk.of(encoder.encode(step)))
    if (step instanceof Uint8Array) return Effect.succeed(Chunk.of(step))
    switch (step._tag) {
      case "Delay":
        return Effect.as(Effect.raceFirst(Effect.sleep(step.duration), aborted(signal)), Chunk.empty<Uint8Array>())
      case "Reset":
        return Effect.fail(Option.some(step.cause))
      case "Never":
        return aborted(signal)
    }
  })
}

/** Fails when the request is aborted, for example when the scope of `HttpClient.withScope` closes during a read. */
const aborted = (signal: AbortSignal): Effect.Effect<never, Option.Option<unknown>> =>
  Effect.async((resume) => {
    const onAbort = () => resume(Effect.fail(Option.some(signal.reason)))
    signal.addEventListener("abort", onAbort)
    return Effect.sync(() => signal.removeEventListener("abort", onAbort))
  })

/** An error as Node's sockets raise it. */
export const systemError = (message: string, code: string, syscall: string): Error => {
  const errnos: Readonly<Record<string, number>> = { ECONNRESET: -104, ECONNREFUSED: -111, ETIMEDOUT: -110 }
  const errno = errnos[code]
  return Object.assign(new Error(message), errno === undefined ? { code, syscall } : { errno, code, syscall })
}
