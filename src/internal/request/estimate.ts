/**
 * Estimates the tokens of a request and its answer, for servers that do not send the usage.
 *
 * Messages are counted with `TokenCounter.estimate`. Tools and the response format are counted as the JSON that is sent,
 * and 3 tokens are added for the start of the answer.
 */
import type { CallOptions } from "../../CallOptions.ts"
import { type ChatMessage, fromResponse } from "../../ChatMessage.ts"
import { type ChatResponse, emptyUsage, type Usage } from "../../ChatResponse.ts"
import { estimate, estimateText } from "../../tokens/TokenCounter.ts"

const estimateJson = (value: unknown): number => value === undefined ? 0 : estimateText(JSON.stringify(value))

/** The tokens of a request. */
export const estimateInput = (messages: ReadonlyArray<ChatMessage>, options: CallOptions = {}): number => {
  // Chat formats add these tokens before an answer.
  const priming = 3
  return messages.reduce((sum, message) => sum + estimate.count(message), priming + estimateJson(options.tools)) +
    estimateJson(options.responseFormat)
}

const estimateOutput = (response: ChatResponse): number => {
  const message = fromResponse(response)
  return message === undefined ? estimateText(response.reasoning) : estimate.count(message)
}

/**
 * The usage of an answer: the server's if the answer is complete and has one, otherwise an estimate with `estimated: true`.
 * For an incomplete answer, each count is the larger of the server's count so far and the estimate.
 */
export const estimateUsage = (
  messages: ReadonlyArray<ChatMessage>,
  response: ChatResponse,
  options?: CallOptions
): Usage => {
  const { finishReason, usage } = response
  const isIncomplete = finishReason === "interrupted" || finishReason === "error"
  if (usage !== undefined && !isIncomplete) return usage
  const received = usage ?? emptyUsage
  const inputTokens = received.inputTokens || estimateInput(messages, options)
  const outputTokens = Math.max(received.outputTokens, estimateOutput(response))
  if (inputTokens === usage?.inputTokens && outputTokens === usage.outputTokens) return usage
  return {
    ...received,
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    reasoningTokens: Math.max(received.reasoningTokens, estimateText(response.reasoning)),
    estimated: true
  }
}
