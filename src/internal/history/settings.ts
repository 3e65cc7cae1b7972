/**
 * A config as it is stored with its conversation: as JSON, and without what is secret.
 */
import type * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Schema from "effect/Schema"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Settings, StoredConversation } from "../../HistoryStore.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import { notDecodable } from "./errors.ts"

const encode = Schema.encodeSync(LLMConfig.LLMConfig)
const decode = Schema.decodeUnknownEither(LLMConfig.LLMConfig)

/** The settings to store. */
export const fromConfig = (config: LLMConfig.LLMConfig): Settings => {
  const { apiKey: _key, headers: _headers, ...settings } = encode(config)
  return settings
}

/** The stored settings as a config, with the secrets of the one at hand if both are of one server. */
export const toConfig = (
  stored: StoredConversation,
  current: LLMConfig.LLMConfig
): Effect.Effect<LLMConfig.LLMConfig, HistoryStoreError> => {
  const { apiKey, headers } = encode(current)
  const secrets = stored.settings["baseUrl"] === current.baseUrl
    ? { ...(apiKey === undefined ? {} : { apiKey }), ...(headers === undefined ? {} : { headers }) }
    : {}
  return Either.mapLeft(decode({ ...stored.settings, ...secrets }), (cause) => notDecodable(stored.id, cause))
}
