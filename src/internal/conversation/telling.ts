/**
 * A turn whose answer is told as it comes: the wire's events, and what becomes of the turn at their end.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, isFinish } from "../../ChatEvent.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { finishOf } from "../finish.ts"
import type { Pull } from "../pull.ts"
import type { Turn } from "./turn.ts"

/** The telling of one turn. Mutable: one turn is told to one consumer. */
export class Telling<A> {
  readonly #turn: Turn
  readonly #wire: () => Pull<ChatEvent, ChatError>
  readonly #f: (events: Chunk.Chunk<ChatEvent>) => Chunk.Chunk<A>
  #ended = false
  #failed: ChatError | undefined

  /** The turn, the wire's next pull, and what the consumer wants of events. */
  constructor(
    turn: Turn,
    wire: () => Pull<ChatEvent, ChatError>,
    f: (events: Chunk.Chunk<ChatEvent>) => Chunk.Chunk<A>
  ) {
    this.#turn = turn
    this.#wire = wire
    this.#f = f
  }

  /** The next events. What becomes of the turn at their end cannot be interrupted. */
  readonly pull: Pull<A, ChatError> = Effect.suspend(() => {
    if (this.#failed !== undefined) return Effect.fail(Option.some(this.#failed))
    if (this.#ended) return Effect.fail(Option.none())
    return this.#turn.hasEnded ? this.#stopped : Effect.matchEffect(this.#wire(), this.#heard)
  })

  readonly #heard = {
    onSuccess: (events: Chunk.Chunk<ChatEvent>): Pull<A, ChatError> => this.#tell(events),
    onFailure: (error: Option.Option<ChatError>): Pull<A, ChatError> => {
      if (error._tag === "Some") return Effect.uninterruptible(this.#fail(error.value))
      return this.#turn.hasEnded ? this.#stopped : Effect.fail(error)
    }
  }

  #tell(events: Chunk.Chunk<ChatEvent>): Pull<A, ChatError> {
    if (this.#turn.hasEnded) return this.#stopped
    const last = Chunk.unsafeLast(events)
    if (isFinish(last)) return Effect.uninterruptible(this.#finish(Chunk.dropRight(events, 1), last.response))
    this.#turn.tell(events)
    return Effect.succeed(this.#f(events))
  }

  #fail(error: ChatError): Pull<A, ChatError> {
    return Effect.matchEffect(this.#turn.fail(error), {
      onFailure: () => this.#stopped,
      onSuccess: () => Effect.fail(Option.some(error))
    })
  }

  /** What was told before the end stays told, also where the turn fails at its end. */
  #finish(before: Chunk.Chunk<ChatEvent>, answer: ChatResponse): Pull<A, ChatError> {
    return Effect.matchEffect(this.#turn.complete(answer), {
      onSuccess: (response) => {
        this.#ended = true
        return Effect.succeed(this.#f(Chunk.append(before, finishOf(response))))
      },
      onFailure: (error): Pull<A, ChatError> => {
        if (error._tag === "Stopped") return this.#stopped
        this.#failed = error
        return Chunk.isEmpty(before) ? Effect.fail(Option.some(error)) : Effect.succeed(this.#f(before))
      }
    })
  }

  readonly #stopped: Pull<A, ChatError> = Effect.uninterruptible(
    Effect.suspend(() =>
      Effect.map(this.#turn.interrupted, (response) => {
        this.#ended = true
        return this.#f(Chunk.of<ChatEvent>(finishOf(response)))
      })
    )
  )
}
