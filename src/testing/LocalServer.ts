/**
 * A small OpenAI-compatible server on loopback, for tests and first steps without a key.
 *
 * It has no model. Its answers depend only on the messages of the request, so they are deterministic and show whether the
 * history was sent: it repeats the prompt with the number of the turn, and answers questions about earlier messages ("my
 * name is Ada", later "what is my name?"). It calls a tool if the request requires one, or if the last user message contains
 * the name of one, with arguments that the tool's schema accepts. It validates requests and streams as OpenAI does.
 *
 * It serves `POST /v1/chat/completions` (with and without streams), `GET /v1/models` and `GET /v1/models/{id}`. Three model
 * names simulate faults and always exist:
 *
 * - `effect-chat-silent` sends the headers of a stream and nothing else;
 * - `effect-chat-stall` streams three tokens, then sends nothing and stays open;
 * - `effect-chat-cut` streams three tokens and ends without a finish reason and without `[DONE]`.
 *
 * Without a stream, the first two never answer, and the third ends within its JSON.
 *
 * @since 0.1.0
 */
import * as HttpServer from "@effect/platform/HttpServer"
import * as HttpServerError from "@effect/platform/HttpServerError"
import * as HttpServerRequest from "@effect/platform/HttpServerRequest"
import * as HttpServerResponse from "@effect/platform/HttpServerResponse"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Redacted from "effect/Redacted"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as Parse from "./internal/chatRequest.ts"
import * as Completion from "./internal/completion.ts"
import * as EventStream from "./internal/eventStream.ts"
import { SampleError } from "./internal/jsonSample.ts"
import { parseJson } from "./internal/requestBody.ts"
import type { Answer, ChatRequest } from "./LocalRequest.ts"

/**
 * The requests that the server receives.
 *
 * @since 0.1.0
 */
export * from "./LocalRequest.ts"

/**
 * A running server.
 *
 * @since 0.1.0
 * @category services
 */
export interface Service {
  /** The base URL for a client, for example `http://127.0.0.1:54321/v1`. */
  readonly url: string
  /** The last 100 requests, oldest first, including refused ones. Fewer if their bodies exceed 64 MiB together. */
  readonly requests: Effect.Effect<ReadonlyArray<RecordedRequest>>
  /** The number of answers that are being streamed or delayed. An answer whose client is gone does not count. */
  readonly activeAnswers: Effect.Effect<number>
}

/**
 * The local server: its address and requests.
 *
 * @since 0.1.0
 * @category services
 */
export class LocalServer extends Context.Tag("effect-chat/testing/LocalServer")<LocalServer, Service>() {}

/**
 * A request as it arrived.
 *
 * @since 0.1.0
 * @category models
 */
export interface RecordedRequest {
  /** The `x-request-id` of its response. */
  readonly id: string
  readonly method: string
  /** The path with its query. */
  readonly path: string
  /** Names in lower case, without `authorization`. */
  readonly headers: Readonly<Record<string, string>>
  /** The key of the `authorization` header, if it has one. */
  readonly apiKey: Redacted.Redacted | undefined
  /** The body parsed as JSON. `undefined` if it is empty or not JSON. */
  readonly body: unknown
}

/**
 * Options of the server.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The key that requests must have as `Authorization: Bearer …`. Default: none is required. */
  readonly apiKey?: Redacted.Redacted | string | undefined
  /** The models that exist. Default: every name is accepted, and the list has `effect-chat-local`. */
  readonly models?: ReadonlyArray<string> | undefined
  /** The delay before each token of a stream. Default zero: tokens are written in batches. */
  readonly tokenDelay?: Duration.DurationInput | undefined
  /**
   * The answer: a text, tool calls, or an error. A text is sent unchanged, also to requests for JSON or with tools. Default,
   * and if the function returns undefined: see the module. If the function throws, the status is 500.
   */
  readonly answer?: ((request: ChatRequest) => Answer | undefined) | undefined
}

/** The maximum number of recorded requests, and of characters in their bodies together. */
const maxRequests = 100
const maxCharacters = 2 ** 26

/**
 * Starts the server on the `HttpServer`. It runs until the scope closes, which also ends its streams. Fails with
 * `ServeError` if the `HttpServer` listens on a Unix socket, which has no URL.
 *
 * @example
 * import { FetchHttpClient } from "@effect/platform"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Effect } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { LocalServer } from "effect-chat/testing"
 * import { createServer } from "node:http"
 *
 * const program = Effect.gen(function*() {
 *   const { requests, url } = yield* LocalServer.make({ answer: () => "Hello!" })
 *   const chat = yield* LLMChat.make({ baseUrl: url })
 *   const { text } = yield* chat.chat("Hi")
 *   assert.strictEqual(text, "Hello!")
 *   assert.strictEqual((yield* requests).length, 1)
 * })
 *
 * Effect.runPromise(program.pipe(
 *   Effect.scoped,
 *   Effect.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 })),
 *   Effect.provide(FetchHttpClient.layer)
 * ))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options = {}
): Effect.Effect<Service, HttpServerError.ServeError, HttpServer.HttpServer | Scope.Scope> =>
  Effect.gen(function*() {
    const { address } = yield* HttpServer.HttpServer
    if (address._tag === "UnixAddress") {
      return yield* new HttpServerError.ServeError({ cause: new Error(`no URL for the Unix socket ${address.path}`) })
    }
    const done = yield* Deferred.make<void>()
    let isDone = false
    const server: Server = {
      apiKey: typeof options.apiKey === "string" ? Redacted.make(options.apiKey) : options.apiKey,
      models: options.models,
      delay: Duration.decode(options.tokenDelay ?? Duration.zero),
      answer: options.answer,
      stop: { isDone: () => isDone, wait: Deferred.await(done) },
      requests: [],
      sizes: [],
      served: 0,
      active: 0
    }
    yield* HttpServer.serveEffect(handle(server))
    yield* Effect.addFinalizer(() =>
      Effect.suspend(() => {
        isDone = true
        return Deferred.succeed(done, undefined)
      })
    )
    return {
      url: `http://${hostname(address.hostname)}:${address.port}/v1`,
      requests: Effect.sync(() => server.requests.slice()),
      activeAnswers: Effect.sync(() => server.active)
    }
  })

/**
 * The server as a layer over any `HttpServer`. `NodeHttpServer.layer(createServer, { port: 0, host: "127.0.0.1" })` uses a
 * free port that only this machine can reach.
 *
 * @example
 * import { FetchHttpClient } from "@effect/platform"
 * import { NodeHttpServer } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { LocalServer } from "effect-chat/testing"
 * import { createServer } from "node:http"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   yield* chat.chat("My name is Ada.")
 *   const { text } = yield* chat.chat("What is my name?")
 *   assert.match(text, /Ada/)
 * })
 *
 * const Server = LocalServer.layer().pipe(
 *   Layer.provide(NodeHttpServer.layer(createServer, { host: "127.0.0.1", port: 0 }))
 * )
 *
 * const Chat = Layer.unwrapEffect(
 *   Effect.map(LocalServer.LocalServer, ({ url }) => LLMChat.layer({ baseUrl: url }))
 * )
 *
 * Effect.runPromise(program.pipe(
 *   Effect.provide(Chat),
 *   Effect.provide(Server),
 *   Effect.provide(FetchHttpClient.layer)
 * ))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options?: Options
): Layer.Layer<LocalServer, HttpServerError.ServeError, HttpServer.HttpServer> =>
  Layer.scoped(LocalServer, make(options))

const hostname = (host: string): string => {
  if (host === "0.0.0.0" || host === "::" || host === "") return "127.0.0.1"
  return host.includes(":") ? `[${host}]` : host
}

interface Server {
  readonly apiKey: Redacted.Redacted | undefined
  readonly models: ReadonlyArray<string> | undefined
  readonly delay: Duration.Duration
  readonly answer: ((request: ChatRequest) => Answer | undefined) | undefined
  readonly stop: EventStream.Stop
  readonly requests: Array<RecordedRequest>
  /** The lengths of the bodies of `requests`. */
  readonly sizes: Array<number>
  served: number
  active: number
}

type Handler = Effect.Effect<HttpServerResponse.HttpServerResponse>

const handle = (server: Server) =>
  Effect.gen(function*() {
    const request = yield* HttpServerRequest.HttpServerRequest
    const id = `req_${++server.served}`
    const text = yield* Effect.option(request.text)
    const { authorization, ...headers } = request.headers
    const key = /^Bearer +(.*)$/i.exec(authorization ?? "")?.[1]
    const apiKey = key === undefined ? undefined : Redacted.make(key)
    const body = text._tag === "Some" ? text.value : ""
    record(
      server,
      { id, method: request.method, path: request.url, headers, apiKey, body: parseJson(body) },
      body.length
    )
    const refusal = authenticate(server, apiKey)
    const response = yield* refusal ?? route(server, request.method, request.url, body, id)
    return HttpServerResponse.setHeader(response, "x-request-id", id)
  })

/** Records the request and removes the oldest ones if there are too many. */
const record = ({ requests, sizes }: Server, request: RecordedRequest, size: number): void => {
  requests.push(request)
  sizes.push(size)
  let total = sizes.reduce((sum, size) => sum + size, 0)
  while (requests.length > maxRequests || (requests.length > 1 && total > maxCharacters)) {
    requests.shift()
    total -= sizes.shift() ?? 0
  }
}

const authenticate = (server: Server, apiKey: Redacted.Redacted | undefined): Handler | undefined => {
  if (server.apiKey === undefined) return undefined
  if (apiKey === undefined) {
    const hint = "You need to provide your API key in an Authorization header using Bearer auth."
    return error({ status: 401, message: `You didn't provide an API key. ${hint}`, param: null, code: null })
  }
  return Redacted.value(apiKey) === Redacted.value(server.apiKey)
    ? undefined
    : error({ status: 401, message: "Incorrect API key provided.", param: null, code: "invalid_api_key" })
}

const route = (server: Server, method: string, url: string, body: string, id: string): Handler => {
  const path = url.split("?", 1)[0] ?? ""
  const forMethod = (allowed: string, handler: () => Handler) =>
    method === allowed ? handler() : notAllowed(method, path)
  if (path === "/v1/chat/completions") return forMethod("POST", () => completions(server, body, id))
  if (path === "/v1/models") return forMethod("GET", () => listModels(server))
  const name = path.startsWith("/v1/models/") ? decode(path.slice("/v1/models/".length)) : ""
  if (name !== "") return forMethod("GET", () => hasModel(server, name) ? ok(model(name)) : unknownModel(name))
  return error({ status: 404, message: `Invalid URL (${method} ${path})`, param: null, code: null })
}

const notAllowed = (method: string, path: string): Handler => {
  const hint = "(HINT: Perhaps you meant to use a different HTTP method?)"
  const message = `Not allowed to ${method} on ${path} ${hint}`
  return error({ status: 405, message, param: null, code: "method_not_supported" })
}

const faults = ["effect-chat-silent", "effect-chat-stall", "effect-chat-cut"]

const hasModel = ({ models }: Server, name: string): boolean =>
  models === undefined || models.includes(name) || faults.includes(name)

const unknownModel = (name: string): Handler => {
  const message = `The model \`${name}\` does not exist or you do not have access to it.`
  return error({ status: 404, message, param: null, code: "model_not_found" })
}

const model = (id: string) => ({ id, object: "model", created: 0, owned_by: "effect-chat (no model is inside)" })

const listModels = ({ models }: Server): Handler =>
  ok({ object: "list", data: (models ?? ["effect-chat-local"]).map(model) })

const completions = (server: Server, body: string, id: string): Handler => {
  const request = Parse.parse(body)
  if (Parse.isRefusal(request)) return error(request)
  if (!hasModel(server, request.model)) return unknownModel(request.model)
  return Effect.gen(function*() {
    const completion = yield* Effect.try(() => Completion.complete(request, server.answer))
    if ("error" in completion) {
      const { code = null, message, status } = completion.error
      return yield* error({ status, message, param: null, code })
    }
    const created = Math.floor((yield* Clock.currentTimeMillis) / 1000)
    const envelope = { id: `chatcmpl-${id}`, created, model: request.model }
    return yield* request.stream
      ? Effect.succeed(streamed(server, request, completion, envelope))
      : document(server, request, completion, envelope)
  }).pipe(Effect.catchAll(({ cause }) =>
    cause instanceof SampleError
      ? error({ status: 400, message: `Invalid schema: ${cause.message}.`, param: null, code: "invalid_schema" })
      : error({ status: 500, message: String(cause), param: null, code: null })
  ))
}

const streamed = (
  server: Server,
  request: ChatRequest,
  completion: Completion.Completion,
  envelope: Completion.Envelope
): HttpServerResponse.HttpServerResponse => {
  const { model } = request
  const isPartial = model === "effect-chat-stall" || model === "effect-chat-cut"
  const isEndless = model === "effect-chat-stall" || model === "effect-chat-silent"
  const bytes = model === "effect-chat-silent" ? EventStream.silent(server.stop) : EventStream.make({
    events: Completion.toEvents(completion, envelope, request.includeUsage),
    tokens: isPartial ? completion.tokens.slice(0, 3) : completion.tokens,
    delay: server.delay,
    ending: !isPartial ? "tail" : isEndless ? "silence" : "nothing",
    stop: server.stop
  })
  return HttpServerResponse.stream(Stream.flatMap(Stream.scoped(countActive(server)), () => bytes), {
    contentType: "text/event-stream; charset=utf-8",
    // An endless stream ends with the server, which would then wait until the connection closes.
    headers: isEndless ? { "cache-control": "no-cache", connection: "close" } : { "cache-control": "no-cache" }
  })
}

const countActive = (server: Server): Effect.Effect<void, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => void server.active++),
    () => Effect.sync(() => void server.active--)
  )

const document = (
  server: Server,
  request: ChatRequest,
  completion: Completion.Completion,
  envelope: Completion.Envelope
): Handler => {
  const text = Completion.toJson(completion, envelope)
  const send = (text: string) => HttpServerResponse.text(text, { contentType: "application/json" })
  if (request.model === "effect-chat-cut") return Effect.succeed(send(text.slice(0, text.length / 2)))
  // The platform runs handlers uninterruptibly, but this wait must end when the client disconnects.
  return request.model === "effect-chat-silent" || request.model === "effect-chat-stall"
    ? countActive(server).pipe(
      Effect.zipRight(Effect.interruptible(server.stop.wait)),
      Effect.scoped,
      Effect.as(HttpServerResponse.empty({ status: 503 }))
    )
    : Effect.succeed(send(text))
}

const ok = (body: unknown): Handler => Effect.succeed(HttpServerResponse.unsafeJson(body))

const error = ({ status, ...rest }: Parse.Refusal): Handler => {
  const type = status >= 500 ? "server_error" : "invalid_request_error"
  const { code, message, param } = rest
  return Effect.succeed(HttpServerResponse.unsafeJson({ error: { message, type, param, code } }, { status }))
}

const decode = (segment: string): string => {
  try {
    return decodeURIComponent(segment)
  } catch {
    return segment
  }
}
