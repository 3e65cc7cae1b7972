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
import type * as Runtime from "effect/Runtime"
import * as Scope from "effect/Scope"
import { type BusyError, type ChatError, ConflictError, HistoryStoreError } from "../ChatError.ts"
import type { ChatEvent } from "../ChatEvent.ts"
import type { ChatResponse } from "../ChatResponse.ts"
import type { LLMConfig } from "../LLMConfig.ts"
import type { Conversation, Opening, StoreError } from "./conversation.ts"
import { Partial } from "./partial.ts"
import type { Closed, Holder } from "./turnLock.ts"
import { Wait } from "./wait.ts"
import { cutCall, named } from "./wholeCalls.ts"

/** Why a turn's wait ended: it was stopped. */
export interface Stopped {
  readonly _tag: "Stopped"
}

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  private readonly conversation: Conversation
  private readonly config: LLMConfig
  private readonly opening: Opening
  /** What the wire holds: let go of when the turn is stopped, and with the turn's scope. */
  readonly wire: Scope.CloseableScope
  private readonly waiting: Wait<Stopped>
  private readonly told = new Partial()
  private readonly settled: Deferred.Deferred<void> = Deferred.unsafeMake(FiberId.none)
  private ended = false

  constructor(
    conversation: Conversation,
    config: LLMConfig,
    opening: Opening,
    wire: Scope.CloseableScope,
    runtime: Runtime.Runtime<never>
  ) {
    this.conversation = conversation
    this.config = config
    this.opening = opening
    this.wire = wire
    this.waiting = new Wait(runtime)
  }

  /** Waits for the wire, or for the turn to be stopped. */
  wait<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> {
    return this.waiting.for(effect)
  }

  /** Remembers what the consumer is told, unless the turn has ended. */
  tell(events: Chunk.Chunk<ChatEvent>): Effect.Effect<void, Stopped> {
    return Effect.suspend(() => {
      if (this.ended) return Effect.fail(stopped)
      this.told.add(events)
      return Effect.void
    })
  }

  /** What was told before the turn was stopped, once that is settled. */
  get interrupted(): Effect.Effect<ChatResponse> {
    return Effect.map(Deferred.await(this.settled), () => this.told.response)
  }

  /** The answer is whole, and gives the response as the history has it. A tool call that was cut fails the turn. */
  complete(response: ChatResponse): Effect.Effect<ChatResponse, ChatError> {
    const error = cutCall(response)
    if (error !== undefined) return Effect.zipRight(this.fail(error), Effect.fail(error))
    const answer = named(response)
    return this.end(this.conversation.commit(this.opening, answer)).pipe(
      Effect.mapError((error) => withPartial(error, answer)),
      Effect.as(answer)
    )
  }

  /** The answer failed: the history stays as it was. */
  fail(error: ChatError): Effect.Effect<void> {
    return this.end(this.conversation.spend(error.partial?.usage))
  }

  /** The conversation ends the turn. */
  readonly stop: Effect.Effect<void> = Effect.suspend(() => {
    if (!this.ended) this.waiting.end({ _tag: "Stopped" })
    return Effect.zipRight(this.abandon, Scope.close(this.wire, Exit.void))
  })

  /** The turn ends before its answer does. */
  readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    const response = this.told.response
    if (this.config.onInterrupt === "rollback") return this.end(this.conversation.spend(response.usage))
    // There is nobody left to tell. The conversation still has the turn, and can try to save it again.
    return Effect.catchAll(
      this.end(this.conversation.commit(this.opening, response)),
      (error) => Effect.logWarning("An interrupted turn could not be stored", error)
    )
  })

  private end<E>(commit: Effect.Effect<void, E>): Effect.Effect<void, E> {
    return Effect.suspend(() => {
      if (this.ended) return Deferred.await(this.settled)
      this.ended = true
      return commit.pipe(
        Effect.ensuring(Effect.sync(() => {
          this.conversation.lock.release(this)
          Deferred.unsafeDone(this.settled, Effect.void)
        })),
        Effect.uninterruptible
      )
    })
  }
}

/** Waits for this conversation's next turn. It is abandoned with its scope, unless it ended before. */
export const begin = (
  conversation: Conversation,
  opening: Opening
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.gen(function*() {
      const scope = yield* Effect.scope
      const wire = yield* Scope.make()
      const config = yield* restore(conversation.config)
      const turn = new Turn(conversation, config, opening, wire, yield* Effect.runtime<never>())
      yield* restore(conversation.lock.acquire(turn, config.turnPolicy))
      yield* Scope.addFinalizer(scope, Effect.zipRight(turn.abandon, Scope.close(wire, Exit.void)))
      return turn
    })
  )

/** The error with the answer that the store did not take. */
const withPartial = (error: StoreError, partial: ChatResponse): StoreError => {
  const { cause, conversationId, message } = error
  return error._tag === "HistoryStoreError"
    ? new HistoryStoreError({ message, conversationId, cause, partial })
    : new ConflictError({
      message,
      conversationId,
      expectedVersion: error.expectedVersion,
      actualVersion: error.actualVersion,
      partial
    })
}
