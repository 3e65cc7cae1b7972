/**
 * Passes the progress messages of a running call to the program.
 */
import type { Progress } from "@modelcontextprotocol/sdk/types.js"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Mailbox from "effect/Mailbox"

/** The maximum number of buffered messages. If the program is slower than the server, the oldest ones are dropped. */
const capacity = 100

/**
 * Runs a call and passes its progress messages to `receive`, one after another. Completes after `receive` has processed the
 * last message. A defect of `receive` is logged.
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
          (defect) => Effect.logWarning("onProgress of an MCP tool set failed", defect)
        ))
    )))
    const exit = yield* Effect.exit(call((progress) => void messages.unsafeOffer(progress)))
    yield* messages.end
    yield* Fiber.await(receiver)
    return yield* exit
  })
}
