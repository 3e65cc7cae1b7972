/**
 * One answer from its first try to its end: opens exchanges, decodes what they bring, tries again while nothing was
 * told, and keeps to the time limits.
 */
import type * as HttpClientError from "@effect/platform/HttpClientError"
import type * as HttpClientRequest from "@effect/platform/HttpClientRequest"
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
import { Wait } from "../wait.ts"
import * as Body from "./body.ts"
import { Decoder, type Problem } from "./decoder.ts"
import * as Exchange from "./exchange.ts"
import * as Failure from "./failure.ts"
import { withOverrides } from "./overrides.ts"
import { toBody } from "./request.ts"
import * as Retry from "./retry.ts"
import * as Watch from "./watch.ts"

/**
 * The next events of an answer: never none of them, `Finish` the last of all. Fails with none when there are no more, and
 * where the caller stopped the call.
 */
export type Pull = Effect.Effect<Chunk.Chunk<ChatEvent>, Option.Option<ChatError>>

/** Why no more of a body comes: it is over (none), it broke, or nobody waits for it any more. */
type Unheard = Option.Option<HttpClientError.HttpClientError> | Watch.Passed | Watch.Stopped

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
  Effect.flatMap(withOverrides(config, options), (settings) =>
    Effect.flatMap(
      Exchange.toRequest(settings, toBody(settings, messages, options, stream), stream),
      (request) =>
        Effect.flatMap(Effect.runtime<never>(), (runtime) =>
          Effect.map(Effect.clock, (clock) => {
            // Provided where a request is made, and not around it all: that costs more than most of what is here.
            const services = Context.add(runtime.context, Tracer.ParentSpan, span)
            const watch = new Watch.Watch(config, clock, wait ?? new Wait(runtime))
            return new Answer(client, settings, request, services, watch)
          }))
    ))

/** An answer, pulled by one reader. */
export class Answer {
  readonly #client: Exchange.Client
  readonly #config: LLMConfig
  readonly #request: HttpClientRequest.HttpClientRequest
  readonly #services: Context.Context<never>
  readonly #watch: Watch.Watch
  #scope: Scope.CloseableScope | undefined
  #reading: Reading | undefined
  /** Begins, reads on, or tells the end. Made once an exchange, for it is used for every network chunk. */
  #next: Pull
  #retries = 0
  /** Events that are no deltas, held back until a delta is told: an error before it can still be mended. */
  #held: Array<ChatEvent> = []
  #told = false

  constructor(
    client: Exchange.Client,
    config: LLMConfig,
    request: HttpClientRequest.HttpClientRequest,
    services: Context.Context<never>,
    watch: Watch.Watch
  ) {
    this.#client = client
    this.#config = config
    this.#request = request
    this.#services = services
    this.#watch = watch
    this.#next = this.#begin
  }

  /** The next pull. Each is for one use. */
  pull(): Pull {
    return this.#next
  }

  /** Pulls until the end, and gives the whole of it. */
  get whole(): Effect.Effect<ChatResponse, ChatError> {
    return Effect.flatMap(
      // Never none: an answer ends with `Finish`.
      Effect.mapError(this.pull(), Option.getOrThrow),
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
      this.#watch.waitWith(
        Context.add(this.#services, Scope.Scope, scope),
        Exchange.open(this.#client, this.#config, this.#request, scope)
      ),
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
      return Effect.matchEffect(this.#watch.wait(body.read), {
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
    const onFailure = (error: Unheard): Pull => this.#unheard(reading, error)
    const onSuccess = (bytes: Iterable<Uint8Array>): Pull => this.#heard(reading, bytes)
    return body === undefined
      ? Effect.matchEffect(this.#watch.wait(pull), { onFailure, onSuccess })
      : this.#watch.until(
        (take) => body.read((read) => take(() => Body.isBytes(read) ? onSuccess([read]) : onFailure(read))),
        onFailure
      )
  }

  #heard(reading: Reading, bytes: Iterable<Uint8Array>): Pull {
    const { decoder } = reading
    const events: Array<ChatEvent> = []
    let problem: Problem | undefined
    for (const chunk of bytes) {
      problem = decoder.push(chunk, events)
      if (problem !== undefined || decoder.isDone) break
    }
    this.#watch.life()
    return this.#tell(reading, events, problem, false)
  }

  #unheard(reading: Reading, error: Unheard): Pull {
    const { decoder, exchange } = reading
    const events: Array<ChatEvent> = []
    if (error._tag === "None") {
      // A body that was read to its end holds nothing: to take its request back would only cost time.
      if (exchange.body !== undefined) this.#scope = undefined
      return this.#tell(reading, events, decoder.end(events), true)
    }
    // The answer is whole once its finish reason was heard, however its connection ends.
    if (error._tag !== "Stopped" && decoder.isComplete) {
      return this.#tell(reading, events, decoder.finish(events), true)
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

  #tell(
    reading: Reading,
    events: Array<ChatEvent>,
    problem: Problem | undefined,
    bodyEnded: boolean
  ): Pull {
    const { decoder, exchange } = reading
    this.#told ||= events.some(isProgress)
    if (this.#told || decoder.isWhole) this.#watch.answer()
    const all = this.#held.length === 0 ? events : this.#held.concat(events)
    if (problem !== undefined) {
      const error = Failure.fromProblem(this.#context(exchange), problem)
      if (!this.#told) return this.#again(error)
      this.#next = failWith(error)
      return all.length === 0 ? this.#next : this.#give(all)
    }
    if (decoder.isDone) {
      this.#next = over
      if (bodyEnded) return this.#give(all)
      // The rest of a whole answer's body is of no interest, but its connection is.
      this.#scope = undefined
      return Effect.zipRight(Exchange.drain(exchange), this.#give(all))
    }
    if (this.#told && all.length > 0) return this.#give(all)
    this.#held = all
    return this.#next
  }

  #give(events: Array<ChatEvent>): Pull {
    this.#held = []
    return Effect.succeed(Chunk.unsafeFromArray(events))
  }

  /** Tries again, if the error is one that a later try can mend. */
  #again(error: ChatError): Pull {
    return Effect.matchEffect(Retry.delay(this.#config, error, this.#retries), {
      onFailure: failWith,
      onSuccess: (delay) => {
        this.#retries++
        this.#held = []
        this.#next = this.#begin
        this.#watch.pause()
        return this.#letGo.pipe(
          Effect.zipRight(this.#watch.wait(Effect.sleep(delay))),
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

const over: Pull = Effect.fail(Option.none())

const failWith = (error: ChatError): Pull => Effect.fail(Option.some(error))

const isEnd = (error: { readonly _tag: string }): error is Watch.Passed | Watch.Stopped =>
  error._tag === "Passed" || error._tag === "Stopped"

const isProgress = (event: ChatEvent): boolean => event._tag !== "UsageUpdate"
