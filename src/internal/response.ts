/**
 * Looks at answers, and changes of them.
 */
import { ChatResponse } from "../ChatResponse.ts"

/** Whether nothing came of an answer. */
export const saysNothing = ({ functionCall, reasoning, refusal, text, toolCalls }: ChatResponse): boolean =>
  text === "" && reasoning === "" && refusal === "" && toolCalls.length === 0 && functionCall === undefined

/** The response with other values in some fields. */
export const change = (
  response: ChatResponse,
  fields: Partial<ConstructorParameters<typeof ChatResponse>[0]>
): ChatResponse => ChatResponse.make(Object.assign({}, response, fields), true)
