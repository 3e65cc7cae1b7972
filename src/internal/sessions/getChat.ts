/**
 * Gets the conversation with an id, or creates it, and applies the options of the call to it.
 */
import * as Effect from "effect/Effect"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { validate } from "../history/settings.ts"
import * as Chat from "../turn/chat.ts"
import type { SettingsChoice, StoredFlag } from "../turn/chosenSettings.ts"
import type { Conversation } from "../turn/conversation.ts"
import type { Begin, Registry } from "./registry.ts"

interface Manager {
  readonly registry: Registry
  readonly completions: ChatCompletions.Service
  /** The config of conversations that have no other one. */
  readonly defaults: LLMConfig
  readonly make: (id: string, after: Parameters<Begin>[0]) => Conversation
}

export const makeGetChat =
  ({ completions, defaults, make, registry }: Manager) => (id: string, options: SettingsChoice = {}) => {
    const { config = defaults, settings } = options
    const { begin, chooseIn } = withOptions(options, (after) => make(id, after))
    const chat = Effect.map(registry.create(id, begin), (conversation) => {
      chooseIn(conversation)
      return Chat.makeManaged(completions, config, registry.lender(id, begin))
    })
    return settings === undefined ? chat : Effect.zipRight(validate(settings, config), chat)
  }

/** Applies the options to the conversation that is created or found, and again after an eviction. */
const withOptions = (options: SettingsChoice, begin: Begin) => {
  let flag: StoredFlag | undefined
  let isMade = false
  const choose = (conversation: Conversation): Conversation => {
    flag = conversation.chooseSettings(options, flag)
    isMade = true
    return conversation
  }
  return {
    begin: (after: Parameters<Begin>[0]) => choose(begin(after)),
    /** Applies the options to a conversation that another call created. */
    chooseIn: (conversation: Conversation) => isMade ? conversation : choose(conversation)
  }
}
