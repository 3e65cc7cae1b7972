/**
 * Conversations that are kept nowhere but in memory.
 */
import * as Effect from "effect/Effect"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { HistoryWindow, Summary } from "../../HistoryWindow.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { add, begun, type Content, Conversation, type FinishedTurn } from "./conversation.ts"

/** One conversation, whose every write is done at once. */
export class MemoryConversation extends Conversation {
  #content: Content

  constructor(config: LLMConfig, window: HistoryWindow) {
    super(window, {})
    this.#content = begun(config)
  }

  protected override use<A>(f: (content: Content) => A): Effect.Effect<A> {
    return Effect.sync(() => f(this.#content))
  }

  override get usage(): Effect.Effect<Usage> {
    return this.use((content) => content.usage)
  }

  override summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void> {
    return this.#change((content) => content.messages === messages ? { summary } : {})
  }

  override updateSystemPrompt(systemPrompt: string): Effect.Effect<void> {
    return this.#change(() => ({ systemPrompt }))
  }

  override get clear(): Effect.Effect<void> {
    return this.#change(() => ({ messages: [], summary: undefined }))
  }

  override commit(turn: FinishedTurn): Effect.Effect<void> {
    return this.#change(({ messages, usage }) => ({
      messages: [...messages, ...turn.messages],
      usage: add(usage, turn.usage)
    }))
  }

  override readonly save: Effect.Effect<boolean> = Effect.succeed(false)

  override recordUsage(more: Usage | undefined): Effect.Effect<void> {
    return this.#change(({ usage }) => ({ usage: add(usage, more) }))
  }

  #change(f: (content: Content) => Partial<Content>): Effect.Effect<void> {
    return Effect.sync(() => {
      this.#content = { ...this.#content, ...f(this.#content) }
    })
  }
}
