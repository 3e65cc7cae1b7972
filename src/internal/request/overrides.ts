/**
 * A call's own settings over those of its conversation, under the same rules.
 */
import * as Effect from "effect/Effect"
import * as Struct from "effect/Struct"
import type { CallOptions } from "../../CallOptions.ts"
import { InvalidRequestError } from "../../ChatError.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import { issueOf } from "../issue.ts"
import { defined } from "../json.ts"

/** The config with the call's overrides. Fails with the field, its value and the rule that it breaks. */
export const withOverrides = (
  config: LLMConfig.LLMConfig,
  options: CallOptions
): Effect.Effect<LLMConfig.LLMConfig, InvalidRequestError> => {
  const overrides = defined(
    Struct.pick(options, "frequencyPenalty", "maxTokens", "model", "presencePenalty", "temperature", "topP")
  )
  if (Object.keys(overrides).length === 0) return Effect.succeed(config)
  return Effect.mapError(LLMConfig.override(config, overrides), (cause) => {
    const { message, path } = issueOf(cause)
    return new InvalidRequestError({ message: `${path.map(String).join(".")}: ${message}` })
  })
}
