/**
 * The answers of a turn's steps, as the history keeps them.
 */
import { TruncatedError } from "../../ChatError.ts"
import type { AssistantMessage } from "../../ChatMessage.ts"
import type { ChatResponse, ToolCall } from "../../ChatResponse.ts"
import { withFields } from "../decode/response.ts"
import { asText, defined, parseJson } from "../json.ts"
import * as CallIds from "../request/callIds.ts"

/** An answer without text. Requests leave it out, and it tells why the question has no other. */
export const blank = ({ finishReason, model, provider, reasoning, usage }: ChatResponse): AssistantMessage =>
  defined<AssistantMessage>({
    role: "assistant",
    content: "",
    reasoning: asText(reasoning),
    finishReason,
    model: asText(model),
    provider,
    usage
  })

/** The error of an answer whose last tool call was cut at the token limit, undefined if all calls are complete. */
export const cutCall = (response: ChatResponse): TruncatedError | undefined => {
  const last = response.toolCalls.at(-1)
  if (response.finishReason !== "length" || last === undefined || isComplete(last)) return undefined
  return new TruncatedError({
    message: `The call of the tool ${JSON.stringify(last.name)} was cut at the limit of the answer's tokens`,
    partial: response
  })
}

/** The arguments of a call without arguments are an empty text. */
const isComplete = (call: ToolCall): boolean => call.arguments.trim() === "" || parseJson(call.arguments) !== undefined

/**
 * Whether the last call of an answer was cut at the token limit. Some servers report tool calls as the finish reason all
 * the same.
 */
export const isCutOff = ({ finishReason, toolCalls, usage }: ChatResponse, maxTokens: number | null): boolean => {
  const last = toolCalls.at(-1)
  if (finishReason === "length") return true
  return last !== undefined && !isComplete(last) && maxTokens !== null && (usage?.outputTokens ?? 0) >= maxTokens
}

/** The answer without the arguments of its last call, which were cut. What is stored is JSON. */
export const withoutCutArguments = (response: ChatResponse): ChatResponse =>
  withFields(response, {
    toolCalls: response.toolCalls.map((call, index) =>
      index < response.toolCalls.length - 1 || isComplete(call) ? call : { ...call, arguments: "{}" }
    )
  })

/** The answer with an id of its own for every call: a result must name its call, and some servers send none, or one twice. */
export const withCallIds = (response: ChatResponse): ChatResponse => {
  const takeId = CallIds.make("any")
  const ids = response.toolCalls.map((call, index) => takeId(call.id || `call_${index}`))
  if (response.toolCalls.every((call, index) => call.id === ids[index])) return response
  return withFields(response, {
    toolCalls: response.toolCalls.map((call, index) => ({ ...call, id: ids[index] ?? "" }))
  })
}
