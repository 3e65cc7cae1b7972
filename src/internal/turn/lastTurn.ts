/**
 * What turns and questions find in a conversation as they begin: an earlier turn, or calls that wait.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import { type HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { override } from "../../LLMConfig.ts"
import type { OpenCall, Regenerate, Replace, Respond } from "../../Turn.ts"
import { store as noopStore } from "../history/noopStore.ts"
import { type Question, questionOf, type StoreError, type TurnInput, withSystem } from "./content.ts"
import { Conversation } from "./conversation.ts"
import { findOpen, openCallsOf, type Resumed, settle } from "./openCalls.ts"

/** The request of a question outside the history. */
export const question = (
  conversation: Conversation,
  input: TurnInput
): Effect.Effect<ChatRequest, HistoryStoreError> =>
  Effect.map(conversation.content, (content) => ({
    config: content.config,
    messages: withSystem(content, input),
    conversation: conversation.owner
  }))

/** A conversation without a history, for a question whose answer takes several requests. */
export const alone = (conversation: Conversation): Effect.Effect<Conversation, HistoryStoreError> =>
  Effect.map(conversation.content, ({ config, systemPrompt }) =>
    new Conversation({
      id: conversation.id,
      owner: conversation.owner,
      store: noopStore,
      defaults: Either.getOrElse(override(config, { systemPrompt }), () => config),
      window: conversation.window
    }))

/** The calls at the end of the history that have no result. */
export const openCalls = (conversation: Conversation): Effect.Effect<ReadonlyArray<OpenCall>, HistoryStoreError> =>
  Effect.map(conversation.content, openCallsOf)

/** Looks for the turn that is to be answered again. */
const resolve = (
  conversation: Conversation,
  input: Regenerate | Replace
): Effect.Effect<Question, HistoryStoreError | InvalidRequestError> =>
  Effect.flatMap(conversation.stored("whole"), (content) => {
    const which = input.turnId === undefined ? "no turn" : `no turn with the id ${JSON.stringify(input.turnId)}`
    const question = questionOf(content, input)
    if (question === undefined) return refused(`The conversation has ${which}`)
    return question.input.length === 0 ? refused("The turn has no prompt to answer again") : Effect.succeed(question)
  })

const refused = (message: string): Effect.Effect<never, InvalidRequestError> =>
  Effect.fail(new InvalidRequestError({ message }))

/** Looks for the calls that are answered, and for their turn. */
const resume = (
  conversation: Conversation,
  { answers }: Respond
): Effect.Effect<{ readonly question: Question; readonly resumed: Resumed }, HistoryStoreError | InvalidRequestError> =>
  Effect.flatMap(conversation.stored("whole"), (content) =>
    Effect.map(findOpen(content, answers), (resumed) => ({
      question: {
        input: resumed.stored.before,
        keepTurns: content.turns.length - 1,
        continues: true,
        usage: resumed.stored.answer.usage
      },
      resumed
    })))

/**
 * Stops turns, and then settles the calls that wait for an approval, in the background: a turn that was stopped may leave
 * some, and turns that wait in the queue must not answer them.
 */
export const settleCalls = (conversation: Conversation, stop: Effect.Effect<void>): Effect.Effect<void> => {
  const write: Effect.Effect<void, StoreError> = conversation.write(true, (content) => {
    const settled = settle(content, "notStarted")
    return settled && { ...settled.turn, usage: undefined, continues: true }
  })
  const logged = Effect.catchAll(write, (error) => Effect.logWarning("Calls that wait could not be settled", error))
  const settling = Effect.flatMap(conversation.loaded, (content) => {
    const canLeave = conversation.lock.holder?.canLeaveCalls === true
    const hasNone = !canLeave && content !== undefined && openCallsOf(content).length === 0
    return hasNone ? Effect.void : conversation.lock.next(logged, conversation.background)
  })
  return Effect.uninterruptible(Effect.zipRight(settling, stop))
}

/** A turn that does not begin with a prompt. */
interface Turn {
  id: string
  readonly conversation: Conversation
  resumed: Resumed | undefined
}

/** What the turn answers. A turn that goes on has the id that it had. */
export const find = (
  turn: Turn,
  input: Regenerate | Replace | Respond
): Effect.Effect<Question, HistoryStoreError | InvalidRequestError> =>
  input._tag !== "Respond"
    ? resolve(turn.conversation, input)
    : Effect.map(resume(turn.conversation, input), ({ question, resumed }) => {
      turn.id = resumed.stored.turnId
      turn.resumed = resumed
      return question
    })
