/**
 * Prepares the answers of a turn's steps for the history.
 */
import { TruncatedError } from "../../ChatError.ts"
import type { AssistantMessage } from "../../ChatMessage.ts"
import type { ChatResponse, ToolCall } from "../../ChatResponse.ts"
import { withFields } from "../decode/response.ts"
import { asText, defined, parseJson } from "../json.ts"
import * as CallIds from "../request/callIds.ts"

/** An empty answer, which stores the finish reason and the usage. Requests omit it. */
export const emptyAnswer = ({ finishReason, model, provider, reasoning, usage }: ChatResponse): AssistantMessage =>
  defined<AssistantMessage>({
    role: "assistant",
    content: "",
    reasoning: asText(reasoning),
    finishReason,
    model: asText(model),
    provider,
    usage
  })

/** Returns an error if the token limit cut off the last tool call of an answer. Undefined if all calls are complete. */
export const truncatedCallError = (response: ChatResponse): TruncatedError | undefined => {
  const last = response.toolCalls.at(-1)
  if (response.finishReason !== "length" || last === undefined || isComplete(last)) return undefined
  return new TruncatedError({
    message: `The call of the tool ${JSON.stringify(last.name)} was cut off by the token limit of the answer`,
    partial: response
  })
}

/** Whether the arguments are complete JSON. Empty text is complete, because some servers send it for no arguments. */
const isComplete = (call: ToolCall): boolean => call.arguments.trim() === "" || parseJson(call.arguments) !== undefined

/**
 * Whether the last call of an answer may have been cut off by the token limit. Some servers report `tool-calls` and not
 * `length` as the finish reason, so the arguments and the usage are checked too.
 */
export const isCutOff = ({ finishReason, toolCalls, usage }: ChatResponse, maxTokens: number | null): boolean => {
  const last = toolCalls.at(-1)
  if (finishReason === "length") return true
  return last !== undefined && !isComplete(last) && maxTokens !== null && (usage?.outputTokens ?? 0) >= maxTokens
}

/** Replaces incomplete arguments of the last call by an empty object, because stored arguments must be JSON. */
export const withoutCutArguments = (response: ChatResponse): ChatResponse =>
  withFields(response, {
    toolCalls: response.toolCalls.map((call, index) =>
      index < response.toolCalls.length - 1 || isComplete(call) ? call : { ...call, arguments: "{}" }
    )
  })

/** Gives each call a unique id, because a result refers to its call, and some servers send no id or the same id twice. */
export const withCallIds = (response: ChatResponse): ChatResponse => {
  const takeId = CallIds.make("any")
  const ids = response.toolCalls.map((call, index) => takeId(call.id || `call_${index}`))
  if (response.toolCalls.every((call, index) => call.id === ids[index])) return response
  return withFields(response, {
    toolCalls: response.toolCalls.map((call, index) => ({ ...call, id: ids[index] ?? "" }))
  })
}
