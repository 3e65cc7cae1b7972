/**
 * What can go wrong between an MCP client and its server, as sentences for the model.
 */
import * as Data from "effect/Data"
import { fieldsOf } from "../json.ts"

/** There is no connection, and no way to make one. */
export class NotConnected extends Data.TaggedError("NotConnected") {
  override readonly message = "Not connected"
}

/** The server took too long. */
export class TooSlow extends Data.TaggedError("TooSlow")<{ readonly message: string }> {}

/** Whether the server forgot the session, or the connection is gone. */
export const isLost = (error: unknown): boolean => {
  const { code, message } = fieldsOf(error)
  return code === 404 || code === connectionClosed || message === "Not connected" || isOfSession(code, message)
}

/** The protocol wants 404 for a session that the server does not know. Many servers answer 400, some 503. */
const isOfSession = (code: unknown, message: unknown): boolean =>
  typeof code === "number" && code >= 400 && code !== 401 && code !== 403 && /session/i.test(String(message))

/** Whether the server offers no tools at all, but prompts and resources. */
export const hasNoTools = (error: unknown): boolean => fieldsOf(error)["code"] === methodNotFound

const connectionClosed = -32000
const methodNotFound = -32601
const requestTimeout = -32001

/** The sentence for the model. It has nothing of the connection. */
export const sentence = (error: unknown): string => {
  const { code, message, name } = fieldsOf(error)
  if (code === 401 || name === "UnauthorizedError") {
    return "The server of this tool needs an authorization that the program has not given. The call was not run."
  }
  if (isLost(error)) {
    return "The connection to the server of this tool was lost during the call. The call may have happened, or not."
  }
  if (code === requestTimeout || error instanceof TooSlow) {
    return "The server of this tool did not answer in time. The call may have happened, or not."
  }
  // Codes of JSON-RPC are below 0: the server refused the call itself.
  return typeof code === "number" && code < 0 && typeof message === "string"
    ? message
    : "The server of this tool could not be reached."
}
