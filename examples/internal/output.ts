/**
 * Standard output whose reader may leave.
 */
import { Data, Effect } from "effect"

/** Nobody reads the output any more, as after `| head`. */
export class OutputClosed extends Data.TaggedError("OutputClosed") {}

/** Without a listener Node would end the program with a stack trace; whoever writes is told by its callback. */
process.stdout.on("error", () => {})

/** Prints the text as it is, and waits until it is taken. */
export const write = (text: string): Effect.Effect<void, OutputClosed> =>
  text === "" ? Effect.void : Effect.async((resume) => {
    process.stdout.write(text, (error) => resume(error ? Effect.fail(new OutputClosed()) : Effect.void))
  })

/** Prints the text as a line. */
export const writeLine = (text: string): Effect.Effect<void, OutputClosed> => write(`${text}\n`)
