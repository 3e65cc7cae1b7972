/**
 * The error of a turn that failed because of a tool.
 */
import * as Schema from "effect/Schema"
import { withDetails } from "../errors/details.ts"

/**
 * The handler of a tool with `failureMode: "error"` failed. `cause` is the handler's failure.
 *
 * @since 0.1.0
 * @category errors
 */
export class ToolError extends Schema.TaggedError<ToolError>(
  "effect-chat/ChatError/ToolError"
)(
  "ToolError",
  withDetails({
    tool: Schema.String,
    /** The library's own id of the call. */
    callId: Schema.String
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}
