/**
 * The progress of a call, given to the program while the call runs.
 */
import type { Progress } from "@modelcontextprotocol/sdk/types.js"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"

/** Of a program that is slower than the server, the oldest messages are dropped. */
const capacity = 100

/**
 * Runs a call, and a program that receives its progress, one message after the other. The call ends after the last one
 * was received. A defect of the program is logged.
 */
export const withProgress = <A, E>(
  receive: ((progress: Progress) => Effect.Effect<void>) | undefined,
  call: (onProgress: (progress: Progress) => void) => Effect.Effect<A, E>
): Effect.Effect<A, E> => {
  if (receive === undefined) return call(() => {})
  return Effect.gen(function*() {
    const messages = yield* Mailbox.make<Progress>({ capacity, strategy: "sliding" })
    const receiver = yield* Effect.fork(Effect.ignore(Effect.forever(
      Effect.flatMap(messages.take, (progress) =>
        Effect.catchAllDefect(
          Effect.suspend(() => receive(progress)),
          (defect) => Effect.logWarning("onProgress of an MCP server failed", defect)
        ))
    )))
    const exit = yield* Effect.exit(call((progress) => void messages.unsafeOffer(progress)))
    yield* messages.end
    yield* Fiber.await(receiver)
    return yield* exit
  })
}
