/**
 * A call's own settings over those of its conversation, under the same rules.
 */
import * as Effect from "effect/Effect"
import * as ParseResult from "effect/ParseResult"
import type { CallOptions } from "../../CallOptions.ts"
import { InvalidRequestError } from "../../ChatError.ts"
import * as LLMConfig from "../../LLMConfig.ts"

/** The config with the call's overrides. Fails with the field, its value and the rule that it breaks. */
export const withOverrides = (
  config: LLMConfig.LLMConfig,
  options: CallOptions
): Effect.Effect<LLMConfig.LLMConfig, InvalidRequestError> => {
  const { frequencyPenalty, maxTokens, model, presencePenalty, temperature, topP } = options
  const overrides = { frequencyPenalty, maxTokens, model, presencePenalty, temperature, topP }
  if (Object.values(overrides).every((value) => value === undefined)) return Effect.succeed(config)
  return Effect.mapError(LLMConfig.override(config, overrides), (cause) => {
    const [issue] = ParseResult.ArrayFormatter.formatErrorSync(cause)
    const field = issue?.path.join(".") ?? "options"
    return new InvalidRequestError({ message: `${field}: ${issue?.message ?? cause.message}` })
  })
}
