/**
 * Further servers that are tried if the first one cannot answer.
 *
 * **Details**
 *
 * `LLMChat.make` and `ChatManager.make` accept a fallback as an option, and its `over` wraps any completions service.
 * `ChatResponse.provider` and `model` name the server that answered.
 *
 * **Gotchas**
 *
 * The next server is tried after the retries and time limits of the one before: lower its `maxRetries` and
 * `firstTokenTimeout`. With `Limits`, every attempt waits for its own permit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ExecutionStrategy from "effect/ExecutionStrategy"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as ParseResult from "effect/ParseResult"
import * as Scope from "effect/Scope"
import type * as ChatCompletions from "./ChatCompletions.ts"
import type { ChatError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import { isEmpty } from "./internal/decode/response.ts"
import { withErrorFields } from "./internal/errors/toChatError.ts"
import { inOneLine } from "./internal/issue.ts"
import { serverName } from "./internal/settingSchemas.ts"
import { ended, type Pull, toPull, toStream } from "./internal/transport/stream.ts"
import { type Stopped, stopped, untilAborted } from "./internal/transport/wait.ts"
import * as LLMConfig from "./LLMConfig.ts"

/**
 * Which servers are tried next, and when.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * The servers that are tried after the request's own config, in this order: the same for all requests, or by the
   * request. Each has its own settings, with the defaults of `LLMConfig`. None receives the settings or the key of the
   * request's own config.
   */
  readonly configs:
    | ReadonlyArray<LLMConfig.LLMConfig | LLMConfig.Options>
    | ((request: ChatRequest) => ReadonlyArray<LLMConfig.LLMConfig>)
  /** Whether the next server is tried after this error. Default {@link isWorthAnother}. */
  readonly shouldFallback?: ((error: ChatError) => boolean) | undefined
  /** Runs before the next server is tried. */
  readonly onFallback?: ((attempt: FailedAttempt) => Effect.Effect<void>) | undefined
}

/**
 * Further servers, for any completions service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fallback {
  /** The service with the fallback. Fails with the place, the field, the value and the rule if a config is invalid. */
  readonly over: (
    completions: ChatCompletions.Service
  ) => Either.Either<ChatCompletions.Service, ParseResult.ParseError>
}

/**
 * An attempt that failed and is followed by another one.
 *
 * @since 0.1.0
 * @category models
 */
export interface FailedAttempt {
  readonly config: LLMConfig.LLMConfig
  readonly error: ChatError
  /** The server that is tried next. */
  readonly next: LLMConfig.LLMConfig
}

/**
 * Whether another server is tried after this error: the server is rate-limited (`RateLimitError`), out of quota
 * (`QuotaError`), failing (`ServerError`), unreachable (`TransportError`), or too slow before its first delta
 * (`TimeoutError`). An invalid request, key or message is not worth another attempt, and neither is an answer that broke
 * off, because the provider may have charged for it.
 *
 * @example
 * import { ChatError, Fallback } from "effect-chat"
 *
 * const busy = new ChatError.RateLimitError({ message: "Too many requests" })
 * const denied = new ChatError.AuthenticationError({ message: "Invalid key" })
 *
 * assert.strictEqual(Fallback.isWorthAnother(busy), true)
 * assert.strictEqual(Fallback.isWorthAnother(denied), false)
 *
 * @since 0.1.0
 * @category guards
 */
export const isWorthAnother = (error: ChatError): boolean => {
  switch (error._tag) {
    case "QuotaError":
    case "RateLimitError":
    case "ServerError":
    case "TimeoutError":
    case "TransportError":
      return error.partial === undefined || isEmpty(error.partial)
    default:
      return false
  }
}

/**
 * Further servers for a completions service. `over` fails if one of their configs is invalid.
 *
 * The request's own config is tried first, with its retries; then the others, each with its own settings, retries and
 * time limits. All receive the same messages, so the system prompt is the first config's, and the same options except
 * `model`, which names the first server's model. An error that is not worth another attempt fails the call at once.
 *
 * A stream never mixes answers: after its first event, the caller receives its errors. If all servers fail, the error is
 * the last one's, and {@link attempts} returns all. A call that is stopped (`ChatRequest.signal`) tries no other server.
 *
 * @example
 * import { Effect } from "effect"
 * import { Fallback, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://first/v1" }, {
 *     fallback: Fallback.make({ configs: [{ baseUrl: "http://second/v1", model: "qwen3" }] })
 *   })
 *   const { provider, text } = yield* chat.chat("Hi")
 *   assert.deepStrictEqual([provider, text], ["http://second", "Hello!"])
 * })
 *
 * const script = ScriptedHttpClient.layer([
 *   ScriptedHttpClient.json({ error: { message: "No credit left" } }, { status: 402 }),
 *   ScriptedHttpClient.tokens(["Hel", "lo!"])
 * ])
 *
 * Effect.runPromise(Effect.provide(program, script))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = ({ configs, ...options }: Options): Fallback => ({
  over: (completions) =>
    typeof configs === "function"
      ? Either.right(over(completions, configs, options))
      : Either.map(Either.all(configs.map(decode)), (configs) => over(completions, () => configs, options))
})

const decode = (
  config: LLMConfig.LLMConfig | LLMConfig.Options,
  index: number
): Either.Either<LLMConfig.LLMConfig, ParseResult.ParseError> =>
  Either.mapLeft(
    LLMConfig.decode(config),
    // The issue is made without the input, which can contain a key.
    ({ issue }) => inOneLine(ParseResult.parseError(new ParseResult.Pointer(["configs", index], undefined, issue)))
  )

const over = (
  completions: ChatCompletions.Service,
  configs: (request: ChatRequest) => ReadonlyArray<LLMConfig.LLMConfig>,
  options: Omit<Options, "configs">
): ChatCompletions.Service => {
  const next = nextAttempt(options)
  const firstOf = (request: ChatRequest): Attempt => ({ request, rest: configs(request), earlier: [] })

  const complete = (current: Attempt): Effect.Effect<ChatResponse, ChatError> =>
    Effect.catchAll(
      completions.complete(current.request),
      (error) =>
        Effect.matchEffect(next(current, error), {
          onFailure: (error) => error._tag === "Stopped" ? Effect.interrupt : Effect.fail(error),
          onSuccess: complete
        })
    )

  return {
    complete: (request) => Effect.suspend(() => complete(firstOf(request))),
    // Not an ExecutionPlan: its steps after the first are retries, which restart a stream that failed after its first event.
    stream: (request) =>
      toStream((scope) => Effect.sync(() => begin(completions, next, firstOf(request), scope)), request.signal)
  }
}

/** The attempt that follows the error, or the end: an error, or `Stopped` if the call was stopped. */
type NextAttempt = (current: Attempt, error: ChatError) => Effect.Effect<Attempt, ChatError | Stopped>

const nextAttempt =
  ({ onFallback = () => Effect.void, shouldFallback = isWorthAnother }: Omit<Options, "configs">): NextAttempt =>
  ({ earlier, request, rest }, error) =>
    Effect.suspend((): ReturnType<NextAttempt> => {
      const { config, signal } = request
      if (signal?.aborted === true) return Effect.fail(stopped)
      const [next, ...others] = rest
      if (next === undefined || !shouldFallback(error)) return Effect.fail(withEarlier(error, earlier))
      return Effect.as(untilAborted(onFallback({ config, error, next }), signal), {
        request: requestTo(next, request),
        rest: others,
        earlier: [...earlier, { config, error }]
      })
    })

/** Begins the stream of the first attempt that emits an event. */
const begin = (
  completions: ChatCompletions.Service,
  next: NextAttempt,
  first: Attempt,
  scope: Scope.Scope
): Pull<ChatEvent, ChatError> => {
  /** The pull of the attempt that answers. */
  let answer: Pull<ChatEvent, ChatError> | undefined
  // Each attempt has a scope of its own: one that failed holds nothing while the next one runs.
  const attempt = (current: Attempt): Pull<ChatEvent, ChatError> =>
    Effect.flatMap(Scope.fork(scope, ExecutionStrategy.sequential), (scope) => {
      const pull = toPull(completions.stream(current.request), scope, current.request.signal)
      return Effect.matchEffect(pull, {
        onSuccess: (events) => {
          answer = current.earlier.length === 0
            ? pull
            : Effect.mapError(pull, Option.map((error) => withEarlier(error, current.earlier)))
          return Effect.succeed(events)
        },
        onFailure: (error) =>
          Option.isNone(error)
            ? Effect.fail(error)
            : Effect.zipRight(Scope.close(scope, Exit.void), after(current, error.value))
      })
    })
  const after = (current: Attempt, error: ChatError): Pull<ChatEvent, ChatError> =>
    Effect.matchEffect(next(current, error), {
      onFailure: (error) => error._tag === "Stopped" ? ended : Effect.fail(Option.some(error)),
      onSuccess: attempt
    })
  return Effect.suspend(() => answer ?? attempt(first))
}

/** One attempt, what was tried before it, and what can be tried after it. */
interface Attempt {
  readonly request: ChatRequest
  readonly rest: ReadonlyArray<LLMConfig.LLMConfig>
  readonly earlier: ReadonlyArray<Omit<FailedAttempt, "next">>
}

const requestTo = (
  config: LLMConfig.LLMConfig,
  request: ChatRequest
): ChatRequest => ({
  ...request,
  config,
  options: request.options === undefined ? undefined : { ...request.options, model: undefined }
})

/**
 * The cause of an error after earlier attempts that failed.
 *
 * @since 0.1.0
 * @category errors
 */
export class EarlierAttempts extends AggregateError {
  /**
   * The name of the class.
   *
   * @since 0.1.0
   */
  override readonly name = "EarlierAttempts"
  /**
   * The errors of these attempts in their order. `cause` is the cause of the last attempt's error.
   *
   * @since 0.1.0
   */
  declare readonly errors: Array<ChatError>
}

const withEarlier = (error: ChatError, earlier: Attempt["earlier"]): ChatError => {
  if (earlier.length === 0) return error
  const list = earlier.map(({ config, error }) =>
    `${serverName(config)} (${config.model}): ${error._tag}: ${error.message}`
  )
  const cause = new EarlierAttempts(
    earlier.map((attempt) => attempt.error),
    `Earlier attempts: ${list.join("; ")}`,
    error.cause === undefined ? undefined : { cause: error.cause }
  )
  return withErrorFields(error, { cause })
}

/**
 * Returns the errors of all attempts in their order, the given one last. Without a fallback, that is the only one.
 *
 * @example
 * import { Effect } from "effect"
 * import { Fallback, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://first/v1" }, {
 *     fallback: Fallback.make({ configs: [{ baseUrl: "http://second/v1" }] })
 *   })
 *   const error = yield* Effect.flip(chat.chat("Hi"))
 *   assert.deepStrictEqual(Fallback.attempts(error).map(({ _tag }) => _tag), ["QuotaError", "AuthenticationError"])
 * })
 *
 * const script = ScriptedHttpClient.layer([
 *   ScriptedHttpClient.json({ error: { message: "No credit left" } }, { status: 402 }),
 *   ScriptedHttpClient.json({ error: { message: "Invalid key" } }, { status: 401 })
 * ])
 *
 * Effect.runPromise(Effect.provide(program, script))
 *
 * @since 0.1.0
 * @category getters
 */
export const attempts = (error: ChatError): ReadonlyArray<ChatError> =>
  error.cause instanceof EarlierAttempts ? [...error.cause.errors, error] : [error]
