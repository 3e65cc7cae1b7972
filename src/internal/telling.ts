/**
 * A turn whose answer is told as it comes: the wire's events, and what becomes of the turn at their end.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../ChatError.ts"
import { type ChatEvent, type Finish, isFinish } from "../ChatEvent.ts"
import type { ChatResponse } from "../ChatResponse.ts"
import type { Pull } from "./pull.ts"
import type { Turn } from "./turn.ts"

type Step = Pull<ChatEvent, ChatError>

/** The telling of one turn. Mutable: one turn is told to one consumer. */
export class Telling {
  private readonly turn: Turn
  private readonly wire: Step
  private ended = false
  private failed: ChatError | undefined

  constructor(turn: Turn, wire: Step) {
    this.turn = turn
    this.wire = wire
  }

  /** The next events. Between the wire's last event and the commit nobody can interrupt. */
  readonly pull: Step = Effect.uninterruptibleMask((restore) => {
    if (this.failed !== undefined) return Effect.fail(Option.some(this.failed))
    if (this.ended) return Effect.fail(Option.none())
    return Effect.matchEffect(restore(this.turn.wait(this.wire)), {
      onSuccess: (events) => this.tell(events),
      onFailure: (error): Step => {
        if (error._tag === "None") return Effect.fail(error)
        return error._tag === "Stopped"
          ? this.stopped
          : Effect.zipRight(this.turn.fail(error.value), Effect.fail(error))
      }
    })
  })

  private tell(events: Chunk.Chunk<ChatEvent>): Step {
    this.turn.tell(events)
    const last = Chunk.unsafeLast(events)
    return isFinish(last) ? this.finish(Chunk.dropRight(events, 1), last.response) : Effect.succeed(events)
  }

  /** What was told before the end stays told, also where the turn fails at its end. */
  private finish(before: Chunk.Chunk<ChatEvent>, answer: ChatResponse): Step {
    return Effect.matchEffect(this.turn.complete(answer), {
      onSuccess: (response) => {
        this.ended = true
        return Effect.succeed(Chunk.append(before, finishOf(response)))
      },
      onFailure: (error): Step => {
        this.failed = error
        return Chunk.isEmpty(before) ? Effect.fail(Option.some(error)) : Effect.succeed(before)
      }
    })
  }

  private readonly stopped: Step = Effect.suspend(() =>
    Effect.map(this.turn.interrupted, (response) => {
      this.ended = true
      return Chunk.of<ChatEvent>(finishOf(response))
    })
  )
}

const finishOf = (response: ChatResponse): Finish => ({
  _tag: "Finish",
  reason: response.finishReason,
  rawReason: response.rawFinishReason,
  response
})
