/**
 * Further servers, for when the first one cannot answer.
 *
 * `LLMChat.make` and `ChatManager.make` take a fallback as an option, and its `over` lays it over any wire. Over a wire
 * with limits (`Limits`) every attempt waits for its own place.
 *
 * `ChatResponse.provider` and `model` say who answered.
 *
 * @since 0.1.0
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as ParseResult from "effect/ParseResult"
import * as Stream from "effect/Stream"
import type * as ChatCompletions from "./ChatCompletions.ts"
import type { ChatError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import { change } from "./internal/changedError.ts"
import { saysNothing } from "./internal/response.ts"
import { serverName } from "./internal/serverName.ts"
import * as LLMConfig from "./LLMConfig.ts"

/**
 * Who is asked next, and when.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /**
   * Who is asked after the request's own config, in this order: the same for all requests, or by the request. Each has
   * settings of its own, with the defaults of `LLMConfig`: nothing is taken from the first one, its key least of all.
   */
  readonly configs:
    | ReadonlyArray<LLMConfig.LLMConfig | LLMConfig.Options>
    | ((request: ChatCompletions.ChatRequest) => ReadonlyArray<LLMConfig.LLMConfig>)
  /** Whether the next one is asked after this error. Default {@link isWorthAnother}. */
  readonly shouldFallback?: ((error: ChatError) => boolean) | undefined
  /** Told whenever the next one is about to be asked. */
  readonly onFallback?: ((attempt: FailedAttempt) => Effect.Effect<void>) | undefined
}

/**
 * Further servers, for any wire.
 *
 * @since 0.1.0
 * @category models
 */
export interface Fallback {
  /** The wire with them. Fails with the place, the field, the value and the rule where a config is bad. */
  readonly over: (
    completions: ChatCompletions.Service
  ) => Either.Either<ChatCompletions.Service, ParseResult.ParseError>
}

/**
 * An attempt that another one follows.
 *
 * @since 0.1.0
 * @category models
 */
export interface FailedAttempt {
  readonly config: LLMConfig.LLMConfig
  readonly error: ChatError
  /** Who is asked next. */
  readonly next: LLMConfig.LLMConfig
}

/**
 * Whether another server may answer where this one failed: it refuses for now (`RateLimitError`), for good
 * (`QuotaError`), fails (`ServerError`), is not reached (`TransportError`), or takes too long before it says anything
 * (`TimeoutError`). What is wrong with the request, the key or the messages is not; nor is an answer that broke off,
 * because it may have been paid for.
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
      return error.partial === undefined || saysNothing(error.partial)
    default:
      return false
  }
}

/**
 * Further servers for a wire. What is wrong with their configs is told where they are laid over one.
 *
 * The request's own config is asked first, with its retries; then the others, each with its own settings, retries and
 * time limits. All get the same messages, so the system prompt is the first config's, and the same options but for
 * `model`, which is the name of the first server's model. An error that is not worth another attempt fails the call at
 * once.
 *
 * A stream never mixes answers: once an event was told, its errors are the caller's. Where all fail, the error is the
 * last one's, and {@link attempts} gives all.
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
    // Without what was given: it can have a key.
    ({ issue }) => ParseResult.parseError(new ParseResult.Pointer(["configs", index], undefined, issue))
  )

const over = (
  completions: ChatCompletions.Service,
  configs: (request: ChatCompletions.ChatRequest) => ReadonlyArray<LLMConfig.LLMConfig>,
  { onFallback = () => Effect.void, shouldFallback = isWorthAnother }: Omit<Options, "configs">
): ChatCompletions.Service => {
  /** What comes after the error: the next server, or the end. */
  const after = (trial: Trial, error: ChatError): Effect.Effect<Trial, ChatError> => {
    const [next, ...rest] = trial.rest
    if (next === undefined || !shouldFallback(error)) return Effect.fail(withEarlier(error, trial.earlier))
    const { config } = trial.request
    const earlier = [...trial.earlier, { config, error }]
    return Effect.as(onFallback({ config, error, next }), { request: requestTo(next, trial.request), rest, earlier })
  }

  const complete = (trial: Trial): Effect.Effect<ChatResponse, ChatError> =>
    Effect.catchAll(
      completions.complete(trial.request),
      (error) => Effect.flatMap(after(trial, error), complete)
    )

  // Not an ExecutionPlan: a step after the first is a retry, which begins anew when it fails after its first event.
  const stream = (trial: Trial): Stream.Stream<ChatEvent, ChatError> =>
    Stream.suspend(() => {
      let hasTold = false
      return completions.stream(trial.request).pipe(
        Stream.mapChunks((events) => {
          hasTold ||= Chunk.isNonEmpty(events)
          return events
        }),
        Stream.catchAll((error) =>
          hasTold
            ? Stream.fail(withEarlier(error, trial.earlier))
            : Stream.unwrap(Effect.map(after(trial, error), stream))
        )
      )
    })

  const first = (request: ChatCompletions.ChatRequest): Trial => ({
    request,
    rest: configs(request),
    earlier: []
  })

  return {
    complete: (request) => Effect.suspend(() => complete(first(request))),
    stream: (request) => Stream.suspend(() => stream(first(request)))
  }
}

/** One attempt, what was tried before it, and what can be tried after it. */
interface Trial {
  readonly request: ChatCompletions.ChatRequest
  readonly rest: ReadonlyArray<LLMConfig.LLMConfig>
  readonly earlier: ReadonlyArray<Omit<FailedAttempt, "next">>
}

const requestTo = (
  config: LLMConfig.LLMConfig,
  request: ChatCompletions.ChatRequest
): ChatCompletions.ChatRequest => ({
  ...request,
  config,
  options: request.options === undefined ? undefined : { ...request.options, model: undefined }
})

/**
 * The cause of an error that other attempts failed before.
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
   * Their errors, the first one's first. `cause` is what the last attempt's own error had for one.
   *
   * @since 0.1.0
   */
  declare readonly errors: Array<ChatError>
}

const withEarlier = (error: ChatError, earlier: Trial["earlier"]): ChatError => {
  if (earlier.length === 0) return error
  const told = earlier.map(({ config, error }) =>
    `${serverName(config)} (${config.model}): ${error._tag}: ${error.message}`
  )
  const cause = new EarlierAttempts(
    earlier.map((attempt) => attempt.error),
    `Asked before: ${told.join("; ")}`,
    error.cause === undefined ? undefined : { cause: error.cause }
  )
  return change(error, { cause })
}

/**
 * The errors of all attempts, the first one's first and the given one last. Of a call without a fallback it is the only
 * one.
 *
 * @since 0.1.0
 * @category getters
 */
export const attempts = (error: ChatError): ReadonlyArray<ChatError> =>
  error.cause instanceof EarlierAttempts ? [...error.cause.errors, error] : [error]
