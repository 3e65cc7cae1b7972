/**
 * Gets the conversation with an id, or creates it, and applies the options of the call to it.
 */
import * as Effect from "effect/Effect"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { validate } from "../history/settings.ts"
import * as Chat from "../turn/chat.ts"
import type { Choice, Mark } from "../turn/choices.ts"
import type { Conversation } from "../turn/conversation.ts"
import type { MakeConversation, Registry } from "./registry.ts"

interface Manager {
  readonly registry: Registry
  readonly completions: ChatCompletions.Service
  /** The config of conversations that have no other one. */
  readonly defaults: LLMConfig
  readonly make: (id: string, after: Parameters<MakeConversation>[0]) => Conversation
}

export const makeGetChat =
  ({ completions, defaults, make, registry }: Manager) => (id: string, options: Choice = {}) => {
    const { config = defaults, settings } = options
    const { begin, chooseIn } = withOptions(options, (after) => make(id, after))
    const chat = Effect.map(registry.create(id, begin), (conversation) => {
      chooseIn(conversation)
      return Chat.managed(completions, config, registry.lender(id, begin))
    })
    return settings === undefined ? chat : Effect.zipRight(validate(settings, config), chat)
  }

/** Applies the options to the conversation that is created or found, and again after an eviction. */
const withOptions = (options: Choice, makeConversation: MakeConversation) => {
  let mark: Mark | undefined
  let isMade = false
  const choose = (conversation: Conversation): Conversation => {
    mark = conversation.choose(options, mark)
    isMade = true
    return conversation
  }
  return {
    begin: (after: Parameters<MakeConversation>[0]) => choose(makeConversation(after)),
    /** Applies the options to a conversation that another call created. */
    chooseIn: (conversation: Conversation) => isMade ? conversation : choose(conversation)
  }
}
