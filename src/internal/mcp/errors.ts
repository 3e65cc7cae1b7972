/**
 * Classifies errors of MCP clients and describes them for the model.
 */
import * as Data from "effect/Data"
import { fieldsOf } from "../json.ts"

/** The client has no connection and `reconnect` is absent. */
export class NotConnected extends Data.TaggedError("NotConnected") {
  override readonly message = "Not connected"
}

export class TooSlow extends Data.TaggedError("TooSlow")<{ readonly message: string }> {}

/** Whether the connection or its session no longer exists. */
export const isConnectionLost = (error: unknown): boolean => {
  const { code, message } = fieldsOf(error)
  return (code === 404 && !isProtocolError(error)) || code === connectionClosed || message === "Not connected" ||
    isSessionError(code, message)
}

/** The protocol requires 404 for an unknown session, but many servers send 400, and some 503. */
const isSessionError = (code: unknown, message: unknown): boolean =>
  typeof code === "number" && code >= 400 && code !== 401 && code !== 403 && /session/i.test(String(message))

/** Whether the error is an answer of the server. Its code is not an HTTP status, and its message is for the caller. */
const isProtocolError = (error: unknown): boolean => fieldsOf(error)["name"] === "McpError"

/** Whether the server does not support tools. Servers can support only prompts and resources. */
export const hasNoTools = (error: unknown): boolean => fieldsOf(error)["code"] === methodNotFound

const connectionClosed = -32000
const methodNotFound = -32601
const requestTimeout = -32001

/** Describes a failure to connect for the model. The call was not sent. */
export const describeNotConnected = (error: unknown): string =>
  isUnauthorized(error) ? unauthorized : "The server of this tool could not be reached. The call was not run."

const isUnauthorized = (error: unknown): boolean => {
  const { code, name } = fieldsOf(error)
  return code === 401 || name === "UnauthorizedError"
}

const unauthorized =
  "The server of this tool requires an authorization that the program does not have. The call was not run."

/** Describes the error of a call for the model. Contains no details of the connection, which can be secret. */
export const describe = (error: unknown): string => {
  const { code, message } = fieldsOf(error)
  if (isUnauthorized(error)) return unauthorized
  if (isConnectionLost(error)) {
    return "The connection to the server of this tool was lost during the call. Its effects may have happened: check before you repeat the call."
  }
  if (code === requestTimeout || error instanceof TooSlow) {
    return "The server of this tool did not answer in time. The effects of the call may have happened: check before you repeat it."
  }
  return isProtocolError(error) && typeof message === "string"
    ? message
    : "The server of this tool could not be reached."
}
