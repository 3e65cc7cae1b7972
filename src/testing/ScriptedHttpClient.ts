/**
 * An `HttpClient` that answers from a script instead of a network, for the tests of programs that chat.
 *
 * Everything above the client is the real thing: the bytes of the script are decoded, parsed and folded as a server's
 * are. Faults are part of the script: refused connections, headers that come late, bodies that stop, reset or are cut
 * at a chosen byte. All waits are on the Effect Clock, so `TestClock` drives them.
 *
 * @since 0.1.0
 */
import * as Headers from "@effect/platform/Headers"
import * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as ScriptedClient from "./internal/scriptedClient.ts"
import type { BodyStep, Delay, Fault, Options, Script, ScriptedResponse, Service } from "./Script.ts"

/**
 * Scripts, and what they are made of.
 *
 * @since 0.1.0
 */
export * from "./Script.ts"

/**
 * The script at work: what was asked, what is left, what is still open.
 *
 * @since 0.1.0
 * @category services
 */
export class ScriptedHttpClient
  extends Context.Tag("effect-chat/testing/ScriptedHttpClient")<ScriptedHttpClient, Service>()
{}

/**
 * Status (default 200) and headers (added to the content type, which they may replace) of a response.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResponseOptions {
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/**
 * Whose error a fault imitates: `node` (default) is what `NodeHttpClient` reports, an error with `code`, `errno` and
 * `syscall`; `fetch` is what `FetchHttpClient` reports, a `TypeError` that has that error as its `cause`.
 *
 * @since 0.1.0
 * @category models
 */
export type ErrorShape = "node" | "fetch"

const reply = (contentType: string, body: ReadonlyArray<BodyStep>, options?: ResponseOptions): ScriptedResponse => ({
  _tag: "Reply",
  status: options?.status ?? 200,
  headers: { ...Headers.fromInput({ "content-type": contentType }), ...Headers.fromInput(options?.headers) },
  body
})

/**
 * A JSON body, `application/json`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const json = (body: unknown, options?: ResponseOptions): ScriptedResponse =>
  reply("application/json", [JSON.stringify(body)], options)

/**
 * A text body, `text/plain` unless the headers say otherwise. An empty text is a response without a body.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (body: string, options?: ResponseOptions): ScriptedResponse =>
  reply("text/plain; charset=utf-8", body === "" ? [] : [body], options)

/**
 * A body in the given steps: every byte array or string is one read of the network, so chunk boundaries can be put
 * inside a line break or a character. The content type is `text/event-stream` unless the headers say otherwise.
 *
 * @since 0.1.0
 * @category constructors
 */
export const bytes = (steps: Iterable<BodyStep>, options?: ResponseOptions): ScriptedResponse =>
  reply("text/event-stream", Array.from(steps), options)

/**
 * A stream of server-sent events, one read each. An object is sent as `data: <its JSON>`, a string as `data: <string>`
 * (`"[DONE]"` ends a chat), and waits and faults are steps of the body.
 *
 * @since 0.1.0
 * @category constructors
 */
export const sse = (
  events: Iterable<Readonly<Record<string, unknown>> | string | Fault | Delay>,
  options?: ResponseOptions
): ScriptedResponse =>
  bytes(
    Array.from(events, (event): BodyStep => {
      if (typeof event === "string") return `data: ${event}\n\n`
      return isStep(event) ? event : `data: ${JSON.stringify(event)}\n\n`
    }),
    options
  )

const isStep = (value: object): value is Fault | Delay =>
  "_tag" in value && (value._tag === "Delay" || value._tag === "Reset" || value._tag === "Never")

/**
 * How the answer of `tokens` comes.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokensOptions extends ResponseOptions {
  /** The finish reason of the last chunk, `"stop"` by default; `null` sends none. */
  readonly finishReason?: string | null | undefined
  /** The `usage` object as it is on the wire, sent in a chunk of its own after the finish. Default: no such chunk. */
  readonly usage?: Readonly<Record<string, unknown>> | undefined
  /** The wait before each token. Default: none. */
  readonly delay?: Duration.DurationInput | undefined
  /** Default `"scripted"`. */
  readonly model?: string | undefined
  /**
   * What follows the last token: finish reason, usage and `[DONE]` (`"complete"`, the default), the end of the body
   * (`"truncated"`), or a fault.
   */
  readonly ending?: "complete" | "truncated" | Fault | undefined
}

/**
 * A streamed chat completion: a chunk with the role, one chunk for each token, one with the finish reason, one with
 * the usage when it is given, and `[DONE]`. Every chunk is one read.
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokens = (parts: Iterable<string>, options?: TokensOptions): ScriptedResponse => {
  const { delay: wait, ending = "complete", finishReason = "stop", usage } = options ?? {}
  const chunk = (choices: ReadonlyArray<unknown>, more?: object): Readonly<Record<string, unknown>> => ({
    id: "chatcmpl-scripted",
    object: "chat.completion.chunk",
    created: 0,
    model: options?.model ?? "scripted",
    choices,
    ...more
  })
  const delta = (delta: object, finish_reason: string | null = null) => chunk([{ index: 0, delta, finish_reason }])
  const end = ending === "complete" ?
    [
      ...(finishReason === null ? [] : [delta({}, finishReason)]),
      ...(usage === undefined ? [] : [chunk([], { usage })]),
      "[DONE]"
    ] :
    ending === "truncated"
    ? []
    : [ending]
  return sse([
    delta({ role: "assistant", content: "" }),
    ...Array.from(parts).flatMap((content) => [...(wait === undefined ? [] : [delay(wait)]), delta({ content })]),
    ...end
  ], options)
}

/**
 * A call of a tool in a scripted answer. `arguments` is a value that is sent as JSON, or a text that is sent as it is.
 *
 * @since 0.1.0
 * @category models
 */
export interface ScriptedToolCall {
  /** Default `call_0`, `call_1`, … in the order of the calls. */
  readonly id?: string | undefined
  readonly name: string
  /** Default `{}`. */
  readonly arguments?: unknown
}

/**
 * A streamed chat completion that calls tools: a chunk with the names of all calls, one with the arguments of each, and
 * the finish reason `tool_calls`, followed by usage and `[DONE]` as in {@link tokens}.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toolCalls = (
  calls: Iterable<ScriptedToolCall>,
  options?: Omit<TokensOptions, "ending" | "delay">
): ScriptedResponse => {
  const { finishReason = "tool_calls", model = "scripted", usage } = options ?? {}
  const envelope = { id: "chatcmpl-scripted", object: "chat.completion.chunk", created: 0, model }
  const chunk = (delta: object, finish_reason: string | null = null) => ({
    ...envelope,
    choices: [{ index: 0, delta, finish_reason }]
  })
  const list = Array.from(calls, (call, index) => ({ ...call, index, id: call.id ?? `call_${index}` }))
  const names = list.map(({ id, index, name }) => ({ index, id, type: "function", function: { name, arguments: "" } }))
  const pieces = list.map(({ arguments: value = {}, index }) => {
    const text = typeof value === "string" ? value : JSON.stringify(value)
    return chunk({ tool_calls: [{ index, function: { arguments: text } }] })
  })
  return sse([
    chunk({ role: "assistant", content: null, tool_calls: names }),
    ...pieces,
    ...(finishReason === null ? [] : [chunk({}, finishReason)]),
    ...(usage === undefined ? [] : [{ ...envelope, choices: [], usage }]),
    "[DONE]"
  ], options)
}

/**
 * An error as OpenAI sends it: the status, and a JSON body with the message, type and code.
 *
 * @since 0.1.0
 * @category constructors
 */
export const error = (
  status: number,
  message: string,
  options?: {
    readonly type?: string | undefined
    readonly code?: string | undefined
    readonly headers?: Readonly<Record<string, string>> | undefined
  }
): ScriptedResponse => {
  const type = options?.type ?? (status >= 500 ? "server_error" : "invalid_request_error")
  const body = { error: { message, type, param: null, code: options?.code ?? null } }
  return json(body, { status, headers: options?.headers })
}

/**
 * A step of a body: nothing arrives for the duration.
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = (duration: Duration.DurationInput): Delay => ({
  _tag: "Delay",
  duration: Duration.decode(duration)
})

/**
 * A step of a body: the server resets the connection. The body fails with a `ResponseError`, reason `Decode`, as it
 * does on every client of `@effect/platform`; the cause is an error with `code: "ECONNRESET"` and the message
 * (default `read ECONNRESET`), in the shape of `as`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const reset = (message = "read ECONNRESET", options?: { readonly as?: ErrorShape | undefined }): Fault => {
  const cause = ScriptedClient.systemError(message, "ECONNRESET", "read")
  return { _tag: "Reset", cause: options?.as === "fetch" ? new TypeError("terminated", { cause }) : cause }
}

/**
 * The last step of a body that stays open and brings nothing more.
 *
 * @since 0.1.0
 * @category constructors
 */
export const never: Fault = { _tag: "Never" }

/**
 * No connection: the request fails with a `RequestError`, reason `Transport`. Its cause is an error with `code`
 * (default `ECONNREFUSED`), `syscall` and the message, in the shape of `as`; or the given `cause` as it is.
 *
 * @since 0.1.0
 * @category constructors
 */
export const connectionError = (options?: {
  readonly code?: string | undefined
  readonly message?: string | undefined
  readonly as?: ErrorShape | undefined
  readonly cause?: unknown
}): ScriptedResponse => {
  const code = options?.code ?? "ECONNREFUSED"
  const syscall = code === "ENOTFOUND" || code === "EAI_AGAIN" ? "getaddrinfo" : "connect"
  const error = ScriptedClient.systemError(options?.message ?? `${syscall} ${code}`, code, syscall)
  const cause = options?.cause ?? (options?.as === "fetch" ? new TypeError("fetch failed", { cause: error }) : error)
  return { _tag: "ConnectionError", cause }
}

/**
 * The same response (or failure) after the duration: headers that come late. `Duration.infinity` never answers.
 *
 * @since 0.1.0
 * @category constructors
 */
export const delayed = (duration: Duration.DurationInput, response: ScriptedResponse): ScriptedResponse => ({
  _tag: "Delayed",
  duration: Duration.decode(duration),
  response
})

/**
 * Replaces `HttpClient` by a script.
 *
 * A request that the script has no response for fails with a `RequestError` that names it. Its reason is `Encode`: a
 * `Transport` error would be retried, and a test whose script is too short would wait instead of failing.
 *
 * @example
 * import { HttpClient } from "@effect/platform"
 * import { Effect } from "effect"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const response = yield* HttpClient.get("http://localhost/v1/models")
 *   const script = yield* ScriptedHttpClient.ScriptedHttpClient
 *   const [request] = yield* script.requests
 *   return [response.status, request?.method]
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.json({ error: "busy" }, { status: 503 })])
 *
 * assert.deepStrictEqual(Effect.runSync(Effect.provide(program, script)), [503, "GET"])
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  script: Script,
  options?: Options
): Layer.Layer<HttpClient.HttpClient | ScriptedHttpClient> =>
  Layer.effectContext(Effect.sync(() => {
    const { client, ...service } = ScriptedClient.make(script, options)
    return Context.make(HttpClient.HttpClient, client).pipe(Context.add(ScriptedHttpClient, service))
  }))
