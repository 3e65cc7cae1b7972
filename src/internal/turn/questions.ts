/**
 * Finds what a turn answers: an earlier turn, or open calls. Also builds requests of single questions, and settles open
 * calls when turns are stopped.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type { HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { override } from "../../LLMConfig.ts"
import type { OpenCall, Regenerate, Replace, Respond } from "../../Turn.ts"
import { store as noopStore } from "../history/noopStore.ts"
import { type Question, questionOf, type StoreError, type TurnInput, withSystem } from "./content.ts"
import { Conversation } from "./conversation.ts"
import { findAnswered, invalidRequest, openCallsOf, type Resumed, settleOpenCalls } from "./openCalls.ts"

/** The request of a single question, without the history. */
export const questionRequest = (
  conversation: Conversation,
  input: TurnInput
): Effect.Effect<ChatRequest, HistoryStoreError> =>
  Effect.map(conversation.content, (content) => ({
    config: content.config,
    messages: withSystem(content, input),
    conversation: conversation.fairnessKey
  }))

/** A temporary conversation with the same settings and no history, for a single question with tools. */
export const withoutHistory = (conversation: Conversation): Effect.Effect<Conversation, HistoryStoreError> =>
  Effect.map(conversation.content, ({ config, systemPrompt }) =>
    new Conversation({
      id: conversation.id,
      fairnessKey: conversation.fairnessKey,
      store: noopStore,
      defaults: Either.getOrElse(override(config, { systemPrompt }), () => config),
      window: conversation.window
    }))

/** The calls at the end of the history that have no result. */
export const openCalls = (conversation: Conversation): Effect.Effect<ReadonlyArray<OpenCall>, HistoryStoreError> =>
  Effect.map(conversation.content, openCallsOf)

/** Finds the turn to answer again. */
const findEarlierTurn = (
  conversation: Conversation,
  input: Regenerate | Replace
): Effect.Effect<Question, HistoryStoreError | InvalidRequestError> =>
  Effect.flatMap(conversation.readStored("all"), (content) => {
    const missing = input.turnId === undefined ? "no turn" : `no turn with the id ${JSON.stringify(input.turnId)}`
    const question = questionOf(content, input)
    if (question === undefined) return invalidRequest(`The conversation has ${missing}`)
    return question.input.length === 0
      ? invalidRequest("The turn has no prompt to answer again")
      : Effect.succeed(question)
  })

/** Finds the answered calls and their turn. */
const findOpenTurn = (
  conversation: Conversation,
  { answers }: Respond
): Effect.Effect<{ readonly question: Question; readonly resumed: Resumed }, HistoryStoreError | InvalidRequestError> =>
  Effect.flatMap(
    conversation.readStored("all"),
    (content) =>
      Effect.map(findAnswered(content, answers), (resumed) => ({
        question: {
          input: resumed.stored.before,
          keepTurns: content.turns.length - 1,
          continuesLast: true,
          usage: resumed.stored.answer.usage
        },
        resumed
      }))
  )

/**
 * Stops turns, and settles the calls that wait for an approval in the background. A stopped turn can leave such calls. They
 * are settled before the turns in the queue begin, so that those turns cannot answer them.
 */
export const settleCalls = (conversation: Conversation, stop: Effect.Effect<void>): Effect.Effect<void> => {
  const write: Effect.Effect<void, StoreError> = conversation.write(true, (content) => {
    const settled = settleOpenCalls(content, "notStarted")
    return settled && { ...settled.turn, usage: undefined, continuesLast: true }
  })
  const logged = Effect.catchAll(write, (error) => Effect.logWarning("Open calls could not be settled", error))
  const settling = Effect.flatMap(conversation.loaded, (content) => {
    const mayHaveOpenCalls = conversation.lock.holder?.canHaveOpenCalls === true
    const hasNone = !mayHaveOpenCalls && content !== undefined && openCallsOf(content).length === 0
    return hasNone ? Effect.void : conversation.lock.writeNext(logged, conversation.background)
  })
  return Effect.uninterruptible(Effect.zipRight(settling, stop))
}

/** The part of a `Turn` that is set when its input refers to a stored turn. */
interface StartingTurn {
  id: string
  readonly conversation: Conversation
  resumed: Resumed | undefined
}

/** Finds what a turn without a prompt answers. Gives a continued turn the id of the stored turn. */
export const findQuestion = (
  turn: StartingTurn,
  input: Regenerate | Replace | Respond
): Effect.Effect<Question, HistoryStoreError | InvalidRequestError> =>
  input._tag !== "Respond"
    ? findEarlierTurn(turn.conversation, input)
    : Effect.map(findOpenTurn(turn.conversation, input), ({ question, resumed }) => {
      turn.id = resumed.stored.turnId
      turn.resumed = resumed
      return question
    })
