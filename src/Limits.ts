/**
 * Limits that many conversations share: how many calls run at a time, and how many requests and tokens begin in a minute.
 *
 * A `ChatManager` takes limits as an option, for all of its conversations together. Their `over` lays them over any wire
 * and gives a wire, for `LLMChat.fromCompletions` and for managers that share one. What one server allows is one limit;
 * servers with allowances of their own have limits of their own.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as ChatCompletions from "./ChatCompletions.ts"
import { type ChatError, TimeoutError } from "./ChatError.ts"
import { estimateInput } from "./internal/estimate.ts"
import * as Gate from "./internal/limits/gate.ts"
import { Spending } from "./internal/limits/spending.ts"
import { WholeOrInfinite } from "./internal/settings.ts"
import * as Pull from "./internal/transport/stream.ts"
import * as LLMConfig from "./LLMConfig.ts"

/**
 * What is limited. What is absent or `Infinity` is not.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many calls run at the same time, 1 or more. A stream runs until it ends or its consumer leaves. */
  readonly concurrency?: number | undefined
  /** How many calls begin within any 60 seconds, 1 or more. A call's own retries are not counted. */
  readonly requestsPerMinute?: number | undefined
  /**
   * How many tokens, sent and answered, begin to count within any 60 seconds, 1 or more. A call counts with what
   * `reserve` says when it begins, and with what it really took when it ends. One that takes more than the limit alone
   * goes when nothing else counts.
   */
  readonly tokensPerMinute?: number | undefined
  /**
   * The tokens that a call is likely to take. Default: an estimate of what it sends and the most that it lets the model
   * answer (`maxTokens`), as providers reckon; 1024 for the answer where that is `null`.
   */
  readonly reserve?: ((request: ChatCompletions.ChatRequest) => number) | undefined
}

/**
 * Limits for any wire.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * The wire with them, which counts for itself: what is to be shared is one wire. Fails with the field, the value and
   * the rule where a limit is bad.
   */
  readonly over: (
    completions: ChatCompletions.Service
  ) => Effect.Effect<ChatCompletions.Service, ParseResult.ParseError, Scope.Scope>
}

const Settings = Schema.Struct({
  concurrency: Schema.optional(WholeOrInfinite),
  requestsPerMinute: Schema.optional(WholeOrInfinite),
  tokensPerMinute: Schema.optional(WholeOrInfinite)
})

/** Reserved for an answer whose length is the server's choice. */
const unknownAnswer = 1024

/**
 * The tokens that a call is likely to take: an estimate of what it sends, and the most that the model may answer.
 *
 * @since 0.1.0
 * @category combinators
 */
export const reserveMost = ({ config, messages, options = {} }: ChatCompletions.ChatRequest): number => {
  const { maxTokens = config.maxTokens } = options
  return estimateInput(messages, options) + (maxTokens ?? unknownAnswer)
}

/**
 * Limits for a wire. What is wrong with them is told where they are laid over one.
 *
 * Calls beyond the limits wait in line. The line is fair between conversations (`ChatRequest.conversation`): each has
 * its turn, so one that queues a hundred calls holds up another's only call by one. Calls without a conversation stand
 * for themselves. A wait can be interrupted and leaves nothing behind. When the scope of `over` closes, calls that wait
 * are interrupted, and so are those that come later; calls that run go on.
 *
 * The config's `totalTimeout` includes the wait: a call that is not let in within it fails with `TimeoutError`, and one
 * that is let in has what is left. The other time limits begin when the call does.
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (options: Options): Limits => ({ over: (completions) => over(completions, options) })

const over = (
  completions: ChatCompletions.Service,
  { reserve = reserveMost, ...options }: Options
): ReturnType<Limits["over"]> =>
  Effect.gen(function*() {
    const { concurrency = Infinity, requestsPerMinute = Infinity, tokensPerMinute = Infinity } = yield* Schema.decode(
      Settings
    )(options)
    const gate = yield* Gate.make({ concurrency, requestsPerMinute, tokensPerMinute })
    const countsTokens = tokensPerMinute !== Infinity

    const enter = (request: ChatCompletions.ChatRequest) =>
      Effect.gen(function*() {
        const admission = yield* admit(gate, request, countsTokens ? reserve(request) : 0)
        const spending = new Spending(admission.place, request, countsTokens)
        yield* Effect.addFinalizer(() => spending.end)
        return { ...admission, spending }
      })

    return {
      complete: (request) =>
        Effect.scoped(Effect.flatMap(enter(request), ({ inWhole, rest, spending }) =>
          completions.complete(rest).pipe(
            Effect.tap((response) => spending.answered(response)),
            Effect.tapError((error) => spending.failed(error)),
            Effect.mapError(inWhole)
          ))),
      stream: (request) =>
        Pull.toStream((scope) =>
          Effect.map(Scope.extend(enter(request), scope), ({ inWhole, rest, spending }) => {
            const pull = Pull.toPull(completions.stream(rest), scope)
            return Effect.mapError(spending.watch(pull), Option.map(inWhole))
          })
        )
    }
  })

/** A call that was let in. */
interface Admission {
  readonly place: Gate.Place
  /** The request, with the time that is left for it. */
  readonly rest: ChatCompletions.ChatRequest
  /** An error in the terms of the whole call. */
  readonly inWhole: (error: ChatError) => ChatError
}

const admit = (
  gate: Gate.Gate,
  request: ChatCompletions.ChatRequest,
  tokens: number
): Effect.Effect<Admission, TimeoutError, Scope.Scope> =>
  Effect.gen(function*() {
    const limit = request.config.totalTimeout
    const begun = yield* Clock.currentTimeMillis
    const place = yield* gate.join(request.conversation ?? {}, tokens)
    yield* Duration.isFinite(limit)
      ? Effect.timeoutFail(place.admitted, { duration: limit, onTimeout: () => timedOut(limit, limit) })
      : place.admitted
    const waited = Duration.millis((yield* Clock.currentTimeMillis) - begun)
    if (!Duration.isFinite(limit) || Duration.equals(waited, Duration.zero)) {
      return { place, rest: request, inWhole: (error) => error }
    }
    const totalTimeout = Duration.max(Duration.subtract(limit, waited), Duration.millis(1))
    const config = Either.getOrElse(LLMConfig.override(request.config, { totalTimeout }), () => request.config)
    return {
      place,
      rest: { ...request, config },
      inWhole: (error) =>
        error._tag === "TimeoutError" && error.phase === "total" ? timedOut(limit, waited, error) : error
    }
  })

const timedOut = (limit: Duration.Duration, waited: Duration.Duration, error?: TimeoutError): TimeoutError => {
  const message = error === undefined
    ? `The call was not let in within ${Duration.format(limit)}`
    : `The server did not end its answer within ${Duration.format(limit)}, ${Duration.format(waited)} of them in line`
  const { cause, partial, requestId, status } = error ?? {}
  return new TimeoutError({ message, phase: "total", limit, status, requestId, partial, cause })
}
