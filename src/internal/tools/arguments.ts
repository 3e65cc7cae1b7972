/**
 * Parses and compares the arguments of tool calls.
 */
import type { ToolCall } from "../../ChatResponse.ts"
import { isRecord, parseJson, sortedJson } from "../json.ts"

/**
 * Parses arguments. Undefined if not JSON. Blank text is an empty object. An object that was encoded twice is parsed
 * twice.
 */
export const parseArguments = (text: string): { readonly value: unknown } | undefined => {
  if (text.trim() === "") return { value: {} }
  const parsed = parseJson(text)
  if (typeof parsed?.value !== "string") return parsed
  const inner = parseJson(parsed.value)
  return inner !== undefined && isRecord(inner.value) ? inner : parsed
}

/** The name and the arguments of a call, with sorted members, as text that is the same for equal calls. */
export const canonicalCall = ({ arguments: text, name }: ToolCall): string => {
  const parsed = parseArguments(text)
  return `${name} ${parsed === undefined ? text : sortedJson(parsed.value)}`
}
