/**
 * The ChatCompletions service over an HttpClient. Sends each request, decodes the response, retries until the first event
 * was emitted, and applies the time limits.
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import type * as Stream from "effect/Stream"
import * as Struct from "effect/Struct"
import * as Tracer from "effect/Tracer"
import type { CallOptions } from "../../CallOptions.ts"
import { type ChatError, InvalidRequestError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { type LLMConfig, override } from "../../LLMConfig.ts"
import { Decoder, type Problem } from "../decode/decoder.ts"
import * as ToChatError from "../errors/toChatError.ts"
import { defined } from "../json.ts"
import { toBody } from "../request/body.ts"
import { type CallWait, Deadlines, type TimedOut } from "./deadlines.ts"
import * as Exchange from "./exchange.ts"
import * as Body from "./responseBody.ts"
import * as Pulls from "./stream.ts"
import { type Cancel, onAbort, type Stopped, stopped, Wait } from "./wait.ts"

/** The next events of an answer; `Finish` is the last. Fails with none after the end, or if the call was stopped. */
type Pull = Pulls.Pull<ChatEvent, ChatError>

/** Why a read failed: the body ended (none) or failed, a time limit was exceeded, or the call was stopped. */
type ReadError = Option.Option<HttpClientError.HttpClientError> | TimedOut | Stopped

/** Sends the request and waits for its response, within the limits. */
type Open = (
  scope: Scope.CloseableScope
) => Effect.Effect<Exchange.Exchange, HttpClientError.HttpClientError | TimedOut | Stopped>

/** An exchange whose answer is being read. */
interface Reading {
  readonly exchange: Exchange.Exchange
  readonly decoder: Decoder
}

/** One client's completions. */
export const make = (client: HttpClient.HttpClient) => ({
  complete: (request: ChatRequest): Effect.Effect<ChatResponse, ChatError> =>
    Effect.useSpan("ChatCompletions.complete", { captureStackTrace: false }, (span) =>
      Effect.flatMap(
        open(client, request, false, span),
        (call) => Effect.ensuring(call.complete, call.close)
      )),
  stream: (request: ChatRequest): Stream.Stream<ChatEvent, ChatError> =>
    Pulls.toStream(
      (scope) =>
        Effect.makeSpanScoped("ChatCompletions.stream", { captureStackTrace: false }).pipe(
          Scope.extend(scope),
          Effect.flatMap((span) => open(client, request, true, span)),
          Effect.flatMap((call) => Effect.as(Scope.addFinalizer(scope, call.close), call.pull))
        ),
      request.signal
    )
})

/** Prepares a call. Nothing is acquired or sent before the first pull. The spans of the requests are children of `span`. */
const open = (
  client: Exchange.Client,
  { config, messages, options = {}, signal }: ChatRequest,
  stream: boolean,
  span: Tracer.Span
): Effect.Effect<CompletionCall, ChatError> =>
  Effect.gen(function*() {
    const settings = yield* withOverrides(config, options)
    yield* checkTools(settings, options)
    const request = yield* Exchange.toRequest(settings, () => toBody(settings, messages, options, stream), stream)
    const runtime = yield* Effect.runtime<never>()
    const wait: CallWait = new Wait(runtime)
    const deadlines = new Deadlines(config, yield* Effect.clock, wait)
    // Provided for each request and not around the whole call, which would cost more CPU time.
    const services = Context.add(runtime.context, Tracer.ParentSpan, span)
    return new CompletionCall(settings, deadlines, onAbort(signal, () => wait.end(stopped)), (scope) =>
      wait.forWith(
        Context.add(services, Scope.Scope, scope),
        Exchange.open(client, settings, request, scope)
      ))
  })

/** One call: its attempts and its answer, which one reader pulls. */
class CompletionCall {
  readonly #config: LLMConfig
  readonly #deadlines: Deadlines
  /** Removes the listener of the caller's signal. */
  readonly #removeAbortListener: Cancel
  readonly #open: Open
  #scope: Scope.CloseableScope | undefined
  #reading: Reading | undefined
  /** The next step: start, read or end. Created once per exchange, because every network chunk uses it. */
  #next: Pull
  #retries = 0
  /** Events before the first delta, buffered because an error before it can still be retried. */
  #buffer: Array<ChatEvent> = []
  #emitted = false

  constructor(config: LLMConfig, deadlines: Deadlines, removeAbortListener: Cancel, open: Open) {
    this.#config = config
    this.#deadlines = deadlines
    this.#removeAbortListener = removeAbortListener
    this.#open = open
    this.#next = this.#start
  }

  readonly pull: Pull = Effect.suspend(() => this.#next)

  /** Pulls until the end and returns the response. Interrupts if the call was stopped. */
  get complete(): Effect.Effect<ChatResponse, ChatError> {
    return Effect.matchEffect(this.#next, {
      // None only if the call was stopped: an answer ends with `Finish`.
      onFailure: Option.match({ onNone: () => Effect.interrupt, onSome: Effect.fail }),
      onSuccess: (events) => {
        const last = events.at(-1)
        return last !== undefined && isFinish(last) ? Effect.succeed(last.response) : this.complete
      }
    })
  }

  /** Ends the call in any state. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#removeAbortListener()
    this.#deadlines.end()
    return this.#release
  })

  /** Releases the connection, if there is one. */
  readonly #release: Effect.Effect<void> = Effect.suspend(() => {
    const scope = this.#scope
    this.#scope = undefined
    this.#reading = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })

  readonly #start: Pull = Effect.flatMap(Scope.make(), (scope) => {
    this.#scope = scope
    this.#deadlines.attempt()
    return Effect.matchEffect(
      this.#open(scope),
      {
        onFailure: (error) => isEarlyEnd(error) ? this.#endEarly(error) : this.#requestFailed(error),
        onSuccess: (exchange) => this.#handleResponse(exchange)
      }
    )
  })

  #requestFailed(error: HttpClientError.HttpClientError): Pull {
    return error._tag === "RequestError" && error.reason !== "Transport"
      ? failWith(ToChatError.fromRequest(this.#context(), error))
      : this.#retry(ToChatError.fromTransport(this.#context(), "Could not reach", error))
  }

  #handleResponse(exchange: Exchange.Exchange): Pull {
    const { status } = exchange.response
    const redirectTarget = Exchange.redirectedTo(exchange, this.#config.baseUrl)
    if (redirectTarget !== undefined) {
      return failWith(ToChatError.fromRedirect(this.#context(exchange), redirectTarget, ""))
    }
    if (status < 200 || status >= 300) {
      const body = Exchange.errorBody(exchange)
      return Effect.matchEffect(this.#deadlines.wait.for(body.read), {
        onFailure: (end) => this.#endEarly(end, body.text(), exchange),
        onSuccess: () => this.#retry(ToChatError.fromStatus(this.#context(exchange), body.text()))
      })
    }
    // Clients create the headers of a response with every access.
    const decoder = new Decoder(this.#config, () => exchange.response.headers["content-type"])
    this.#reading = { exchange, decoder }
    this.#next = this.#read(this.#reading)
    return this.#next
  }

  #read(reading: Reading): Pull {
    const { body, pull } = reading.exchange
    const deadlines = this.#deadlines
    const readFailed = (error: ReadError): Pull => Effect.suspend(() => this.#readFailed(reading, error))
    if (body === undefined) {
      const wait = Effect.suspend(() => {
        deadlines.touch()
        return deadlines.wait.for(pull)
      })
      return Effect.matchEffect(wait, {
        onFailure: readFailed,
        onSuccess: (bytes) => this.#receive(reading, bytes) ?? this.#next
      })
    }
    return deadlines.wait.until((take) => {
      deadlines.touch()
      const onRead = (read: Body.Read): boolean =>
        take(() => {
          if (!Body.isBytes(read)) return readFailed(read)
          const pull = this.#receive(reading, [read])
          if (pull === undefined) body.read(onRead)
          return pull
        })
      body.read(onRead)
    }, readFailed)
  }

  /** Decodes bytes into the buffer. Returns undefined if there is nothing to emit yet. */
  #receive(reading: Reading, bytes: Iterable<Uint8Array>): Pull | undefined {
    const { decoder } = reading
    let problem: Problem | undefined
    for (const chunk of bytes) {
      problem = decoder.push(chunk, this.#buffer)
      if (problem !== undefined || decoder.isDone) break
    }
    // A document emits nothing before its end, but the answer starts with its first byte.
    this.#deadlines.touch(decoder.isDocument || this.#hasOutput)
    return problem !== undefined || decoder.isDone || this.#hasOutput
      // The reader may never run this: only if it does, the events count as emitted and the exchange is released.
      ? Effect.suspend(() => this.#emit(reading, problem))
      : undefined
  }

  #readFailed(reading: Reading, error: ReadError): Pull {
    const { decoder, exchange } = reading
    if (error._tag === "None") {
      // A body that was read to its end holds no connection: there is no need to cancel its request.
      if (exchange.body !== undefined) this.#scope = undefined
      return this.#emit(reading, decoder.end(this.#buffer))
    }
    // An answer with a finish reason is complete, however its connection ends. Buffered events are emitted before an error.
    if ((decoder.isComplete || this.#hasOutput) && error._tag !== "Stopped") {
      return this.#emit(
        reading,
        decoder.isComplete ? decoder.finish(this.#buffer) : undefined,
        error._tag === "TimedOut"
      )
    }
    return isEarlyEnd(error)
      ? this.#endEarly(error, "", exchange)
      : failWith(ToChatError.fromTransport(this.#context(exchange), "Lost the connection to", error.value))
  }

  #endEarly(end: TimedOut | Stopped, body = "", exchange?: Exchange.Exchange, cause?: ChatError): Pull {
    return end._tag === "Stopped"
      ? Pulls.ended
      : failWith(ToChatError.fromTimeout(this.#context(exchange), end, body, cause))
  }

  /** Whether the buffer can be emitted. */
  get #hasOutput(): boolean {
    return this.#emitted ? this.#buffer.length > 0 : this.#buffer.some(isProgress)
  }

  /** Emits the buffer, and the problem after it. */
  #emit({ decoder, exchange }: Reading, problem: Problem | undefined, timedOut = false): Pull {
    const events = this.#buffer
    this.#emitted ||= events.some(isProgress)
    const emitEvents: Pull = Effect.succeed(events)
    this.#buffer = []
    if (problem !== undefined) {
      const error = ToChatError.fromProblem(this.#context(exchange), problem)
      if (!this.#emitted) return this.#retry(error)
      this.#next = failWith(error)
      return events.length === 0 ? this.#next : emitEvents
    }
    if (decoder.isDone) {
      this.#next = Pulls.ended
      // Reads the rest of the body, so that the connection can be reused, unless the server stopped sending.
      if (timedOut) return Effect.zipRight(this.#release, emitEvents)
      if (this.#scope !== undefined) {
        this.#scope = undefined
        Exchange.drain(exchange, this.#deadlines)
      }
    }
    return emitEvents
  }

  /** Retries, if the error is transient. */
  #retry(error: ChatError): Pull {
    return Effect.matchEffect(waitBeforeRetry(this.#config, error, this.#retries), {
      onFailure: failWith,
      onSuccess: (wait) => {
        this.#retries++
        this.#next = this.#start
        this.#deadlines.pause()
        return this.#release.pipe(
          Effect.zipRight(this.#deadlines.wait.for(Effect.sleep(wait))),
          Effect.matchEffect({
            onFailure: (end) => this.#endEarly(end, "", undefined, error),
            onSuccess: () => this.#start
          })
        )
      }
    })
  }

  #context(exchange?: Exchange.Exchange): ToChatError.Context {
    return {
      config: this.#config,
      secrets: ToChatError.secretsOf(this.#config),
      status: exchange?.response.status,
      headers: exchange?.response.headers ?? {},
      now: this.#deadlines.date,
      partial: this.#reading?.decoder.partial
    }
  }
}

const failWith = (error: ChatError): Pull => Effect.fail(Option.some(error))

const isEarlyEnd = (error: { readonly _tag: string }): error is TimedOut | Stopped =>
  error._tag === "TimedOut" || error._tag === "Stopped"

const isProgress = (event: ChatEvent): boolean => event._tag !== "UsageUpdate"

/** Whether a retry can succeed. A broken answer is not retried, because the server may have charged for it. */
const isTransient = ({ _tag }: ChatError): boolean =>
  _tag === "RateLimitError" || _tag === "ServerError" || _tag === "TransportError"

/**
 * The wait before the next attempt. Fails with the error if there is no further attempt.
 *
 * The library's own wait starts at `retryBaseDelay`, doubles with every attempt, varies by up to 20 % in both directions,
 * and is at most `retryMaxDelay`. A server's wait is never shortened; if it exceeds `maxRetryAfter`, the call fails.
 */
const waitBeforeRetry = (
  config: LLMConfig,
  error: ChatError,
  retries: number
): Effect.Effect<Duration.Duration, ChatError> => {
  const requestedWait = error.retryAfter ?? Duration.zero
  if (
    !(ToChatError.isRetryRequested(error) ?? isTransient(error)) || retries >= config.maxRetries ||
    Duration.greaterThan(requestedWait, config.maxRetryAfter)
  ) {
    return Effect.fail(error)
  }
  return Effect.map(Random.nextRange(0.8, 1.2), (jitter) => {
    const backoff = Duration.times(config.retryBaseDelay, 2 ** retries * jitter)
    return Duration.max(requestedWait, Duration.min(config.retryMaxDelay, backoff))
  })
}

/** The config with the call's overrides. Fails with the field, its value and the rule that it breaks. */
const withOverrides = (
  config: LLMConfig,
  options: CallOptions
): Effect.Effect<LLMConfig, InvalidRequestError> => {
  const overrides = defined(
    Struct.pick(options, "frequencyPenalty", "maxTokens", "model", "presencePenalty", "temperature", "topP")
  )
  if (Object.keys(overrides).length === 0) return Effect.succeed(config)
  return Effect.mapError(override(config, overrides), ({ message }) => new InvalidRequestError({ message }))
}

/** Refuses too many tools. The server's own error would come later, and often does not say what to do. */
const checkTools = ({ wire: { maxTools = Infinity } }: LLMConfig, { tools = [] }: CallOptions) =>
  tools.length <= maxTools ? Effect.void : Effect.fail(
    new InvalidRequestError({
      message: `The request has ${tools.length} tools, and this server accepts at most ${maxTools} (wire.maxTools)`
    })
  )
