/**
 * The loop of a turn's steps, for answers that come as one response and for answers that are streamed.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, type Finish, isFinish } from "../../ChatEvent.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { finishOf } from "../finish.ts"
import { over, type Pull } from "../transport/stream.ts"
import { type Stopped, stopped } from "../transport/wait.ts"
import type { Turn } from "./turn.ts"

/** Sends the request of the turn's next step. */
export type Send = <A>(
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
) => Effect.Effect<A, ChatError | Stopped>

/** An answer that comes as one response. */
interface Answer {
  readonly response: ChatResponse
}

/** Runs the steps of a turn, each with one response. A turn that was stopped has the response alone. */
export const complete = <A extends Answer>(
  turn: Turn,
  send: Send,
  ask: (request: ChatRequest) => Effect.Effect<A, ChatError>
): Effect.Effect<A | Answer, ChatError> =>
  Effect.uninterruptibleMask((restore) => {
    const step: Effect.Effect<A | Answer, ChatError | Stopped> = Effect.matchEffect(
      restore(send((request) => turn.wait(ask(request)))),
      {
        onFailure: (error) =>
          error._tag === "Stopped" ? Effect.fail(error) : Effect.zipRight(turn.fail(error), Effect.fail(error)),
        onSuccess: (answer) =>
          Effect.flatMap(turn.endStep(answer.response, restore), (response) =>
            response === undefined ? step : Effect.succeed({ ...answer, response }))
      }
    )
    return Effect.catchTag(step, "Stopped", () =>
      Effect.map(turn.interrupted, (response) => ({ response })))
  })

/** The events of a turn, as its consumer pulls them. The end of the turn cannot be interrupted. */
export const events = <A>(
  turn: Turn,
  send: Send,
  open: (request: ChatRequest) => Pull<ChatEvent, ChatError>,
  f: (events: ReadonlyArray<ChatEvent>) => ReadonlyArray<A>
): Pull<A, ChatError> => {
  /** The step's answer, once its first events have arrived. */
  let answer: Pull<ChatEvent, ChatError> | undefined
  /** What follows the end of the turn: nothing, or the error that ended it. */
  let end: Pull<A, ChatError> | undefined

  const first: Pull<ChatEvent, ChatError> = Effect.mapError(
    send((request) => {
      const pull = open(request)
      return Effect.mapBoth(pull, {
        onFailure: Option.getOrElse(() => stopped),
        onSuccess: (events) => {
          answer = pull
          return events
        }
      })
    }),
    (error) => error._tag === "Stopped" ? Option.none() : Option.some(error)
  )

  const finish = (before: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> => {
    end = over
    return Effect.succeed(f([...before, event]))
  }

  const interrupted = Effect.uninterruptible(
    Effect.flatMap(turn.interrupted, (response) => finish([], finishOf(response)))
  )

  const fail = (error: ChatError): Pull<A, ChatError> =>
    Effect.uninterruptible(Effect.matchEffect(turn.fail(error), {
      onFailure: () => interrupted,
      onSuccess: () => Effect.fail(Option.some(error))
    }))

  /** Events before the end of a step are emitted, also if the turn fails at its end. */
  const endStep = (before: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.matchEffect(turn.endStep(event.response, restore), {
        onSuccess: (response) => {
          if (response !== undefined) return finish(before, response === event.response ? event : finishOf(response))
          answer = undefined
          return before.length === 0 ? restore(pull) : Effect.succeed(f(before))
        },
        onFailure: (error) => {
          if (error._tag === "Stopped") return interrupted
          end = Effect.fail(Option.some(error))
          return before.length === 0 ? end : Effect.succeed(f(before))
        }
      })
    )

  const receive = {
    onSuccess: (events: ReadonlyArray<ChatEvent>): Pull<A, ChatError> => {
      if (turn.hasEnded) return interrupted
      const last = events[events.length - 1]
      if (last !== undefined && isFinish(last)) return endStep(events.slice(0, -1), last)
      turn.receive(events)
      return Effect.succeed(f(events))
    },
    onFailure: (error: Option.Option<ChatError>): Pull<A, ChatError> => {
      if (Option.isSome(error)) return fail(error.value)
      return turn.hasEnded ? interrupted : fail(turn.truncated)
    }
  }

  const pull: Pull<A, ChatError> = Effect.suspend(() =>
    end ?? (turn.hasEnded ? interrupted : Effect.matchEffect(answer ?? first, receive))
  )
  return pull
}
