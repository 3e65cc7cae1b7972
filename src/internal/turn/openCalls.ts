/**
 * Calls of a conversation's last turn that have no result, and what settles them.
 *
 * They are read from the messages. A later turn settles those that wait for an approval, as superseded, in its own write.
 */
import * as Effect from "effect/Effect"
import { ConflictError, InvalidRequestError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type AssistantMessage, type ChatMessage, toolResult } from "../../ChatMessage.ts"
import { ChatResponse, type ToolOutcome } from "../../ChatResponse.ts"
import type { Turn as HistoryTurn } from "../../StoredConversation.ts"
import type { Answer, OpenCall } from "../../Turn.ts"
import { turnIdOf } from "../tools/callId.ts"
import { lastStep, type StoredCall, type StoredStep } from "../tools/openStep.ts"
import { type Content, type FinishedTurn, inputOf } from "./content.ts"

/** The step that the history ends with. */
export const lastStepOf = ({ messages, turns }: Content): StoredStep | undefined => {
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

/** The turns that a write adds behind those that stay. */
export interface Plan {
  /** How many turns of the content stay in front of them. */
  readonly keepTurns: number | undefined
  readonly turns: ReadonlyArray<HistoryTurn>
  /** Whether the first of them is the content's last turn with further messages. */
  readonly extendsLast: boolean
  /** The results of calls that the write settles. */
  readonly settled: ReadonlyArray<ToolEvent>
}

/** What the history becomes with a turn. A turn without messages only removes others. */
export const plan = (content: Content, turn: FinishedTurn): Plan => {
  const { continues = false, keepTurns, messages, moved = [], turnId } = turn
  const last = content.turns.at(-1)
  if (continues) {
    return {
      keepTurns: content.turns.length - 1,
      turns: [{ turnId, createdAt: last?.createdAt, messages }],
      extendsLast: true,
      settled: []
    }
  }
  const added = messages.length === 0 ? [] : [{ turnId, messages }]
  const settled = keepTurns === undefined && added.length > 0 ? settle(content, "superseded", messages) : undefined
  return settled === undefined ? { keepTurns, turns: [...moved, ...added], extendsLast: false, settled: [] } : {
    keepTurns: content.turns.length - 1,
    turns: [settled.turn, ...added],
    extendsLast: true,
    settled: settled.events
  }
}

/** The last turn with a result for each call that waits for an approval. Undefined if there is no such call. */
export const settle = (
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
  // Ids of calls repeat from turn to turn: later results are of the new turn's own calls.
  const answered = new Set(inputOf(next).flatMap((message) => message.role === "tool" ? [message.toolCallId] : []))
  const open = step.calls.filter((call) => isOpen(call) && call.call.needsApproval && !answered.has(call.call.id))
  if (open.length === 0) return undefined
  const text = wordings[outcome]
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

const wordings = {
  superseded: "The call was not run: nobody approved it before the next question. It is not queued.",
  notStarted: "The call was not run: it was stopped while it waited for an approval."
}

/** Fails unless the turn that is continued is still the last one. */
export const checkContinues = (
  { turns, version }: Content,
  { continues = false, turnId }: FinishedTurn,
  conversationId: string
): Effect.Effect<void, ConflictError> =>
  !continues || turns.at(-1)?.turnId === turnId ? Effect.void : Effect.fail(
    new ConflictError({
      message: "The turn that goes on is no longer the last one of the conversation",
      conversationId,
      expectedVersion: version,
      actualVersion: version
    })
  )

/** A stored turn that goes on with answers to its open calls. */
export interface Resumed {
  readonly stored: StoredStep
  readonly answers: ReadonlyArray<Answer>
}

/** Finds the calls that are answered. */
export const findOpen = (
  content: Content,
  answers: ReadonlyArray<Answer>
): Effect.Effect<Resumed, InvalidRequestError> => {
  const stored = lastStepOf(content)
  const open = stored?.calls.filter(isOpen) ?? []
  for (const [index, answer] of answers.entries()) {
    const { callId } = answer
    if (answers.findIndex((other) => other.callId === callId) < index) {
      return refuse(`The call ${JSON.stringify(callId)} is answered twice`)
    }
    const call = open.find((call) => call.callId === callId)
    if (call === undefined) return notOpen(content, callId, open)
    if ("approved" in answer && answer.approved && call.call.needsApproval !== true) {
      return refuse(`The call ${JSON.stringify(callId)} waits for its result, not for an approval`)
    }
  }
  if (stored === undefined) return refuse("The conversation has no open calls")
  return answers.length === 0 && open.length > 0
    ? refuse("The open calls have no answers")
    : Effect.succeed({ stored, answers })
}

const refuse = (message: string, code?: string): Effect.Effect<never, InvalidRequestError> =>
  Effect.fail(new InvalidRequestError({ message, code }))

const notOpen = (
  { turns }: Content,
  callId: string,
  open: ReadonlyArray<StoredCall>
): Effect.Effect<never, InvalidRequestError> => {
  if (turns.some(({ turnId }) => turnId === turnIdOf(callId))) {
    return refuse(`The call ${JSON.stringify(callId)} is settled`, "call_settled")
  }
  const ids = open.map(({ callId }) => JSON.stringify(callId)).join(", ")
  const rule = open.length === 0 ? "It has no open calls" : `The ids of its open calls are ${ids}`
  return refuse(`The conversation has no call ${JSON.stringify(callId)}. ${rule}`, "call_unknown")
}

/** A stored answer as a response. Its tokens are counted already. */
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
