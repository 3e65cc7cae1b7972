/**
 * Explains an error in one line.
 */
import type { HttpServerError } from "@effect/platform"
import type { ConfigError, ParseResult } from "effect"
import type { ChatError } from "effect-chat"
import type { OutputError } from "./output.ts"
import { oneLine } from "./visible.ts"

/** The errors of a chat. */
export type Problem =
  | ChatError.ChatError
  | ConfigError.ConfigError
  | ParseResult.ParseError
  | HttpServerError.ServeError
  | OutputError

/** What the user can do about it. */
const advice: Partial<Record<Problem["_tag"], string>> = {
  AuthenticationError: " (Is LLM_API_KEY right?)",
  NotFoundError: " (Are LLM_BASE_URL and LLM_MODEL right?)",
  MalformedResponseError: " (Is LLM_BASE_URL the address of an OpenAI-compatible API?)",
  TransportError: " (Is LLM_BASE_URL right, and does the server run?)"
}

const message = (problem: Problem): string => {
  if (problem._tag === "ServeError") return `The embedded server does not start: ${String(problem.cause)}`
  if (problem._tag !== "ConfigError") return problem.message
  return problem._op === "And" || problem._op === "Or"
    ? message(problem.left)
    : `${problem.path.join(".")}: ${problem.message}`
}

/** The kind of the problem, its message, and what to do. */
export const explain = (problem: Problem): string =>
  `${problem._tag}: ${oneLine(message(problem))}${advice[problem._tag] ?? ""}`

/** Whether the same settings always give this error. */
export const isOfSettings = ({ _tag }: ChatError.ChatError): boolean =>
  _tag === "AuthenticationError" || _tag === "PermissionError" || _tag === "NotFoundError" ||
  _tag === "InvalidRequestError" || _tag === "MalformedResponseError" || _tag === "TransportError"
