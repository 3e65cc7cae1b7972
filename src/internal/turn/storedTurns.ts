/**
 * Turns that are stored, by their ids: whether one answers a prompt, and its answer as a response and as events.
 */
import type { ChatEvent } from "../../ChatEvent.ts"
import type { AssistantMessage } from "../../ChatMessage.ts"
import { ChatResponse } from "../../ChatResponse.ts"
import { finishEvent } from "../decode/response.ts"
import { type FoundTurn, inputOf, isSame, type TurnInput } from "./content.ts"

/** What the turn answered last. */
const answerOf = ({ messages }: FoundTurn): AssistantMessage | undefined =>
  messages.filter((message) => message.role === "assistant").at(-1)

/** Whether the turn has its whole answer. One that failed or was interrupted is asked again. */
export const isComplete = (turn: FoundTurn): boolean => {
  const reason = answerOf(turn)?.finishReason
  return reason !== "interrupted" && reason !== "error"
}

/** Whether both ask the same. */
export const isSameInput = (some: TurnInput, others: TurnInput): boolean => isSame(some.map(saidIn), others.map(saidIn))

/** Whether the turn asks this. */
export const asks = (turn: FoundTurn, input: TurnInput): boolean => isSameInput(inputOf(turn.messages), input)

const saidIn = (message: TurnInput[number]) => [
  message.role,
  message.content,
  message.role === "user" ? message.name : message.toolCallId
]

/** The answer of a stored turn. */
export const responseOf = (turn: FoundTurn): ChatResponse => {
  const answer = answerOf(turn)
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

/** A response as the events of a stream that had it in one piece. */
export const eventsOf = (
  response: ChatResponse
): ReadonlyArray<ChatEvent> => [...partsOf(response), finishEvent(response)]

/** The events before `Finish`. */
export const partsOf = (response: ChatResponse): ReadonlyArray<ChatEvent> => {
  const { id, model, reasoning, refusal, text, toolCalls } = response
  const events: Array<ChatEvent> = [{ _tag: "Begin", id, model }]
  if (reasoning !== "") events.push({ _tag: "ReasoningDelta", text: reasoning })
  if (text !== "") events.push({ _tag: "TextDelta", text })
  if (refusal !== "") events.push({ _tag: "RefusalDelta", text: refusal })
  toolCalls.forEach((call, index) => events.push({ _tag: "ToolCallDelta", ...call, index }))
  return events
}
