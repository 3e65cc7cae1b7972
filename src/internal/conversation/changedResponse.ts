/**
 * Responses that are as others but for some fields.
 */
import { ChatResponse } from "../../ChatResponse.ts"

type Fields = ConstructorParameters<typeof ChatResponse>[0]

/** The response with other values in some fields. */
export const change = (response: ChatResponse, fields: Partial<Fields>): ChatResponse =>
  ChatResponse.make({ ...fieldsOf(response), ...fields }, true)

const fieldsOf = (response: ChatResponse): Fields => ({
  ...(response.functionCall === undefined ? {} : { functionCall: response.functionCall }),
  ...(response.provider === undefined ? {} : { provider: response.provider }),
  text: response.text,
  reasoning: response.reasoning,
  refusal: response.refusal,
  toolCalls: response.toolCalls,
  finishReason: response.finishReason,
  rawFinishReason: response.rawFinishReason,
  usage: response.usage,
  id: response.id,
  model: response.model
})
