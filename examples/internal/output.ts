/**
 * Standard output whose reader may leave.
 */
import { Data, Effect } from "effect"

/** The output failed. `isGone` means that its reader has ended, as after `| head`, which is not a failure. */
export class OutputError extends Data.TaggedError("OutputError")<{
  readonly isGone: boolean
  readonly message: string
}> {}

/** Without a listener, Node would end the program with a stack trace. The callback of each write has the error. */
process.stdout.on("error", () => {})

/** Prints the text as it is, and waits until it is taken. */
export const write = (text: string): Effect.Effect<void, OutputError> =>
  text === "" ? Effect.void : Effect.async((resume) => {
    process.stdout.write(text, (error) => {
      if (!error) return resume(Effect.void)
      const isGone = "code" in error && error.code === "EPIPE"
      return resume(Effect.fail(new OutputError({ isGone, message: error.message })))
    })
  })

/** Prints the text as a line. */
export const writeLine = (text: string): Effect.Effect<void, OutputError> => write(`${text}\n`)
