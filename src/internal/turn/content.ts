/**
 * The models of a conversation: what its turns start with, what is stored, and what a failed write left open.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type ChatMessage, system, type ToolMessage, type UserMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { addUsage, emptyUsage, type Usage } from "../../ChatResponse.ts"
import type { WindowLimits } from "../../ChatSettings.ts"
import type { HistoryWindow, Input, Summary } from "../../HistorySelection.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Service, Settings, StoredConversation, Version } from "../../StoredConversation.ts"
import { make as makeIncarnation } from "../history/incarnation.ts"
import { fromStored as chosenIn } from "../history/settings.ts"

/** The messages that a turn begins with. */
export type TurnInput = ReadonlyArray<UserMessage | ToolMessage>

/** What a turn answers, and how many turns stay in front of it if it replaces the others. */
export interface Question {
  readonly input: ReadonlyArray<ChatMessage>
  readonly keepTurns?: number | undefined
  /** Whether it continues the turn after them, which is the last one. */
  readonly continues?: boolean | undefined
  /** The tokens that the turn had used before. */
  readonly usage?: Usage | undefined
  /** Messages that are sent before the input and not kept. */
  readonly context?: TurnInput | undefined
}

/** The errors of a conversation's store. */
export type StoreError = HistoryStoreError | ConflictError

/** What a window chooses from, and the request whose messages it chooses. */
export interface Choice {
  readonly input: Input
  readonly request: Omit<ChatRequest, "messages">
}

/** Where a conversation is stored, and what it is created with. */
export interface ConversationOptions {
  readonly id: string
  readonly store: Service
  /** The fairness key for `Limits`. Default the id. */
  readonly owner?: string | object | undefined
  /** Completes before the conversation is read: the removal of the one with the same id before it. */
  readonly after?: Effect.Effect<void> | undefined
  /** The settings of a conversation that chose none. */
  readonly defaults: LLMConfig
  /** Chooses what turns send of the history. */
  readonly window: HistoryWindow
  /** Receives the tokens of each turn. */
  readonly onUsage?: ((usage: Usage) => Effect.Effect<void>) | undefined
}

/** A turn as the history keeps it. */
export interface FinishedTurn {
  readonly turnId: string
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage | undefined
  /** How many turns stay in front of it, if it replaces those after them. */
  readonly keepTurns?: number | undefined
  /** Whether it is the last turn, which goes on, instead. */
  readonly continues?: boolean | undefined
  /** Receives the results of calls that waited for an approval, once they are stored. */
  readonly onSettled?: ((events: ReadonlyArray<ToolEvent>) => void) | undefined
}

/** A turn by its id and the place of its first message. */
export interface TurnStart {
  readonly turnId: string
  /** Milliseconds since 1970, if it is known. */
  readonly createdAt?: number | undefined
  readonly start: number
}

/** What is stored of a conversation, with the settings that are in force. */
export interface Content extends Omit<Version, "incarnation"> {
  readonly config: LLMConfig
  readonly systemPrompt: string
  /** The limits of the window that the conversation chose. */
  readonly limits: WindowLimits | undefined
  /** What the conversation chose of its settings. */
  readonly settings: Settings
  /** The system prompt that the conversation chose, empty for none. */
  readonly prompt: string
  /** Complete turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly turns: ReadonlyArray<TurnStart>
  readonly summary: Summary | undefined
  readonly usage: Usage
  /** Undefined if the store has none. */
  readonly incarnation: string | undefined
}

/** A turn that the store did not take. */
export interface Unsaved extends FinishedTurn {
  /** What was stored before the write. The version is infinite if it could not be read. */
  readonly version: number
  readonly incarnation: string | undefined
}

/** A write that failed, and may have been done all the same. */
export interface UnconfirmedWrite {
  /** The tokens of all turns, if the write had them. */
  readonly usage?: Usage
  /** The part of them that was not stored before. */
  readonly unstored?: Usage | undefined
}

/** A conversation that is not stored. */
export const empty = (config: LLMConfig, incarnation: string): Content => ({
  config,
  systemPrompt: config.systemPrompt,
  limits: undefined,
  settings: {},
  prompt: "",
  messages: [],
  turns: [],
  summary: undefined,
  usage: emptyUsage,
  version: 0,
  incarnation
})

/** What a store has, with the settings of the config until those that are in force are known. */
export const fromStored = (stored: StoredConversation, config: LLMConfig): Content => ({
  ...empty(config, stored.incarnation),
  ...chosenIn(stored),
  messages: stored.messages,
  turns: stored.turns,
  summary: stored.summary,
  usage: stored.usage,
  version: stored.version
})

/** Reads what is stored, after the removal of the conversation before. */
export const load = (
  { after = Effect.void, defaults, id, store }: ConversationOptions
): Effect.Effect<Content, HistoryStoreError> =>
  Effect.flatMap(
    Effect.zipRight(after, store.load(id)),
    Option.match({
      onNone: () => Effect.map(makeIncarnation, (incarnation) => empty(defaults, incarnation)),
      onSome: (stored) => Effect.succeed(fromStored(stored, defaults))
    })
  )

/** The sum of both, if there are more. */
export const add = (usage: Usage, more: Usage | undefined): Usage => more === undefined ? usage : addUsage(usage, more)

/** The content without the turns after the first `keepTurns`. A summary stays if it is of turns that stay. */
export const firstTurns = (content: Content, keepTurns: number | undefined): Content => {
  const start = keepTurns === undefined ? undefined : content.turns[keepTurns]?.start
  if (start === undefined) return content
  const { messages, summary, turns } = content
  return {
    ...content,
    messages: messages.slice(0, start),
    turns: turns.slice(0, keepTurns),
    summary: summary !== undefined && summary.replaces <= start ? summary : undefined
  }
}

/** The content with a turn at its end. */
export const withTurn = (
  content: Content,
  { messages, ...turn }: Omit<TurnStart, "start"> & Pick<FinishedTurn, "messages">
): Content => ({
  ...content,
  turns: [...content.turns, { ...turn, start: content.messages.length }],
  messages: [...content.messages, ...messages]
})

export const withSystem = (
  { systemPrompt }: Content,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<ChatMessage> => systemPrompt === "" ? messages.slice() : [system(systemPrompt), ...messages]

/** Whether what is stored is what was read. A conversation that is not stored has no incarnation yet. */
export const isCurrent = (content: Content, found: Version): boolean =>
  content.version === found.version && (found.version === 0 || content.incarnation === found.incarnation)

/** Whether the turn is the last one that is stored, and was stored since. */
export const isStored = (content: Content, unsaved: Unsaved): boolean =>
  content.version > unsaved.version &&
  isSame(content.messages.slice(-unsaved.messages.length), unsaved.messages)

/** Whether the turn was made for a conversation that was removed since. */
export const isOfAnother = (content: Content, { incarnation, version }: Unsaved): boolean =>
  version > 0 && incarnation !== undefined && content.incarnation !== incarnation

export const isSame = (some: unknown, other: unknown): boolean => JSON.stringify(some) === JSON.stringify(other)

/** The messages that a turn began with: those before its first answer. */
export const inputOf = (messages: ReadonlyArray<ChatMessage>): TurnInput => {
  const input: Array<UserMessage | ToolMessage> = []
  for (const message of messages) {
    if (message.role !== "user" && message.role !== "tool") break
    input.push(message)
  }
  return input
}
