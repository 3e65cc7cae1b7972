/**
 * What a conversation is: its messages, and the one turn that it can be in. Where it is kept, its classes say.
 */
import * as Effect from "effect/Effect"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import { type ChatMessage, system, type ToolMessage, type UserMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { addUsage, emptyUsage, type Usage } from "../../ChatResponse.ts"
import type { HistoryWindow, Input, Summary } from "../../HistoryWindow.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { TurnLock } from "./lock.ts"

/** The messages that a turn begins with. */
export type TurnInput = ReadonlyArray<UserMessage | ToolMessage>

/** What can go wrong between a conversation and its store. */
export type StoreError = HistoryStoreError | ConflictError

/** What there is of a conversation. */
export interface Content {
  readonly config: LLMConfig
  readonly systemPrompt: string
  /** Whole turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly summary: Summary | undefined
  readonly usage: Usage
}

/** A conversation in which nothing was said. */
export const begun = (config: LLMConfig): Content => ({
  config,
  systemPrompt: config.systemPrompt,
  messages: [],
  summary: undefined,
  usage: emptyUsage
})

/** What a window chooses from, and the request that it chooses the messages of. */
export interface Choice {
  readonly input: Input
  readonly request: Omit<ChatRequest, "messages">
}

/** A turn as the history keeps it. */
export interface FinishedTurn {
  readonly turnId: string
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage | undefined
}

/** One conversation. */
export abstract class Conversation {
  readonly lock: TurnLock = new TurnLock()
  /** What turns send of the history. */
  readonly window: HistoryWindow
  /** Whose its calls are, where calls wait in line. */
  readonly owner: string | object

  constructor(window: HistoryWindow, owner: string | object) {
    this.window = window
    this.owner = owner
  }

  /** Reads what there is. */
  protected abstract use<A>(f: (content: Content) => A): Effect.Effect<A, HistoryStoreError>

  /** The tokens of all turns. */
  abstract get usage(): Effect.Effect<Usage, HistoryStoreError>

  /** Keeps the summary of these messages, unless the history is another one by now. */
  abstract summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError>

  abstract updateSystemPrompt(systemPrompt: string): Effect.Effect<void, StoreError>

  abstract get clear(): Effect.Effect<void, StoreError>

  /** Adds a turn to the history. It is stored when this is done. */
  abstract commit(turn: FinishedTurn): Effect.Effect<void, StoreError>

  /** Tries again to keep the turn that was not; whether there was one. */
  abstract get save(): Effect.Effect<boolean, StoreError>

  /** Counts the tokens of a turn that left nothing else. */
  abstract recordUsage(usage: Usage | undefined): Effect.Effect<void>

  /** The settings that are in force. */
  get config(): Effect.Effect<LLMConfig, HistoryStoreError> {
    return this.use((content) => content.config)
  }

  /** The messages, the system message first where there is one. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError> {
    return this.use((content) => withSystem(content, content.messages))
  }

  /** What a question outside the history is sent with. */
  question(input: TurnInput): Effect.Effect<ChatRequest, HistoryStoreError> {
    return this.use((content) => ({
      config: content.config,
      messages: withSystem(content, input),
      conversation: this.owner
    }))
  }

  /** What a turn is sent with, before the window chooses. */
  choice(input: TurnInput): Effect.Effect<Choice, HistoryStoreError> {
    return this.use(({ config, messages, summary, systemPrompt }) => ({
      input: { system: systemPrompt === "" ? undefined : system(systemPrompt), messages, opening: input, summary },
      request: { config, conversation: this.owner }
    }))
  }

  /** Ends the turn that runs, if one does. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder?.stop ?? Effect.void)
  }
}

/** The tokens of both, where there are more. */
export const add = (usage: Usage, more: Usage | undefined): Usage => more === undefined ? usage : addUsage(usage, more)

const withSystem = (
  { systemPrompt }: Content,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<ChatMessage> => systemPrompt === "" ? messages.slice() : [system(systemPrompt), ...messages]
