/**
 * Limits that many conversations share: how many calls run at a time, and how many requests and tokens begin in a minute.
 *
 * **Details**
 *
 * A `ChatManager` accepts limits as an option, for all of its conversations together. `over` wraps any completions service,
 * for `LLMChat.fromCompletions` and for managers that share one.
 *
 * **Gotchas**
 *
 * A call reserves its `maxTokens` until it ends: lower `maxTokens` if answers are short. Use separate limits for servers with
 * separate quotas.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Scope from "effect/Scope"
import type * as ChatCompletions from "./ChatCompletions.ts"
import { type ChatError, TimeoutError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import { inOneLine } from "./internal/issue.ts"
import * as Admission from "./internal/limits/admission.ts"
import { GroupLimits } from "./internal/limits/groupLimits.ts"
import { TokenUse } from "./internal/limits/tokenUse.ts"
import { estimateInput } from "./internal/request/estimate.ts"
import { WholeOrInfinite } from "./internal/settingSchemas.ts"
import { monotonicMillis } from "./internal/time.ts"
import { ended, type Start, toPull, toStream } from "./internal/transport/stream.ts"
import { type Stopped, untilAborted } from "./internal/transport/wait.ts"
import * as LLMConfig from "./LLMConfig.ts"

/**
 * The limits. One that is absent or `Infinity` does not apply.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** How many calls run at the same time, 1 or more. A stream counts until it ends or its consumer stops reading. */
  readonly concurrency?: number | undefined
  /** How many calls begin within any 60 seconds, 1 or more. A call's own retries are not counted. */
  readonly requestsPerMinute?: number | undefined
  /**
   * How many tokens, of requests and answers, may be used within any 60 seconds, 1 or more. A call counts with the result of
   * `reserve` when it starts, and with its real usage when it ends. A call that needs more than the limit is admitted if no
   * other call counts.
   */
  readonly tokensPerMinute?: number | undefined
  /**
   * The same limits for each conversation, so that one user cannot use up the shared ones. They do not apply to calls
   * without a conversation.
   */
  readonly perConversation?: {
    readonly requestsPerMinute?: number | undefined
    readonly tokensPerMinute?: number | undefined
  } | undefined
  /**
   * The tokens that a call is likely to use. Default {@link reserveMost}, as providers count.
   */
  readonly reserve?: ((request: ChatRequest) => number) | undefined
}

/**
 * Limits for any completions service.
 *
 * @since 0.1.0
 * @category models
 */
export interface Limits {
  /**
   * The service with the limits. Each call of `over` counts anew: conversations that share limits must share one service.
   * Fails with the field, the value and the rule if a limit is invalid.
   */
  readonly over: (
    completions: ChatCompletions.Service
  ) => Effect.Effect<ChatCompletions.Service, ParseResult.ParseError, Scope.Scope>
}

const Settings = Schema.Struct({
  concurrency: Schema.optional(WholeOrInfinite),
  requestsPerMinute: Schema.optional(WholeOrInfinite),
  tokensPerMinute: Schema.optional(WholeOrInfinite),
  perConversation: Schema.optional(Schema.Struct({
    requestsPerMinute: Schema.optional(WholeOrInfinite),
    tokensPerMinute: Schema.optional(WholeOrInfinite)
  }))
})

/** Reserved for an answer without `maxTokens`. */
const unknownAnswer = 1024

/**
 * Estimates the tokens that a call uses at most: those that it sends, plus `maxTokens` for the answer, or 1024 if that is
 * `null`.
 *
 * @example
 * import { ChatMessage, Limits, LLMConfig } from "effect-chat"
 *
 * const tokens = Limits.reserveMost({
 *   config: LLMConfig.make({ baseUrl: "http://localhost/v1", maxTokens: 500 }),
 *   messages: [ChatMessage.user("Hi")]
 * })
 *
 * assert.ok(tokens > 500)
 *
 * @since 0.1.0
 * @category combinators
 */
export const reserveMost = ({ config, messages, options = {} }: ChatRequest): number => {
  const { maxTokens = config.maxTokens } = options
  return estimateInput(messages, options) + (maxTokens ?? unknownAnswer)
}

/**
 * Limits for a completions service. `over` fails if one of them is invalid.
 *
 * Calls beyond the limits wait in a queue. The queue is fair between conversations (`ChatRequest.conversation`): it serves
 * them in turn, so a conversation that queues a hundred calls delays another's only call by one. A call without a
 * conversation is a conversation of its own. A wait can be interrupted or stopped (`ChatRequest.signal`) and leaves
 * nothing behind. When the scope of `over` closes, calls that wait are interrupted, and so are those that come later;
 * calls that run go on.
 *
 * The config's `totalTimeout` includes the wait: a call that is not admitted within it fails with `TimeoutError`, and one
 * that is admitted has the rest of it. The other time limits begin when the call does.
 *
 * @example
 * import { Effect } from "effect"
 * import { ChatManager, Limits } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.make({
 *     config: { baseUrl: "http://localhost/v1" },
 *     limits: Limits.make({
 *       concurrency: 50,
 *       requestsPerMinute: 500,
 *       perConversation: { requestsPerMinute: 10 }
 *     })
 *   })
 *   const chat = yield* manager.getChat("ada")
 *   const { text } = yield* chat.chat("Hi")
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])])
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(script)))
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
    const settings = yield* Effect.mapError(Schema.decode(Settings, { errors: "all" })(options), inOneLine)
    const { concurrency = Infinity, requestsPerMinute = Infinity, tokensPerMinute = Infinity } = settings
    const groupLimits = yield* makeGroupLimits(settings.perConversation)
    const admission = yield* Admission.make({ concurrency, requestsPerMinute, tokensPerMinute })
    const countsTokens = tokensPerMinute !== Infinity ||
      (settings.perConversation?.tokensPerMinute ?? Infinity) !== Infinity

    const enter = (request: ChatRequest) =>
      Effect.gen(function*() {
        const admitted = yield* admit(admission, groupLimits, request, countsTokens ? reserve(request) : 0)
        const use = new TokenUse(admitted.permit, request, countsTokens)
        yield* Effect.addFinalizer(() => use.end)
        return { ...admitted, use }
      })

    const complete = (request: ChatRequest) =>
      Effect.flatMap(enter(request), ({ mapError, request, use }) =>
        completions.complete(request).pipe(
          Effect.tap((response) => use.onResponse(response)),
          Effect.tapError((error) => use.onFailure(error)),
          Effect.mapError(mapError)
        ))

    const start = (request: ChatRequest, scope: Scope.Scope): ReturnType<Start<ChatEvent, ChatError>> =>
      enter(request).pipe(
        Scope.extend(scope),
        Effect.map(({ mapError, request, use }) => {
          const pull = use.track(toPull(completions.stream(request), scope, request.signal))
          return mapError === identity ? pull : Effect.mapError(pull, Option.map(mapError))
        }),
        Effect.catchTag("Stopped", () => Effect.succeed(ended))
      )

    return {
      complete: (request) => Effect.catchTag(Effect.scoped(complete(request)), "Stopped", () => Effect.interrupt),
      stream: (request) => toStream((scope) => start(request, scope), request.signal)
    }
  })

/** The limits of conversations, if there are any. */
const makeGroupLimits = (
  { requestsPerMinute = Infinity, tokensPerMinute = Infinity }: NonNullable<Options["perConversation"]> = {}
): Effect.Effect<GroupLimits | undefined, never, Scope.Scope> =>
  requestsPerMinute === Infinity && tokensPerMinute === Infinity
    ? Effect.succeed(undefined)
    : Effect.acquireRelease(
      Effect.sync(() => new GroupLimits({ requestsPerMinute, tokensPerMinute })),
      (groupLimits) => groupLimits.close
    )

/** A call that was admitted. */
interface Admitted {
  readonly permit: Admission.Permit
  /** The request, with the time that is left for it. */
  readonly request: ChatRequest
  /** Adds the time in the queue to an error of the `totalTimeout`. */
  readonly mapError: (error: ChatError) => ChatError
}

const admit = (
  admission: Admission.Admission,
  groupLimits: GroupLimits | undefined,
  request: ChatRequest,
  tokens: number
): Effect.Effect<Admitted, TimeoutError | Stopped, Scope.Scope> =>
  Effect.gen(function*() {
    const limit = request.config.totalTimeout
    const clock = yield* Effect.clock
    const start = monotonicMillis(clock)
    const scope = yield* Effect.scope
    /** Waits until the effect is done, the call is stopped, or its time is over. */
    const wait = <A>(effect: Effect.Effect<A>, since = monotonicMillis(clock)) =>
      Effect.suspend(() => {
        const left = Duration.subtract(limit, Duration.millis(since - start))
        const timed = Effect.timeoutFail(effect, { duration: left, onTimeout: () => timedOut(limit, limit) })
        return untilAborted(Duration.isFinite(limit) ? timed : effect, request.signal)
      })
    const { conversation } = request
    const reservation = groupLimits === undefined || conversation === undefined
      ? undefined
      : yield* wait(Scope.extend(groupLimits.acquire(conversation, tokens), scope), start)
    const own = yield* admission.join(conversation ?? {}, tokens)
    // The queue is joined at once; only the wait in it can be stopped.
    yield* wait(own.admitted, reservation === undefined ? start : undefined)
    const permit = reservation === undefined ? own : {
      ...own,
      settle: (tokens: number) => Effect.zipRight(reservation.settle(tokens), own.settle(tokens))
    }
    const waited = Duration.millis(Math.floor(monotonicMillis(clock) - start))
    if (!Duration.isFinite(limit) || Duration.equals(waited, Duration.zero)) {
      return { permit, request, mapError: identity }
    }
    const totalTimeout = Duration.max(Duration.subtract(limit, waited), Duration.millis(1))
    const config = Either.getOrElse(LLMConfig.override(request.config, { totalTimeout }), () => request.config)
    return {
      permit,
      request: { ...request, config },
      mapError: (error) =>
        error._tag === "TimeoutError" && error.phase === "total" ? timedOut(limit, waited, error) : error
    }
  })

const timedOut = (limit: Duration.Duration, waited: Duration.Duration, error?: TimeoutError): TimeoutError => {
  const message = error === undefined
    ? `The call was not admitted within ${Duration.format(limit)}`
    : `The server did not end its answer within ${Duration.format(limit)}, ${
      Duration.format(waited)
    } of them in the queue`
  const { cause, partial, requestId, status } = error ?? {}
  return new TimeoutError({ message, phase: "total", limit, status, requestId, partial, cause })
}
