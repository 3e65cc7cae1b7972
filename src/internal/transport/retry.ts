/**
 * Whether and when a call that failed before its first event is tried again.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Random from "effect/Random"
import type { ChatError } from "../../ChatError.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { saysToRetry } from "../errors/toChatError.ts"

/** What a later try can mend. A broken answer is not among them: it may have been paid for. */
const isTransient = ({ _tag }: ChatError): boolean =>
  _tag === "RateLimitError" || _tag === "ServerError" || _tag === "TransportError"

/**
 * The wait before the next try, or the error where there is none.
 *
 * The library's own wait doubles from `retryBaseDelay` with every try, is spread by 20 % either way, and is capped by
 * `retryMaxDelay`. A server's wait is never shortened: one beyond `maxRetryAfter` ends the call.
 */
export const delay = (
  config: LLMConfig,
  error: ChatError,
  retries: number
): Effect.Effect<Duration.Duration, ChatError> => {
  const asked = error.retryAfter ?? Duration.zero
  if (
    !(saysToRetry(error) ?? isTransient(error)) || retries >= config.maxRetries ||
    Duration.greaterThan(asked, config.maxRetryAfter)
  ) {
    return Effect.fail(error)
  }
  return Effect.map(Random.nextRange(0.8, 1.2), (spread) => {
    const own = Duration.times(config.retryBaseDelay, 2 ** retries * spread)
    return Duration.max(asked, Duration.min(config.retryMaxDelay, own))
  })
}
