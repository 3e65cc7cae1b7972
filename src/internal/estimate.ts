/**
 * What a call took in tokens, where its server does not say.
 *
 * The formula is that of `TokenCounter.estimate`, for what is sent and for what came. Beside the messages count the tools
 * and the answer's form, as the JSON that they are sent as, and 3 tokens with which the answer begins.
 */
import type { CallOptions } from "../CallOptions.ts"
import { type ChatMessage, fromResponse } from "../ChatMessage.ts"
import { type ChatResponse, emptyUsage, type Usage } from "../ChatResponse.ts"
import { estimate, estimateText } from "../tokens/TokenCounter.ts"

const ofJson = (value: unknown): number => value === undefined ? 0 : estimateText(JSON.stringify(value))

/** The tokens of what a call sends. */
export const estimateInput = (messages: ReadonlyArray<ChatMessage>, options: CallOptions = {}): number => {
  // What chat formats put before an answer.
  const priming = 3
  return messages.reduce((sum, message) => sum + estimate.count(message), priming + ofJson(options.tools)) +
    ofJson(options.responseFormat)
}

const estimateOutput = (response: ChatResponse): number => {
  const message = fromResponse(response)
  return message === undefined ? estimateText(response.reasoning) : estimate.count(message)
}

/**
 * The usage of an answer: the server's where the answer is whole and the server told it, else an estimate, marked so.
 *
 * Of an answer that was cut, what the server had told so far stands where it is more than the estimate.
 */
export const estimateUsage = (
  messages: ReadonlyArray<ChatMessage>,
  response: ChatResponse,
  options?: CallOptions
): Usage => {
  const { finishReason, usage } = response
  const isCut = finishReason === "interrupted" || finishReason === "error"
  if (usage !== undefined && !isCut) return usage
  const told = usage ?? emptyUsage
  const inputTokens = told.inputTokens || estimateInput(messages, options)
  const outputTokens = Math.max(told.outputTokens, estimateOutput(response))
  if (inputTokens === usage?.inputTokens && outputTokens === usage.outputTokens) return usage
  return {
    ...told,
    inputTokens,
    outputTokens,
    totalTokens: inputTokens + outputTokens,
    reasoningTokens: Math.max(told.reasoningTokens, estimateText(response.reasoning)),
    estimated: true
  }
}
