/**
 * Responses that are as others but for some fields.
 */
import { ChatResponse } from "../../ChatResponse.ts"

/** The response with other values in some fields. */
export const change = (
  response: ChatResponse,
  fields: Partial<ConstructorParameters<typeof ChatResponse>[0]>
): ChatResponse => ChatResponse.make(Object.assign({}, response, fields), true)
