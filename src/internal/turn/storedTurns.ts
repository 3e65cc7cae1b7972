/**
 * Reads a stored turn: whether it has a given prompt, and its answer as a response and as events.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import type { AssistantMessage } from "../../ChatMessage.ts"
import { ChatResponse } from "../../ChatResponse.ts"
import { finishEvent } from "../decode/response.ts"
import { type FoundTurn, inputOf, isSame, type TurnInput } from "./content.ts"

/** The last answer of the turn. */
const lastAnswerOf = ({ messages }: FoundTurn): AssistantMessage | undefined =>
  messages.filter((message) => message.role === "assistant").at(-1)

/** Whether the turn has a complete answer, so that it does not run again. */
export const isComplete = (turn: FoundTurn): boolean => {
  const reason = lastAnswerOf(turn)?.finishReason
  return reason !== "interrupted" && reason !== "error"
}

/** Whether both inputs have the same messages. */
export const isSameInput = (some: TurnInput, others: TurnInput): boolean =>
  isSame(some.map(comparableFields), others.map(comparableFields))

/** Whether the turn has this input. */
export const hasInput = (turn: FoundTurn, input: TurnInput): boolean => isSameInput(inputOf(turn.messages), input)

const comparableFields = (message: TurnInput[number]) => [
  message.role,
  message.content,
  message.role === "user" ? message.name : message.toolCallId
]

/** The answer of a stored turn. */
export const responseOf = (turn: FoundTurn): ChatResponse => {
  const answer = lastAnswerOf(turn)
  return ChatResponse.make({
    text: answer?.content ?? "",
    reasoning: answer?.reasoning ?? "",
    refusal: answer?.refusal ?? "",
    toolCalls: answer?.toolCalls ?? [],
    ...(answer?.opaque === undefined ? {} : { opaque: answer.opaque }),
    finishReason: answer?.finishReason ?? "stop",
    rawFinishReason: undefined,
    usage: answer?.usage,
    turnId: turn.turnId,
    id: "",
    model: answer?.model ?? "",
    ...(answer?.provider === undefined ? {} : { provider: answer.provider })
  }, true)
}

/** The events of a stream with this response, with one delta per field. */
export const eventsOf = (
  response: ChatResponse
): ReadonlyArray<ChatEvent> => [...eventsBeforeFinish(response), finishEvent(response)]

/** The events of a stream with this response, without `Finish`. */
export const eventsBeforeFinish = (response: ChatResponse): ReadonlyArray<ChatEvent> => {
  const { id, model, reasoning, refusal, text, toolCalls } = response
  const events: Array<ChatEvent> = [{ _tag: "Begin", id, model }]
  if (reasoning !== "") events.push({ _tag: "ReasoningDelta", text: reasoning })
  if (text !== "") events.push({ _tag: "TextDelta", text })
  if (refusal !== "") events.push({ _tag: "RefusalDelta", text: refusal })
  toolCalls.forEach((call, index) => events.push({ _tag: "ToolCallDelta", ...call, index }))
  return events
}
