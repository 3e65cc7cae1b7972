/**
 * Begins a turn: acquires the lock of the conversation, and finds what the turn answers.
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
import type { Closed } from "./lock.ts"
import * as Questions from "./questions.ts"
import { Turn } from "./turn.ts"
import { makeTurnId } from "./turnId.ts"

/** The specification of a turn: its input and options. */
export interface TurnSpec {
  readonly input: TurnModule.Input
  /** Messages sent before the input and not stored. */
  readonly context?: Prompt | undefined
  /** Default: a new id. */
  readonly turnId?: string | undefined
  /** The options of the turn's requests. */
  readonly options?: CallOptions | undefined
  /** Makes the tools of the turn. */
  readonly tools?: (() => TurnTools) | undefined
}

const isPrompt = (input: TurnModule.Input): input is Prompt => typeof input === "string" || !("_tag" in input)

/** Returns the turn after it has acquired the lock. The turn is abandoned when the scope closes, unless it has ended. */
export const beginTurn = (
  conversation: Conversation,
  { context, input, options, tools, turnId }: TurnSpec,
  scope: Scope.Scope
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError | InvalidRequestError> =>
  Effect.gen(function*() {
    const config = yield* conversation.config
    const turn = new Turn({
      id: turnId ?? (yield* makeTurnId),
      conversation,
      question: isPrompt(input)
        ? { input: fromPrompt(input), mayBeStored: turnId !== undefined }
        : { input: [], keepTurns: 0 },
      scope: yield* Scope.make(),
      settled: yield* Deferred.make<void>(),
      options,
      tools: tools?.(),
      config
    })
    // Added before the lock is acquired, because an interruption can coincide with the handover of the lock.
    yield* Scope.addFinalizer(scope, turn.abandon)
    yield* conversation.lock.acquire(turn, config.turnPolicy)
    yield* turn.start
    const resolved = isPrompt(input)
      ? Effect.succeed(turn.question)
      : turn.untilStopped(Questions.findQuestion(turn, input))
    // A stopped turn needs no question, because it sends no request.
    const question = yield* Effect.catchTag(resolved, "Stopped", () => Effect.succeed(turn.question))
    turn.question = { ...question, context: context === undefined ? [] : fromPrompt(context) }
    return turn
  })
