/**
 * Implements `getChat`: it finds or creates a conversation, and applies the options of the call to it.
 */
import * as Effect from "effect/Effect"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { validate } from "../history/conversationSettings.ts"
import * as Chat from "../turn/chat.ts"
import type { SettingsChoice, StoredFlag } from "../turn/chosenSettings.ts"
import type { Conversation } from "../turn/conversation.ts"
import type { MakeConversation, Registry } from "./registry.ts"

interface Manager {
  readonly registry: Registry
  readonly completions: ChatCompletions.Service
  /** The config of conversations for which the program passes none. */
  readonly defaults: LLMConfig
  readonly make: (id: string, pendingRemoval: Parameters<MakeConversation>[0]) => Conversation
}

export const makeGetChat =
  ({ completions, defaults, make, registry }: Manager) => (id: string, options: SettingsChoice = {}) => {
    const { config = defaults, settings } = options
    const chat = Effect.suspend(() => {
      const { applyTo, makeConversation } = withOptions(options, (pendingRemoval) => make(id, pendingRemoval))
      return Effect.map(registry.create(id, makeConversation), (conversation) => {
        applyTo(conversation)
        return Chat.makeManaged(completions, config, registry.lender(id, makeConversation))
      })
    })
    return settings === undefined ? chat : Effect.zipRight(validate(settings, config), chat)
  }

/** Applies the options to the existing or the new conversation, and again to the one that is created after an eviction. */
const withOptions = (options: SettingsChoice, makeConversation: MakeConversation) => {
  let flag: StoredFlag | undefined
  let isApplied = false
  const apply = (conversation: Conversation): Conversation => {
    flag = conversation.chooseSettings(options, flag)
    isApplied = true
    return conversation
  }
  return {
    makeConversation: (pendingRemoval: Parameters<MakeConversation>[0]) => apply(makeConversation(pendingRemoval)),
    /** Applies the options to a conversation that another call created. */
    applyTo: (conversation: Conversation) => isApplied ? conversation : apply(conversation)
  }
}
