/**
 * A call's own settings over those of its conversation, under the same rules.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import type { CallOptions } from "../CallOptions.ts"
import { InvalidRequestError } from "../ChatError.ts"
import * as LLMConfig from "../LLMConfig.ts"

const fields = ["model", "temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty"] as const

/** The config with the call's overrides. Fails with the field, its value and the rule that it breaks. */
export const withOverrides = (
  config: LLMConfig.LLMConfig,
  options: CallOptions
): Effect.Effect<LLMConfig.LLMConfig, InvalidRequestError> => {
  const given = fields.filter((field) => options[field] !== undefined)
  if (given.length === 0) return Effect.succeed(config)
  const overrides = Object.fromEntries(given.map((field) => [field, options[field]]))
  return Effect.mapError(LLMConfig.decode({ ...config, ...overrides }), (cause) => {
    const [issue] = ParseResult.ArrayFormatter.formatErrorSync(cause)
    const field = issue?.path.join(".") ?? "options"
    return new InvalidRequestError({ message: `${field}: ${issue?.message ?? cause.message}` })
  })
}
