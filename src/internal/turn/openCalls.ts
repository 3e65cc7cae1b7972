/**
 * The open calls of a conversation: the calls of its last turn that have no result.
 *
 * They are found in the stored messages. When a later turn is stored, the same write gives each call that waits for an
 * approval the outcome "superseded".
 */
import * as Effect from "effect/Effect"
import { ConflictError, InvalidRequestError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type AssistantMessage, type ChatMessage, toolResult } from "../../ChatMessage.ts"
import { ChatResponse, type ToolOutcome } from "../../ChatResponse.ts"
import type { Turn as HistoryTurn } from "../../StoredConversation.ts"
import type { Answer, OpenCall } from "../../Turn.ts"
import { turnIdOf } from "../tools/callId.ts"
import * as ResultTexts from "../tools/resultTexts.ts"
import { lastStep, type StoredCall, type StoredStep } from "../tools/storedStep.ts"
import { type Content, type FinishedTurn, inputOf } from "./content.ts"

/** The last step of the history, if the history ends with calls. */
const lastStepOf = ({ messages, turns }: Content): StoredStep | undefined => {
  const last = turns.at(-1)
  return last === undefined ? undefined : lastStep(last.turnId, messages.slice(last.start))
}

/** The calls without a result at the end of the history. */
export const openCallsOf = (content: Content): ReadonlyArray<OpenCall> => {
  const step = lastStepOf(content)
  return step === undefined ? [] : step.calls.filter(isOpen).map(({ call, callId }) => ({
    turnId: step.turnId,
    callId,
    step: step.step,
    name: call.name,
    arguments: call.arguments,
    needsApproval: call.needsApproval === true
  }))
}

const isOpen = ({ result }: StoredCall): boolean => result === undefined

/** The turns that a write keeps and adds. */
export interface WritePlan {
  /** How many of the loaded turns stay. Undefined if all stay. */
  readonly keepTurns: number | undefined
  /** The turns that are added after them. */
  readonly turns: ReadonlyArray<HistoryTurn>
  /** Whether the first added turn is the stored last turn with more messages. */
  readonly extendsLast: boolean
  /** The results of calls that the write settles. */
  readonly settled: ReadonlyArray<ToolEvent>
}

/** Plans the write of a turn. A turn without messages only removes turns. */
export const planWrite = (content: Content, turn: FinishedTurn): WritePlan => {
  const { continuesLast = false, keepTurns, messages, movedTurns = [], turnId } = turn
  const last = content.turns.at(-1)
  if (continuesLast) {
    return {
      keepTurns: content.turns.length - 1,
      turns: [{ turnId, createdAt: last?.createdAt, messages }],
      extendsLast: true,
      settled: []
    }
  }
  const added = messages.length === 0 ? [] : [{ turnId, messages }]
  const settled = keepTurns === undefined && added.length > 0
    ? settleOpenCalls(content, "superseded", messages)
    : undefined
  return settled === undefined ? { keepTurns, turns: [...movedTurns, ...added], extendsLast: false, settled: [] } : {
    keepTurns: content.turns.length - 1,
    turns: [settled.turn, ...added],
    extendsLast: true,
    settled: settled.events
  }
}

/** Adds a result to the last turn for each call that waits for an approval. Undefined if there is no such call. */
export const settleOpenCalls = (
  content: Content,
  outcome: Extract<ToolOutcome, "superseded" | "notStarted">,
  next: ReadonlyArray<ChatMessage> = []
):
  | { readonly turn: HistoryTurn & { readonly turnId: string }; readonly events: ReadonlyArray<ToolEvent> }
  | undefined =>
{
  const last = content.turns.at(-1)
  const step = lastStepOf(content)
  if (last === undefined || step === undefined) return undefined
  // Results after the first answer of the new turn belong to its own calls. Ids of calls can repeat from turn to turn.
  const answered = new Set(inputOf(next).flatMap((message) => message.role === "tool" ? [message.toolCallId] : []))
  const open = step.calls.filter((call) => isOpen(call) && call.call.needsApproval && !answered.has(call.call.id))
  if (open.length === 0) return undefined
  const text = outcome === "superseded" ? ResultTexts.superseded : ResultTexts.stoppedBeforeApproval
  const results = open.map(({ call }) => ({ ...toolResult(call.id, text), outcome }))
  const turn = { ...last, messages: [...content.messages.slice(last.start), ...results] }
  const events = open.map(({ call, callId }): ToolEvent => ({
    _tag: "ToolResult",
    callId,
    step: step.step,
    name: call.name,
    outcome,
    content: text,
    media: []
  }))
  return { turn, events }
}

/** Fails if a continued turn is no longer the last turn. */
export const checkIsLastTurn = (
  { turns, version }: Content,
  { continuesLast = false, turnId }: FinishedTurn,
  conversationId: string
): Effect.Effect<void, ConflictError> =>
  !continuesLast || turns.at(-1)?.turnId === turnId ? Effect.void : Effect.fail(
    new ConflictError({
      message: "The continued turn is no longer the last turn of the conversation",
      conversationId,
      expectedVersion: version,
      actualVersion: version
    })
  )

/** The last step of a stored turn, and the answers to its open calls. */
export interface Resumed {
  readonly stored: StoredStep
  readonly answers: ReadonlyArray<Answer>
}

/** Finds the answered calls. Fails if an answer does not fit an open call. */
export const findAnswered = (
  content: Content,
  answers: ReadonlyArray<Answer>
): Effect.Effect<Resumed, InvalidRequestError> => {
  const stored = lastStepOf(content)
  const open = stored?.calls.filter(isOpen) ?? []
  for (const [index, answer] of answers.entries()) {
    const { callId } = answer
    if (answers.findIndex((other) => other.callId === callId) < index) {
      return invalidRequest(`The call ${JSON.stringify(callId)} is answered twice`)
    }
    const call = open.find((call) => call.callId === callId)
    if (call === undefined) return notOpen(content, callId, open)
    if ("approved" in answer && answer.approved && call.call.needsApproval !== true) {
      return invalidRequest(`The call ${JSON.stringify(callId)} waits for its result, not for an approval`)
    }
  }
  if (stored === undefined) return invalidRequest("The conversation has no open calls")
  return answers.length === 0 && open.length > 0
    ? invalidRequest("The open calls have no answers")
    : Effect.succeed({ stored, answers })
}

/** Fails with an `InvalidRequestError`. */
export const invalidRequest = (message: string, code?: string): Effect.Effect<never, InvalidRequestError> =>
  Effect.fail(new InvalidRequestError({ message, code }))

const notOpen = (
  { turns }: Content,
  callId: string,
  open: ReadonlyArray<StoredCall>
): Effect.Effect<never, InvalidRequestError> => {
  if (turns.some(({ turnId }) => turnId === turnIdOf(callId))) {
    return invalidRequest(`The call ${JSON.stringify(callId)} is settled`, "call_settled")
  }
  const ids = open.map(({ callId }) => JSON.stringify(callId)).join(", ")
  const rule = open.length === 0 ? "It has no open calls" : `The ids of its open calls are ${ids}`
  return invalidRequest(`The conversation has no call ${JSON.stringify(callId)}. ${rule}`, "call_unknown")
}

/** Converts a stored answer to a response, without its usage, which is already counted. */
export const toResponse = (message: AssistantMessage): ChatResponse =>
  ChatResponse.make({
    text: message.content,
    reasoning: message.reasoning ?? "",
    refusal: message.refusal ?? "",
    toolCalls: message.toolCalls ?? [],
    opaque: message.opaque,
    finishReason: message.finishReason ?? "tool-calls",
    rawFinishReason: undefined,
    usage: undefined,
    id: "",
    model: message.model ?? "",
    provider: message.provider
  }, true)
