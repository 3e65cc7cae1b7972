/**
 * The settings that are stored with a conversation: those that it chose, and nothing else.
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { HistoryStoreError } from "../../ChatError.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import type { Settings, StoredConversation } from "../../StoredConversation.ts"
import { notDecodable } from "./errors.ts"

const encode = Schema.encodeSync(LLMConfig.LLMConfig)
const decode = Schema.decodeUnknownEither(LLMConfig.LLMConfig)

/** The settings that a conversation can choose. Its system prompt is stored apart. */
const choices = new Set(["model", "temperature", "topP", "maxTokens", "frequencyPenalty", "presencePenalty"])

const choicesOf = (settings: Settings) => Object.entries(settings).filter(([key]) => choices.has(key))

/** What differs from the defaults. A config of another server is its own: none of it is stored. */
export const chosen = (config: LLMConfig.LLMConfig, defaults: LLMConfig.LLMConfig): Settings => {
  if (config === defaults || config.baseUrl !== defaults.baseUrl) return {}
  const others: Settings = encode(defaults)
  return Object.fromEntries(choicesOf(encode(config)).filter(([key, value]) => value !== others[key]))
}

/** The defaults with what the conversation chose. Everything else that an older release stored is left out. */
export const inForce = (
  stored: StoredConversation,
  defaults: LLMConfig.LLMConfig
): Effect.Effect<LLMConfig.LLMConfig, HistoryStoreError> => {
  const own = choicesOf(stored.settings)
  if (own.length === 0) return Either.right(defaults)
  return Either.mapLeft(
    decode({ ...encode(defaults), ...Object.fromEntries(own) }),
    (cause) => notDecodable(stored.id, cause)
  )
}
