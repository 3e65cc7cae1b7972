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
import { over, type Pull } from "../transport/stream.ts"
import type { Turn } from "./turn.ts"

/**
 * What the consumer of a turn pulls: the events of the wire's next pull, as the consumer wants them. What becomes of the
 * turn at their end cannot be interrupted.
 */
export const tell = <A>(
  turn: Turn,
  wire: () => Pull<ChatEvent, ChatError>,
  f: (events: Chunk.Chunk<ChatEvent>) => Chunk.Chunk<A>
): Pull<A, ChatError> => {
  /** What comes after the end: nothing, or the error that the turn met there. */
  let next: Pull<A, ChatError> | undefined

  const give = (events: Chunk.Chunk<ChatEvent>): Pull<A, ChatError> => Effect.succeed(f(events))

  const end = (before: Chunk.Chunk<ChatEvent>, response: ChatResponse): Pull<A, ChatError> => {
    next = over
    return give(Chunk.append(before, finishOf(response)))
  }

  const stopped = Effect.uninterruptible(
    Effect.flatMap(turn.interrupted, (response) => end(Chunk.empty(), response))
  )

  const fail = (error: ChatError): Pull<A, ChatError> =>
    Effect.matchEffect(turn.fail(error), {
      onFailure: () => stopped,
      onSuccess: () => Effect.fail(Option.some(error))
    })

  /** What was told before the end stays told, also where the turn fails at its end. */
  const finish = (before: Chunk.Chunk<ChatEvent>, answer: ChatResponse): Pull<A, ChatError> =>
    Effect.matchEffect(turn.complete(answer), {
      onSuccess: (response) => end(before, response),
      onFailure: (error) => {
        if (error._tag === "Stopped") return stopped
        next = Effect.fail(Option.some(error))
        return Chunk.isEmpty(before) ? next : give(before)
      }
    })

  const heard = {
    onSuccess: (events: Chunk.Chunk<ChatEvent>): Pull<A, ChatError> => {
      if (turn.hasEnded) return stopped
      const last = Chunk.unsafeLast(events)
      if (isFinish(last)) return Effect.uninterruptible(finish(Chunk.dropRight(events, 1), last.response))
      turn.tell(events)
      return give(events)
    },
    onFailure: (error: Option.Option<ChatError>): Pull<A, ChatError> => {
      if (Option.isSome(error)) return Effect.uninterruptible(fail(error.value))
      return turn.hasEnded ? stopped : Effect.fail(error)
    }
  }

  return Effect.suspend(() => next ?? (turn.hasEnded ? stopped : Effect.matchEffect(wire(), heard)))
}
