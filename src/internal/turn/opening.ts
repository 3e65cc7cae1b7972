/**
 * The beginning of a turn: it waits for its conversation, and looks for what it answers.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import type { CallOptions } from "../../CallOptions.ts"
import type { BusyError, HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { fromPrompt, type Prompt } from "../../ChatMessage.ts"
import type * as TurnModule from "../../Turn.ts"
import type { TurnTools } from "../tools/turnTools.ts"
import type { Conversation } from "./conversation.ts"
import * as LastTurn from "./lastTurn.ts"
import type { Closed } from "./lock.ts"
import { Turn } from "./turn.ts"
import { makeId } from "./turnId.ts"

/** The input of a turn, and what is sent before it. */
export interface Opening {
  readonly input: TurnModule.Input
  readonly context?: Prompt | undefined
  /** Default a new id. */
  readonly turnId?: string | undefined
  /** What the turn's requests ask for. */
  readonly options?: CallOptions | undefined
  /** Makes the tools of the turn. */
  readonly tools?: (() => TurnTools) | undefined
}

const isPrompt = (input: TurnModule.Input): input is Prompt => typeof input === "string" || !("_tag" in input)

/** Waits for this conversation's next turn. It is abandoned with the scope, unless it ended before. */
export const begin = (
  conversation: Conversation,
  { context, input, options, tools, turnId }: Opening,
  scope: Scope.Scope
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError | InvalidRequestError> =>
  Effect.gen(function*() {
    const config = yield* conversation.config
    const turn = new Turn({
      id: turnId ?? (yield* makeId),
      conversation,
      question: isPrompt(input)
        ? { input: fromPrompt(input), isUnchecked: turnId !== undefined }
        : { input: [], keepTurns: 0 },
      scope: yield* Scope.make(),
      settled: yield* Deferred.make<void>(),
      options,
      tools: tools?.(),
      config
    })
    // Before the lock is taken: a turn can be interrupted at the very moment at which it is handed over.
    yield* Scope.addFinalizer(scope, turn.abandon)
    yield* conversation.lock.acquire(turn, config.turnPolicy)
    yield* turn.start
    const resolved = isPrompt(input) ? Effect.succeed(turn.question) : turn.wait(LastTurn.find(turn, input))
    // A turn that was stopped meanwhile asks nothing.
    const question = yield* Effect.catchTag(resolved, "Stopped", () => Effect.succeed(turn.question))
    turn.question = { ...question, context: context === undefined ? [] : fromPrompt(context) }
    return turn
  })
