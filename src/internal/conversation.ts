/**
 * What a conversation is: its messages, and the one turn that it can be in.
 */
import * as Effect from "effect/Effect"
import * as Ref from "effect/Ref"
import { type ChatMessage, fromResponse, system, type ToolMessage, type UserMessage } from "../ChatMessage.ts"
import { addUsage, type ChatResponse, emptyUsage, type Usage } from "../ChatResponse.ts"
import type { LLMConfig } from "../LLMConfig.ts"
import { TurnLock } from "./turnLock.ts"

/** What a turn begins with. */
export type Opening = ReadonlyArray<UserMessage | ToolMessage>

interface State {
  readonly systemPrompt: string
  /** Whole turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage
}

/** The state of one conversation. */
export class Conversation {
  readonly config: LLMConfig
  readonly lock: TurnLock = new TurnLock()
  private dismissed = false
  private readonly state: Ref.Ref<State>

  constructor(config: LLMConfig) {
    this.config = config
    this.state = Ref.unsafeMake<State>({ systemPrompt: config.systemPrompt, messages: [], usage: emptyUsage })
  }

  /** The messages, the system message first where there is one. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>> {
    return Effect.map(Ref.get(this.state), ({ messages, systemPrompt }) => withSystem(systemPrompt, messages))
  }

  /** The tokens of all turns. */
  get usage(): Effect.Effect<Usage> {
    return Effect.map(Ref.get(this.state), (state) => state.usage)
  }

  /** What a question outside the history is sent with. */
  question(opening: Opening): Effect.Effect<ReadonlyArray<ChatMessage>> {
    return Effect.map(Ref.get(this.state), ({ systemPrompt }) => withSystem(systemPrompt, opening))
  }

  /** What a turn is sent with. */
  sent(opening: Opening): Effect.Effect<ReadonlyArray<ChatMessage>> {
    return Effect.map(this.history, (history) => [...history, ...opening])
  }

  updateSystemPrompt(systemPrompt: string): Effect.Effect<void> {
    return Ref.update(this.state, (state) => ({ ...state, systemPrompt }))
  }

  get clear(): Effect.Effect<void> {
    return Ref.update(this.state, (state) => ({ ...state, messages: [] }))
  }

  /** Ends the turn that runs, if one does. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder?.stop ?? Effect.void)
  }

  /** Ends the conversation: the turn that runs is stopped, and those that wait for it go elsewhere. */
  get close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.lock.close()
      return this.stop
    })
  }

  /** Ends the conversation, and the turn that runs leaves nothing behind. */
  get dismiss(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.dismissed = true
      return this.close
    })
  }

  /** Adds a turn, if its answer says anything. */
  commit(opening: Opening, response: ChatResponse): Effect.Effect<void> {
    const answer = this.dismissed ? undefined : fromResponse(response)
    return Ref.update(this.state, (state) => ({
      ...state,
      messages: answer === undefined ? state.messages : [...state.messages, ...opening, answer],
      usage: response.usage === undefined ? state.usage : addUsage(state.usage, response.usage)
    }))
  }

  /** Counts the tokens of a turn that left nothing else. */
  spend(usage: Usage | undefined): Effect.Effect<void> {
    return usage === undefined
      ? Effect.void
      : Ref.update(this.state, (state) => ({ ...state, usage: addUsage(state.usage, usage) }))
  }
}

const withSystem = (prompt: string, messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> =>
  prompt === "" ? messages.slice() : [system(prompt), ...messages]
