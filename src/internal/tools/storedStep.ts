/**
 * The steps of a stored turn with their tool calls and results, read from its messages.
 */
import type { AssistantMessage, ChatMessage, ToolMessage } from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import { callIdOf } from "./callId.ts"

/** A call of a step, and its result if it has one. */
export interface StoredCall {
  readonly callId: string
  readonly call: ToolCall
  readonly result: ToolMessage | undefined
}

/** The last step of a turn that ended with tool calls. */
export interface StoredStep {
  readonly turnId: string
  /** The messages of the turn before the step. */
  readonly before: ReadonlyArray<ChatMessage>
  readonly answer: AssistantMessage
  /** Counts the steps of the turn from 0. */
  readonly step: number
  readonly calls: ReadonlyArray<StoredCall>
}

/** The last step of a turn. Undefined if the turn did not end with tool calls. */
export const lastStep = (turnId: string, messages: ReadonlyArray<ChatMessage>): StoredStep | undefined => {
  let index = messages.length - 1
  // Skips the empty answer of a request that failed or was stopped, so that the turn can continue after the tool results.
  if (isEmptyAnswer(messages[index]) && messages[index - 1]?.role === "tool") index--
  while (messages[index]?.role === "tool") index--
  const answer = messages[index]
  if (answer?.role !== "assistant" || !answer.toolCalls?.length) return undefined
  const before = messages.slice(0, index)
  const step = before.filter(hasCalls).length
  return { turnId, before, answer, step, calls: callsOf(turnId, step, answer, messages.slice(index + 1)) }
}

const isEmptyAnswer = (message: ChatMessage | undefined): boolean =>
  message?.role === "assistant" && message.content === "" && !message.refusal && !message.toolCalls?.length &&
  (message.finishReason === "error" || message.finishReason === "interrupted")

const hasCalls = (message: ChatMessage): message is AssistantMessage =>
  message.role === "assistant" && message.toolCalls !== undefined && message.toolCalls.length > 0

const callsOf = (
  turnId: string,
  step: number,
  { toolCalls = [] }: AssistantMessage,
  after: ReadonlyArray<ChatMessage>
): ReadonlyArray<StoredCall> =>
  toolCalls.map((call, index) => ({
    callId: callIdOf(turnId, step, index),
    call,
    result: after.find((message): message is ToolMessage => message.role === "tool" && message.toolCallId === call.id)
  }))

/** The steps of a turn that have tool calls, in order. */
export const stepsOf = (
  turnId: string,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<{ readonly answer: AssistantMessage; readonly calls: ReadonlyArray<StoredCall> }> => {
  const starts = messages.flatMap((message, index) => hasCalls(message) ? [{ answer: message, index }] : [])
  return starts.map(({ answer, index }, step) => ({
    answer,
    calls: callsOf(turnId, step, answer, messages.slice(index + 1, starts[step + 1]?.index))
  }))
}
