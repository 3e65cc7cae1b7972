/**
 * The tool calls of an answer that enters a history, where results must be able to name them and servers to read them.
 */
import { TruncatedError } from "../../ChatError.ts"
import type { ChatResponse, ToolCall } from "../../ChatResponse.ts"
import { parseJson } from "../json.ts"
import * as CallIds from "../request/callIds.ts"
import { change } from "../response.ts"

/** The error of an answer whose last tool call was cut at its limit, undefined where all calls are whole. */
export const cutCall = (response: ChatResponse): TruncatedError | undefined => {
  const last = response.toolCalls.at(-1)
  if (response.finishReason !== "length" || last === undefined || isWhole(last)) return undefined
  return new TruncatedError({
    message: `The call of the tool ${JSON.stringify(last.name)} was cut at the limit of the answer's tokens`,
    partial: response
  })
}

/** A call without arguments comes as empty text. */
const isWhole = (call: ToolCall): boolean => call.arguments.trim() === "" || parseJson(call.arguments) !== undefined

/** The answer with an id of its own for every call: results need one to go by, and some servers give none, or one twice. */
export const named = (response: ChatResponse): ChatResponse => {
  const takeId = CallIds.make("any")
  const ids = response.toolCalls.map((call, index) => takeId(call.id || `call_${index}`))
  if (response.toolCalls.every((call, index) => call.id === ids[index])) return response
  return change(response, { toolCalls: response.toolCalls.map((call, index) => ({ ...call, id: ids[index] ?? "" })) })
}
