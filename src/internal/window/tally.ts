/**
 * Adds up token counts.
 */
import * as Effect from "effect/Effect"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { TokenCounter } from "../../tokens/TokenCounter.ts"

/** Adds up the token counts of messages until there are no more messages, or `isEnough` returns true for the sum. */
export const tally = (
  counter: TokenCounter,
  next: () => ChatMessage | undefined,
  isEnough: (sum: number) => boolean = () => false
): Effect.Effect<number> => {
  const from = (sum: number): Effect.Effect<number> => {
    let total = sum
    for (let message = next(); message !== undefined; message = next()) {
      const count = counter.count(message)
      if (typeof count !== "number") {
        const before = total
        return Effect.flatMap(
          count,
          (tokens) => isEnough(before + tokens) ? Effect.succeed(before + tokens) : from(before + tokens)
        )
      }
      total += count
      if (isEnough(total)) break
    }
    return Effect.succeed(total)
  }
  return Effect.suspend(() => from(0))
}

/** The tokens of all the messages. */
export const sum = (counter: TokenCounter, messages: ReadonlyArray<ChatMessage>): Effect.Effect<number> =>
  Effect.suspend(() => {
    let index = 0
    return tally(counter, () => messages[index++])
  })
