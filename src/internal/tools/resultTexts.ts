/**
 * The texts that the model receives for calls without a result of a handler.
 */
import * as Duration from "effect/Duration"

export const unknown =
  "The call was interrupted while it ran. Its effects may have happened: check before you repeat it."

export const notStarted = "The call was not run: the turn ended before it started."

export const cutOff = "The call was not run: the answer was cut off by its token limit. Send shorter arguments."

export const approvalTimeout =
  "The call was not run: nobody answered the request for approval in time. It is not queued."

/** A reason for `denied`. */
export const noApprover = "nobody can approve it in this question"

export const superseded = "The call was not run: nobody approved it before the next question. It is not queued."

export const stoppedBeforeApproval = "The call was not run: it was stopped while it waited for an approval."

export const repeated =
  "The call was not run: two equal calls in a row had the same result. Use that result or try something else."

export const invalidArguments = (issue: string): string => `The call was not run: its arguments are not valid. ${issue}`

export const denied = (name: string, reason: string | undefined): string =>
  `The call of ${name} was denied${reason === undefined ? "" : ` (${reason})`}. It was not run and is not queued. ` +
  "Do not call it again in this turn unless the user asks for it."

export const timeout = (limit: Duration.Duration | undefined): string =>
  `The tool did not finish${limit === undefined ? "" : ` within ${Duration.format(limit)}`} and was interrupted. ` +
  "Its effects may have happened: check before you repeat the call."

/** Lists at most 50 tool names, to keep the text short. */
export const unknownTool = (name: string, tools: ReadonlyArray<{ readonly name: string }>): string => {
  const names = tools.slice(0, 50).map((tool) => tool.name).join(", ")
  const rest = tools.length > 50 ? ` and ${tools.length - 50} more` : ""
  const known = tools.length === 0 ? "There are no tools." : `The tools are: ${names}${rest}.`
  return `The tool ${JSON.stringify(name.slice(0, 64))} does not exist. ${known}`
}
