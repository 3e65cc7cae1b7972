/**
 * The `HttpClientResponse` of a script.
 */
import * as Cookies from "@effect/platform/Cookies"
import type * as Headers from "@effect/platform/Headers"
import * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
import * as HttpClientResponse from "@effect/platform/HttpClientResponse"
import * as HttpIncomingMessage from "@effect/platform/HttpIncomingMessage"
import * as UrlParams from "@effect/platform/UrlParams"
import * as Effect from "effect/Effect"
import * as Inspectable from "effect/Inspectable"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"

/** The parts of a scripted response. A failure of `body` is the cause that a real client would report. */
export interface Parts {
  readonly status: number
  readonly headers: Headers.Headers
  readonly body: Stream.Stream<Uint8Array, unknown>
}

/**
 * A response whose body is an Effect stream. Its delays use the Clock of the reading fiber, and its finalizers run if the
 * reader is interrupted. Like the body of a fetch response, it can be read only once; `text`, `json`, `arrayBuffer`,
 * `formData` and `urlParamsBody` share one read.
 */
export class ScriptedHttpResponse extends Inspectable.Class implements HttpClientResponse.HttpClientResponse {
  readonly [HttpIncomingMessage.TypeId]: HttpIncomingMessage.TypeId = HttpIncomingMessage.TypeId
  readonly [HttpClientResponse.TypeId]: HttpClientResponse.TypeId = HttpClientResponse.TypeId
  readonly request: HttpClientRequest.HttpClientRequest
  readonly status: number
  readonly headers: Headers.Headers
  readonly cookies: Cookies.Cookies
  readonly remoteAddress: Option.Option<string> = Option.none()
  readonly stream: Stream.Stream<Uint8Array, HttpClientError.ResponseError>
  readonly arrayBuffer: Effect.Effect<ArrayBuffer, HttpClientError.ResponseError>

  constructor(request: HttpClientRequest.HttpClientRequest, parts: Parts) {
    super()
    this.request = request
    this.status = parts.status
    this.headers = parts.headers
    this.cookies = Cookies.fromSetCookie(parts.headers["set-cookie"] ?? [])
    let read = false
    this.stream = Stream.suspend(() => {
      if (read) return Stream.fail(this.#decodeError(new TypeError("Body is unusable: Body has already been read")))
      read = true
      return Stream.mapError(parts.body, (cause) => this.#decodeError(cause))
    })
    this.arrayBuffer = Stream.runCollect(this.stream).pipe(Effect.map(concat), Effect.cached, Effect.runSync)
  }

  #decodeError(cause: unknown): HttpClientError.ResponseError {
    return new HttpClientError.ResponseError({ request: this.request, response: this, reason: "Decode", cause })
  }

  get text(): Effect.Effect<string, HttpClientError.ResponseError> {
    return Effect.map(this.arrayBuffer, (buffer) => new TextDecoder().decode(buffer))
  }

  get json(): Effect.Effect<unknown, HttpClientError.ResponseError> {
    return Effect.tryMap(this.text, {
      try: (text): unknown => text === "" ? null : JSON.parse(text),
      catch: (cause) => this.#decodeError(cause)
    })
  }

  get urlParamsBody(): Effect.Effect<UrlParams.UrlParams, HttpClientError.ResponseError> {
    return Effect.map(this.text, (text) => UrlParams.fromInput(new URLSearchParams(text)))
  }

  get formData(): Effect.Effect<FormData, HttpClientError.ResponseError> {
    return Effect.flatMap(this.arrayBuffer, (buffer) =>
      Effect.tryPromise({
        try: () => new Response(buffer, { headers: this.headers }).formData(),
        catch: (cause) => this.#decodeError(cause)
      }))
  }

  toJSON(): unknown {
    return {
      _id: "@effect/platform/HttpClientResponse",
      request: this.request.toJSON(),
      status: this.status,
      headers: Inspectable.redact(this.headers)
    }
  }
}

const concat = (parts: Iterable<Uint8Array>): ArrayBuffer => {
  const list = Array.from(parts)
  const buffer = new ArrayBuffer(list.reduce((total, part) => total + part.length, 0))
  const view = new Uint8Array(buffer)
  let offset = 0
  for (const part of list) {
    view.set(part, offset)
    offset += part.length
  }
  return buffer
}
