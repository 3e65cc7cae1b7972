/**
 * What a turn sends: as much of the history as the conversation's window chooses, and once more as much as the smaller
 * window does where the server finds that too long.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { ChatError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import * as HistoryWindow from "../../HistoryWindow.ts"
import { estimateUsage } from "../estimate.ts"
import type { Stopped } from "../transport/deadlines.ts"
import type { Turn } from "./turn.ts"

/** Sends what the window chooses. A second time only where the first one failed because of its length. */
export const send = <A, E extends { readonly _tag: string }>(
  turn: Turn,
  f: (request: ChatCompletions.ChatRequest) => Effect.Effect<A, E | ChatError>
): Effect.Effect<A, E | ChatError | Stopped> =>
  Effect.suspend(() => {
    const { window } = turn.conversation
    const { shrink } = window
    let sent: ReadonlyArray<ChatMessage> = []
    return choose(turn, window).pipe(
      Effect.flatMap((request) => {
        sent = request.messages
        return f(request)
      }),
      Effect.catchAll((error) =>
        shrink !== undefined && error._tag === "ContextLengthError"
          ? Effect.flatMap(
            choose(turn, shrink),
            (request) => isSame(sent, request.messages) ? Effect.fail(error) : f(request)
          )
          : Effect.fail(error)
      )
    )
  })

/** The request with what the window chooses, after a summary is made where it is time for one. */
const choose = (
  turn: Turn,
  window: HistoryWindow.HistoryWindow
): Effect.Effect<ChatCompletions.ChatRequest, ChatError | Stopped> => {
  const { completions, conversation, opening } = turn
  const select = Effect.flatMap(
    conversation.choice(opening),
    ({ input, request }) => Effect.map(HistoryWindow.assemble(window, input), (messages) => ({ ...request, messages }))
  )
  const { compact } = window
  if (compact === undefined) return select
  const compacted = Effect.flatMap(
    conversation.choice(opening),
    ({ input, request }) =>
      compact(input, (summary) =>
        // Whoever is interrupted as the summary comes has paid for it.
        Effect.uninterruptibleMask((restore) =>
          Effect.tap(
            restore(completions.complete({ ...request, ...summary })),
            (response) => conversation.recordUsage(estimateUsage(summary.messages, response, summary.options))
          )
        )).pipe(
          Effect.flatMap((summary) =>
            Option.isSome(summary) ? conversation.summarize(input.messages, summary.value) : Effect.void
          )
        )
  )
  return Effect.zipRight(turn.wait(compacted), select)
}

const isSame = (some: ReadonlyArray<ChatMessage>, others: ReadonlyArray<ChatMessage>): boolean =>
  some.length === others.length &&
  some.every((message, index) => message.content === others[index]?.content)
