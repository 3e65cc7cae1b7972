/**
 * An `HttpClient` that answers from a script instead of the network, for tests.
 *
 * It replaces only the client: the library decodes and parses the bytes of a script as it does those of a server. A script
 * can contain faults: refused connections, late headers, and bodies that stall, reset or end at a chosen byte. All delays
 * use the Clock of Effect, so `TestClock` controls them.
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
 * Scripts and their parts.
 *
 * @since 0.1.0
 */
export * from "./Script.ts"

/**
 * Faults of a script.
 *
 * @since 0.1.0
 */
export * from "./ScriptedFault.ts"

/**
 * The state of a script: its requests, remaining responses and open bodies.
 *
 * @since 0.1.0
 * @category services
 */
export class ScriptedHttpClient
  extends Context.Tag("effect-chat/testing/ScriptedHttpClient")<ScriptedHttpClient, Service>()
{}

/**
 * The status of a response (default 200) and its headers. A `content-type` among them replaces the default one.
 *
 * @since 0.1.0
 * @category models
 */
export interface ResponseOptions {
  readonly status?: number | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

const reply = (contentType: string, body: ReadonlyArray<BodyStep>, options?: ResponseOptions): ScriptedResponse => ({
  _tag: "Reply",
  status: options?.status ?? 200,
  headers: { ...Headers.fromInput({ "content-type": contentType }), ...Headers.fromInput(options?.headers) },
  body
})

/**
 * A response with a JSON body, `application/json`.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const { text } = yield* chat.ask("Hi")
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const message = { role: "assistant", content: "Hello!" }
 * const script = [ScriptedHttpClient.json({ choices: [{ index: 0, message, finish_reason: "stop" }] })]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const json = (body: unknown, options?: ResponseOptions): ScriptedResponse =>
  reply("application/json", [JSON.stringify(body)], options)

/**
 * A response with a text body, `text/plain` by default. An empty text is a response without a body.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const error = yield* Effect.flip(chat.ask("Hi"))
 *   assert.strictEqual(error._tag, "ServerError")
 * })
 *
 * const script = [ScriptedHttpClient.text("Bad gateway", { status: 502 })]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (body: string, options?: ResponseOptions): ScriptedResponse =>
  reply("text/plain; charset=utf-8", body === "" ? [] : [body], options)

/**
 * A response whose body arrives in steps. Each byte array or string is one read of the network, so a read can end within a
 * line break or a character. The content type is `text/event-stream` by default.
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const text = yield* Stream.mkString(chat.askStream("Hi"))
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * // The event arrives in two reads.
 * const script = [ScriptedHttpClient.bytes([
 *   "data: {\"choices\":[{\"delta\":{\"content\":\"Hel",
 *   "lo!\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n"
 * ])]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const bytes = (steps: Iterable<BodyStep>, options?: ResponseOptions): ScriptedResponse =>
  reply("text/event-stream", Array.from(steps), options)

/**
 * A stream of server-sent events, one per read. An object is sent as `data: <its JSON>`, a string as `data: <string>`
 * (`"[DONE]"` ends a chat). Delays and faults are steps of the body.
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const text = yield* Stream.mkString(chat.askStream("Hi"))
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const choice = { index: 0, delta: { content: "Hello!" }, finish_reason: "stop" }
 * const script = [ScriptedHttpClient.sse([{ choices: [choice] }, "[DONE]"])]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
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
 * Options of {@link tokens}.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokensOptions extends ResponseOptions {
  /** The finish reason of the last chunk, `"stop"` by default; `null` sends none. */
  readonly finishReason?: string | null | undefined
  /** The `usage` object in the JSON of OpenAI, sent in its own chunk after the finish reason. Default: no such chunk. */
  readonly usage?: Readonly<Record<string, unknown>> | undefined
  /** The delay before each token. Default none. */
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
 * A streamed chat completion: a chunk with the role, one for each token, one with the finish reason, one with the usage if
 * there is one, and `[DONE]`. Every chunk is one read.
 *
 * @example
 * import { Effect, Stream } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const error = yield* Effect.flip(Stream.runDrain(chat.chatStream("Hi")))
 *   assert.deepStrictEqual([error._tag, error.partial?.text], ["TruncatedError", "Hello"])
 * })
 *
 * const script = [ScriptedHttpClient.tokens(["Hel", "lo"], { ending: "truncated" })]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokens = (parts: Iterable<string>, options?: TokensOptions): ScriptedResponse => {
  const { delay: wait, ending = "complete", finishReason = "stop", usage } = options ?? {}
  const chunk = (choices: ReadonlyArray<unknown>, members?: object): Readonly<Record<string, unknown>> => ({
    id: "chatcmpl-scripted",
    object: "chat.completion.chunk",
    created: 0,
    model: options?.model ?? "scripted",
    choices,
    ...members
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
 * A tool call in a scripted answer. `arguments` is a value that is sent as JSON, or a text that is sent unchanged.
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
 * @example
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1" })
 *   const { toolCalls } = yield* chat.ask("Hi")
 *   assert.strictEqual(toolCalls[0]?.name, "weather")
 * })
 *
 * const script = [ScriptedHttpClient.toolCalls([{ name: "weather", arguments: { city: "Oslo" } }])]
 *
 * Effect.runPromise(Effect.provide(program, ScriptedHttpClient.layer(script)))
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
  const argumentChunks = list.map(({ arguments: value = {}, index }) => {
    const text = typeof value === "string" ? value : JSON.stringify(value)
    return chunk({ tool_calls: [{ index, function: { arguments: text } }] })
  })
  return sse([
    chunk({ role: "assistant", content: null, tool_calls: names }),
    ...argumentChunks,
    ...(finishReason === null ? [] : [chunk({}, finishReason)]),
    ...(usage === undefined ? [] : [{ ...envelope, choices: [], usage }]),
    "[DONE]"
  ], options)
}

/**
 * An error as OpenAI sends it: the status, and a JSON body with the message, type and code.
 *
 * @example
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * export const script = [ScriptedHttpClient.error(429, "Too many requests"), ScriptedHttpClient.tokens(["Hello!"])]
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
 * @example
 * import { Effect, Fiber, TestClock, TestContext } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", maxRetries: 0 })
 *   const fiber = yield* Effect.fork(chat.ask("Hi"))
 *   yield* TestClock.adjust("10 seconds")
 *   const { text } = yield* Fiber.join(fiber)
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const choice = { index: 0, delta: { content: "Hello!" }, finish_reason: "stop" }
 * const script = [ScriptedHttpClient.sse([ScriptedHttpClient.delay("10 seconds"), { choices: [choice] }, "[DONE]"])]
 *
 * Effect.runPromise(program.pipe(
 *   Effect.provide(ScriptedHttpClient.layer(script)),
 *   Effect.provide(TestContext.TestContext)
 * ))
 *
 * @since 0.1.0
 * @category constructors
 */
export const delay = (duration: Duration.DurationInput): Delay => ({
  _tag: "Delay",
  duration: Duration.decode(duration)
})

/**
 * Provides an `HttpClient` that answers from a script.
 *
 * A request without a response in the script fails with a `RequestError`. Its reason is `Encode`, because a `Transport`
 * error would be retried: a test whose script is too short would wait instead of failing.
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
