/**
 * One answer from its first try to its end: opens exchanges, decodes what they bring, tries again while nothing was
 * told, and keeps to the time limits.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import * as Chunk from "effect/Chunk"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import * as Tracer from "effect/Tracer"
import type { ChatRequest } from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { Decoder, type Problem } from "../decode/decoder.ts"
import * as Failure from "../errors/toChatError.ts"
import { toBody } from "../request/body.ts"
import { withOverrides } from "../request/overrides.ts"
import * as Body from "./byteReader.ts"
import * as Exchange from "./connection.ts"
import * as Watch from "./deadlines.ts"
import * as Retry from "./retry.ts"
import { over } from "./stream.ts"
import { Wait } from "./wait.ts"

/**
 * The next events of an answer: never none of them, `Finish` the last of all. Fails with none when there are no more, and
 * where the caller stopped the call.
 */
export type Pull = Effect.Effect<Chunk.Chunk<ChatEvent>, Option.Option<ChatError>>

/** Why no more of a body comes: it is over (none), it broke, or nobody waits for it any more. */
type Unheard = Option.Option<HttpClientError.HttpClientError> | Watch.Passed | Watch.Stopped

/** Sends the request, and waits for its answer, but not past a limit. */
type Open = (
  scope: Scope.CloseableScope
) => Effect.Effect<Exchange.Exchange, HttpClientError.HttpClientError | Watch.Passed | Watch.Stopped>

/** An exchange whose answer is being read. */
interface Reading {
  readonly exchange: Exchange.Exchange
  readonly decoder: Decoder
}

/**
 * Asks for an answer. Nothing is held or sent before the first pull, and whoever opens it closes it. A caller who wants to stop
 * the call gives the wait. The requests belong to the span.
 */
export const open = (
  client: Exchange.Client,
  { config, messages, options = {} }: ChatRequest,
  stream: boolean,
  span: Tracer.Span,
  wait?: Watch.CallWait
): Effect.Effect<Answer, ChatError> =>
  Effect.gen(function*() {
    const settings = yield* withOverrides(config, options)
    const request = yield* Exchange.toRequest(settings, () => toBody(settings, messages, options, stream), stream)
    const runtime = yield* Effect.runtime<never>()
    const watch = new Watch.Watch(config, yield* Effect.clock, wait ?? new Wait(runtime))
    // Provided where a request is made, and not around it all: that costs more than most of what is here.
    const services = Context.add(runtime.context, Tracer.ParentSpan, span)
    return new Answer(settings, watch, (scope) =>
      watch.waiting.forWith(
        Context.add(services, Scope.Scope, scope),
        Exchange.open(client, settings, request, scope)
      ))
  })

/** An answer, pulled by one reader. */
export class Answer {
  readonly #config: LLMConfig
  readonly #watch: Watch.Watch
  readonly #open: Open
  #scope: Scope.CloseableScope | undefined
  #reading: Reading | undefined
  /** Begins, reads on, or tells the end. Made once an exchange, for it is used for every network chunk. */
  #next: Pull
  #retries = 0
  /** Events that are no deltas, held back until a delta is told: an error before it can still be mended. */
  #held: Array<ChatEvent> = []
  #told = false

  constructor(config: LLMConfig, watch: Watch.Watch, open: Open) {
    this.#config = config
    this.#watch = watch
    this.#open = open
    this.#next = this.#begin
  }

  /** The next pull. Each is for one use. */
  readonly pull = (): Pull => this.#next

  /** Pulls until the end, and gives the whole of it. */
  get whole(): Effect.Effect<ChatResponse, ChatError> {
    return Effect.flatMap(
      // Never none: an answer ends with `Finish`.
      Effect.mapError(this.#next, Option.getOrThrow),
      (events) => {
        const last = Chunk.unsafeLast(events)
        return isFinish(last) ? Effect.succeed(last.response) : this.whole
      }
    )
  }

  /** Ends the call, wherever it is. */
  readonly close: Effect.Effect<void> = Effect.suspend(() => {
    this.#watch.end()
    return this.#letGo
  })

  /** Lets go of the connection, if there is one. */
  readonly #letGo: Effect.Effect<void> = Effect.suspend(() => {
    const scope = this.#scope
    this.#scope = undefined
    this.#reading = undefined
    return scope === undefined ? Effect.void : Scope.close(scope, Exit.void)
  })

  readonly #begin: Pull = Effect.flatMap(Scope.make(), (scope) => {
    this.#scope = scope
    this.#watch.attempt()
    return Effect.matchEffect(
      this.#open(scope),
      {
        onFailure: (error) => isEnd(error) ? this.#halted(error) : this.#unreached(error),
        onSuccess: (exchange) => this.#opened(exchange)
      }
    )
  })

  #unreached(error: HttpClientError.HttpClientError): Pull {
    return error._tag === "RequestError" && error.reason !== "Transport"
      ? failWith(Failure.fromRequest(this.#context(), error))
      : this.#again(Failure.fromTransport(this.#context(), "Could not reach", error))
  }

  #opened(exchange: Exchange.Exchange): Pull {
    const { status } = exchange.response
    const elsewhere = Exchange.redirectedTo(exchange, this.#config.baseUrl)
    if (elsewhere !== undefined) return failWith(Failure.fromRedirect(this.#context(exchange), elsewhere, ""))
    if (status < 200 || status >= 300) {
      const body = Exchange.errorBody(exchange)
      return Effect.matchEffect(this.#watch.waiting.for(body.read), {
        onFailure: (end) => this.#halted(end, body.text(), exchange),
        onSuccess: () => this.#again(Failure.fromStatus(this.#context(exchange), body.text()))
      })
    }
    // Clients make a response's headers anew for every look.
    const decoder = new Decoder(this.#config, () => exchange.response.headers["content-type"])
    this.#reading = { exchange, decoder }
    this.#next = this.#read(this.#reading)
    return this.#next
  }

  #read(reading: Reading): Pull {
    const { body, pull } = reading.exchange
    const watch = this.#watch
    const unheard = (error: Unheard): Pull => Effect.suspend(() => this.#unheard(reading, error))
    if (body === undefined) {
      const wait = Effect.suspend(() => {
        watch.life()
        return watch.waiting.for(pull)
      })
      return Effect.matchEffect(wait, {
        onFailure: unheard,
        onSuccess: (bytes) => this.#hear(reading, bytes) ?? this.#next
      })
    }
    return watch.waiting.until((take) => {
      watch.life()
      const onRead = (read: Body.Read): boolean =>
        take(() => {
          if (!Body.isBytes(read)) return unheard(read)
          const told = this.#hear(reading, [read])
          if (told === undefined) body.read(onRead)
          return told
        })
      body.read(onRead)
    }, unheard)
  }

  /** Decodes bytes, and holds what they say. Undefined where there is nothing to tell yet. */
  #hear(reading: Reading, bytes: Iterable<Uint8Array>): Pull | undefined {
    const { decoder } = reading
    let problem: Problem | undefined
    for (const chunk of bytes) {
      problem = decoder.push(chunk, this.#held)
      if (problem !== undefined || decoder.isDone) break
    }
    // A document says nothing before its end, but its beginning is its answer's.
    this.#watch.life(decoder.isWhole || this.#hasNews)
    return problem !== undefined || decoder.isDone || this.#hasNews
      // The reader may never run it: only then is something told, and the exchange let go of.
      ? Effect.suspend(() => this.#tell(reading, problem))
      : undefined
  }

  #unheard(reading: Reading, error: Unheard): Pull {
    const { decoder, exchange } = reading
    if (error._tag === "None") {
      // A body that was read to its end holds nothing: to take its request back would only cost time.
      if (exchange.body !== undefined) this.#scope = undefined
      return this.#tell(reading, decoder.end(this.#held))
    }
    // The answer is whole once its finish reason was heard, however its connection ends. What was heard is told first.
    if ((decoder.isComplete || this.#hasNews) && error._tag !== "Stopped") {
      return this.#tell(reading, decoder.isComplete ? decoder.finish(this.#held) : undefined)
    }
    return isEnd(error)
      ? this.#halted(error, "", exchange)
      : failWith(Failure.fromTransport(this.#context(exchange), "The connection broke to", error.value))
  }

  #halted(end: Watch.Passed | Watch.Stopped, body = "", exchange?: Exchange.Exchange, cause?: ChatError): Pull {
    return end._tag === "Stopped"
      ? over
      : failWith(Failure.fromTimeout(this.#context(exchange), end, body, cause))
  }

  /** Whether what is held can be told. */
  get #hasNews(): boolean {
    return this.#told ? this.#held.length > 0 : this.#held.some(isProgress)
  }

  /** Tells what is held, and the problem after it. */
  #tell({ decoder, exchange }: Reading, problem: Problem | undefined): Pull {
    const events = this.#held
    this.#told ||= events.some(isProgress)
    const give: Pull = Effect.succeed(Chunk.unsafeFromArray(events))
    this.#held = []
    if (problem !== undefined) {
      const error = Failure.fromProblem(this.#context(exchange), problem)
      if (!this.#told) return this.#again(error)
      this.#next = failWith(error)
      return events.length === 0 ? this.#next : give
    }
    if (decoder.isDone) {
      this.#next = over
      if (this.#scope !== undefined) {
        // The rest of a whole answer's body is of no interest, but its connection is.
        this.#scope = undefined
        Exchange.drain(exchange, this.#watch)
      }
    }
    return give
  }

  /** Tries again, if the error is one that a later try can mend. */
  #again(error: ChatError): Pull {
    return Effect.matchEffect(Retry.delay(this.#config, error, this.#retries), {
      onFailure: failWith,
      onSuccess: (delay) => {
        this.#retries++
        this.#next = this.#begin
        this.#watch.pause()
        return this.#letGo.pipe(
          Effect.zipRight(this.#watch.waiting.for(Effect.sleep(delay))),
          Effect.matchEffect({
            onFailure: (end) => this.#halted(end, "", undefined, error),
            onSuccess: () => this.#begin
          })
        )
      }
    })
  }

  #context(exchange?: Exchange.Exchange): Failure.Context {
    return {
      config: this.#config,
      secrets: Failure.secretsOf(this.#config),
      status: exchange?.response.status,
      headers: exchange?.response.headers ?? {},
      now: this.#watch.now,
      partial: this.#reading?.decoder.partial
    }
  }
}

const failWith = (error: ChatError): Pull => Effect.fail(Option.some(error))

const isEnd = (error: { readonly _tag: string }): error is Watch.Passed | Watch.Stopped =>
  error._tag === "Passed" || error._tag === "Stopped"

const isProgress = (event: ChatEvent): boolean => event._tag !== "UsageUpdate"
