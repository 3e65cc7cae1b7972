/**
 * One turn of a conversation: from its place in line to the one commit that ends it.
 *
 * A turn ends once, in one of four ways: completed, failed, stopped by the conversation, or abandoned by its consumer.
 * Whoever ends it commits what is to be kept and frees the lock; the others find it ended.
 */
import type * as Chunk from "effect/Chunk"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as FiberId from "effect/FiberId"
import * as Option from "effect/Option"
import type * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { BusyError, ChatError, HistoryStoreError } from "../../ChatError.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import { fromResponse } from "../../ChatMessage.ts"
import type { ChatResponse, Usage } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { change as changeError } from "../changedError.ts"
import { make as makeIncarnation } from "../history/incarnation.ts"
import { change } from "../response.ts"
import { type CallWait, type Stopped, stopped } from "../transport/deadlines.ts"
import { HttpWire } from "../transport/http.ts"
import { type Pull, toPullApart } from "../transport/stream.ts"
import { Wait } from "../transport/wait.ts"
import type { Conversation, StoreError, TurnInput } from "./conversation.ts"
import type { Closed, Holder } from "./lock.ts"
import { Meter } from "./meter.ts"
import { Partial } from "./partial.ts"
import { cutCall, named } from "./wholeCalls.ts"

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  readonly id: string
  /** The wire that the turn asks over. */
  readonly completions: ChatCompletions.Service
  readonly conversation: Conversation
  readonly opening: TurnInput
  readonly #config: LLMConfig
  /** What the wire holds: let go of when the turn is stopped, and with the turn's scope. */
  readonly wire: Scope.CloseableScope
  readonly #waiting: Wait<Stopped>
  readonly #call: CallWait
  readonly #told = new Partial()
  /** Counts the calls that the turn makes. */
  readonly meter: Meter = new Meter()
  readonly #settled: Deferred.Deferred<void> = Deferred.unsafeMake(FiberId.none)
  #ended = false
  #stopping = false

  constructor(
    id: string,
    completions: ChatCompletions.Service,
    conversation: Conversation,
    opening: TurnInput,
    config: LLMConfig,
    wire: Scope.CloseableScope,
    runtime: Runtime.Runtime<never>
  ) {
    this.id = id
    this.completions = completions
    this.conversation = conversation
    this.opening = opening
    this.#config = config
    this.wire = wire
    this.#waiting = new Wait(runtime)
    this.#call = new Wait(runtime)
  }

  /** Whether the turn is over, or about to be. */
  get hasEnded(): boolean {
    return this.#ended || this.#stopping
  }

  /** Waits for the wire, or for the turn to be stopped. */
  wait<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> {
    return this.#waiting.for(effect)
  }

  /** The answer's events as they come, until the turn is stopped: there are none from then on. */
  listen(request: ChatCompletions.ChatRequest): Effect.Effect<() => Pull<ChatEvent, ChatError>, ChatError> {
    const { completions } = this
    this.meter.begin(request)
    if (completions instanceof HttpWire) return completions.open(request, this.wire, this.#call)
    const next = this.wait(toPullApart(completions.stream(request), this.wire))
    const pull = Effect.mapError(next, (error) => error._tag === "Stopped" ? Option.none() : error)
    return Effect.succeed(() => pull)
  }

  /** Remembers what the consumer is told. */
  tell(events: Chunk.Chunk<ChatEvent>): void {
    this.#told.add(events)
  }

  /** What was told before the turn was stopped, once that is settled. */
  get interrupted(): Effect.Effect<ChatResponse> {
    return Effect.map(this.done, () => this.#part)
  }

  /** The answer is whole, and gives the response as the history has it. A tool call that was cut fails the turn. */
  complete(response: ChatResponse): Effect.Effect<ChatResponse, ChatError | Stopped> {
    const error = cutCall(response)
    if (error !== undefined) return Effect.zipRight(this.fail(error), Effect.fail(error))
    const answer = withUsage(named(response), this.meter.whole(response))
    const commit = Effect.mapError(
      this.#commit(answer),
      // The error has the answer that the store did not take.
      (error) => changeError(error, { partial: answer })
    )
    return Effect.as(this.#end(commit, Effect.fail(stopped)), answer)
  }

  /** The answer failed: the history stays as it was, and the wire is let go of. */
  fail(error: ChatError): Effect.Effect<void, Stopped> {
    return Effect.zipRight(
      this.#end(this.conversation.recordUsage(this.meter.part(error.partial)), Effect.fail(stopped)),
      Scope.close(this.wire, Exit.fail(error))
    )
  }

  /** Waits until it is settled what is kept of the turn. */
  readonly done: Effect.Effect<void> = Deferred.await(this.#settled)

  /** The conversation ends the turn. Half of it would leave others waiting for the rest. */
  readonly stop: Effect.Effect<void> = Effect.uninterruptible(Effect.suspend(() => {
    if (!this.#ended) {
      this.#stopping = true
      this.#waiting.end(stopped)
      this.#call.end(stopped)
    }
    return this.abandon
  }))

  /** The turn ends before its answer does, if it has not ended, and the wire is let go of. */
  readonly abandon: Effect.Effect<void> = Effect.ensuring(
    Effect.catchAll(
      this.#end(
        Effect.suspend(() => {
          const response = this.#part
          return this.#config.onInterrupt === "rollback"
            ? this.conversation.recordUsage(response.usage)
            : this.#commit(response)
        }),
        this.done
      ),
      // There is nobody left to tell. The conversation still has the turn, and can try to save it again.
      (error) => Effect.logWarning("An interrupted turn could not be stored", error)
    ),
    Effect.suspend(() => Scope.close(this.wire, Exit.void))
  )

  /** What was told so far, as an answer that was cut. */
  get #part(): ChatResponse {
    const response = this.#told.response
    return withUsage(response, this.meter.part(response))
  }

  /** Commits the turn. One that says nothing leaves its usage only. */
  #commit(response: ChatResponse): Effect.Effect<void, StoreError> {
    const answer = fromResponse(response)
    return answer === undefined
      ? this.conversation.recordUsage(response.usage)
      : this.conversation.commit({ turnId: this.id, messages: [...this.opening, answer], usage: response.usage })
  }

  /** Ends the turn, unless it has ended already. */
  #end<E, E2>(
    commit: Effect.Effect<void, E>,
    otherwise: Effect.Effect<void, E2>
  ): Effect.Effect<void, E | E2> {
    return Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, E | E2> => {
      if (this.#ended) return otherwise
      this.#ended = true
      return Effect.ensuring(
        commit,
        Effect.sync(() => {
          this.conversation.lock.release(this)
          Deferred.unsafeDone(this.#settled, Effect.void)
        })
      )
    }))
  }
}

const withUsage = (response: ChatResponse, usage: Usage | undefined): ChatResponse =>
  usage === response.usage ? response : change(response, { usage })

/** Waits for this conversation's next turn. It is abandoned with the scope, unless it ended before. */
export const begin = (
  completions: ChatCompletions.Service,
  conversation: Conversation,
  opening: TurnInput,
  scope: Scope.Scope
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError> =>
  Effect.gen(function*() {
    const wire = yield* Scope.make()
    const config = yield* conversation.config
    const turn = new Turn(
      `turn_${yield* makeIncarnation}`,
      completions,
      conversation,
      opening,
      config,
      wire,
      yield* Effect.runtime<never>()
    )
    // Before the lock is taken: a turn can be interrupted at the very moment at which it is handed over.
    yield* Scope.addFinalizer(scope, turn.abandon)
    yield* conversation.lock.acquire(turn, config.turnPolicy)
    return turn
  })
