/**
 * What a step sends: the part of the history that the conversation's window chooses, or that a smaller window chooses if
 * the server rejects the first one as too long.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import * as HistoryWindow from "../../HistoryWindow.ts"
import { estimateUsage } from "../estimate.ts"
import type { Stopped } from "../transport/wait.ts"
import type { Turn } from "./turn.ts"

type Complete = (request: ChatRequest) => Effect.Effect<ChatResponse, ChatError>

/**
 * Sends the request of the turn's next step, and what smaller and smaller windows choose while the server finds it too
 * long. `complete` requests the summaries of a window.
 */
export const send = <A>(
  turn: Turn,
  complete: Complete,
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
): Effect.Effect<A, ChatError | Stopped> => {
  const attempt = (window: HistoryWindow.HistoryWindow, larger?: Rejected): Effect.Effect<A, ChatError | Stopped> =>
    Effect.flatMap(choose(turn, complete, window), (request) => {
      if (larger !== undefined && isSame(larger.messages, request.messages)) return Effect.fail(larger.error)
      return Effect.catchAll(f(request), (error) => {
        if (error._tag !== "ContextLengthError") return Effect.fail(error)
        const { shrink } = window
        return shrink === undefined ? Effect.fail(error) : attempt(shrink, { messages: request.messages, error })
      })
    })
  return Effect.suspend(() => attempt(turn.conversation.window))
}

/** What the server found too long. */
interface Rejected {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly error: ChatError
}

/** The request with what the window chooses, after the window made a summary if it is time for one. */
const choose = (
  turn: Turn,
  complete: Complete,
  window: HistoryWindow.HistoryWindow
): Effect.Effect<ChatRequest, ChatError | Stopped> => {
  const { conversation, question, signal } = turn
  const select = Effect.flatMap(
    conversation.choice(question),
    ({ input, request }) =>
      Effect.map(HistoryWindow.assemble(window, input), (messages) => ({
        ...request,
        messages: turn.steps.length === 0 ? messages : [...messages, ...turn.steps.flatMap((step) => step.messages)],
        signal
      }))
  )
  const { compact } = window
  if (compact === undefined) return select
  const compacted = Effect.flatMap(
    conversation.choice(question),
    ({ input, request }) =>
      compact(input, (summary) =>
        // A summary that has arrived is paid for, also if its turn is interrupted.
        Effect.uninterruptibleMask((restore) =>
          Effect.tap(
            restore(complete({ ...request, ...summary, signal })),
            (response) => conversation.recordUsage(estimateUsage(summary.messages, response, summary.options))
          )
        )).pipe(
          Effect.flatMap((summary) =>
            Option.isSome(summary)
              ? Effect.catchAll(
                conversation.summarize(input.messages, summary.value),
                (error) => Effect.logWarning("The summary of a history could not be stored", error)
              )
              : Effect.void
          )
        )
  )
  return Effect.zipRight(turn.wait(compacted), select)
}

const isSame = (some: ReadonlyArray<ChatMessage>, others: ReadonlyArray<ChatMessage>): boolean =>
  some.length === others.length &&
  some.every((message, index) => message.content === others[index]?.content)
