/**
 * The models of a conversation: the question of a turn, the stored content, and unsaved turns.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type ChatMessage, fromPrompt, system, type ToolMessage, type UserMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import { addUsage, emptyUsage, type Usage } from "../../ChatResponse.ts"
import type { WindowLimits } from "../../ChatSettings.ts"
import type { HistoryWindow, Input, Summary } from "../../HistorySelection.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Service, Settings, StoredConversation, Turn as HistoryTurn, Version } from "../../StoredConversation.ts"
import type * as TurnModule from "../../Turn.ts"
import { fromStored as choicesFromStored } from "../history/conversationSettings.ts"
import { make as makeIncarnation } from "../history/incarnation.ts"
import { sortedJson } from "../json.ts"

/** The messages that a turn begins with. */
export type TurnInput = ReadonlyArray<UserMessage | ToolMessage>

/** The messages that a turn answers, and its position in the history. */
export interface Question {
  readonly input: ReadonlyArray<ChatMessage>
  /** How many turns stay before this one. It replaces all later turns. Default: all stay. */
  readonly keepTurns?: number | undefined
  /** Later turns that stay too. They move before this turn. */
  readonly movedTurns?: ReadonlyArray<HistoryTurn> | undefined
  /** Whether this turn continues the last stored turn, and is stored in place of it. */
  readonly continuesLast?: boolean | undefined
  /** The tokens that the stored part of a continued turn used. */
  readonly usage?: Usage | undefined
  /** The ids of all stored turns when the turn began. Turns that are stored after that stay too. */
  readonly knownTurnIds?: ReadonlyArray<string> | undefined
  /** Whether the store may already have a turn with this id, so that the write must check it. */
  readonly mayBeStored?: boolean | undefined
  /** Messages sent before the input and not stored. */
  readonly context?: TurnInput | undefined
}

/** The errors of a conversation's store. */
export type StoreError = HistoryStoreError | ConflictError

/** A request without its messages, and the input from which a window selects them. */
export interface RequestDraft {
  readonly input: Input
  readonly request: Omit<ChatRequest, "messages">
}

/** The options of a conversation. */
export interface ConversationOptions {
  readonly id: string
  readonly store: Service
  /** The fairness key for `Limits`. Default: the id. */
  readonly fairnessKey?: string | object | undefined
  /** The removal of an earlier conversation with the same id. Reads wait for it. */
  readonly pendingRemoval?: Effect.Effect<void> | undefined
  /** The config without the conversation's own settings. */
  readonly defaults: LLMConfig
  /** Selects the messages of the history that turns send. */
  readonly window: HistoryWindow
  /** Receives the tokens of each turn. */
  readonly onUsage?: ((usage: Usage) => Effect.Effect<void>) | undefined
}

/** A turn to store. */
export interface FinishedTurn extends Omit<Question, "input" | "context"> {
  readonly turnId: string
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage | undefined
  /** Receives the results of calls that this turn settled, after they are stored. */
  readonly onSettled?: ((events: ReadonlyArray<ToolEvent>) => void) | undefined
}

/** The id of a turn and the index of its first message. */
export interface TurnStart {
  readonly turnId: string
  readonly start: number
  /** Undefined until it is read from the store. */
  readonly createdAt?: number
}

/** The stored content of a conversation, with its current settings. */
export interface Content extends Omit<Version, "incarnation"> {
  readonly config: LLMConfig
  readonly systemPrompt: string
  /** The conversation's own limits of the window. */
  readonly limits: WindowLimits | undefined
  /** The conversation's own settings. */
  readonly settings: Settings
  /** The conversation's own system prompt. Empty if there is none. */
  readonly ownPrompt: string
  /** The messages of complete turns in order, without the system message. Can be only the last turns. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly turns: ReadonlyArray<TurnStart>
  /** How many stored turns come before `turns`. */
  readonly firstTurn: number
  /** The stored summary. Its `replaces` counts from the first stored message. */
  readonly summary: Summary | undefined
  readonly usage: Usage
  /** Undefined if the store has none. */
  readonly incarnation: string | undefined
}

/** A turn that was found by its id. */
export interface FoundTurn {
  readonly turnId: string
  /** How many turns come before it. */
  readonly index: number
  readonly messages: ReadonlyArray<ChatMessage>
}

/** A turn that could not be stored. */
export interface UnsavedTurn extends FinishedTurn {
  /** The stored version before the write. Infinite if the store could not be read. */
  readonly version: number
  readonly incarnation: string | undefined
}

/** A write that failed for a reason other than a conflict, so that the store may have applied it. */
export interface UnconfirmedWrite {
  /** The total usage, if the write contained it. */
  readonly usage?: Usage
  /** The part of the total that was not stored before. */
  readonly unstored?: Usage | undefined
}

/** The content of a conversation that is not stored. */
const emptyContent = (config: LLMConfig, incarnation: string): Content => ({
  config,
  systemPrompt: config.systemPrompt,
  limits: undefined,
  settings: {},
  ownPrompt: "",
  messages: [],
  turns: [],
  firstTurn: 0,
  summary: undefined,
  usage: emptyUsage,
  version: 0,
  incarnation
})

/** The stored content with the settings of the config. The caller applies the conversation's own settings. */
export const fromStored = (stored: StoredConversation, config: LLMConfig): Content => ({
  ...emptyContent(config, stored.incarnation),
  ...choicesFromStored(stored),
  messages: stored.messages,
  turns: stored.turns,
  summary: stored.summary,
  usage: stored.usage,
  version: stored.version
})

/** How many of the last turns are read. */
export type TurnCount = number | "all"

/** Whether the content has this many turns, or all that are stored. */
export const hasTurns = ({ firstTurn, turns }: Content, turnCount: TurnCount): boolean =>
  firstTurn === 0 || turnCount !== "all" && turns.length >= turnCount

/** Reads the stored content, after the removal of an earlier conversation with the same id. */
export const load = (
  { defaults, id, pendingRemoval = Effect.void, store }: ConversationOptions,
  turnCount: TurnCount
): Effect.Effect<Content, HistoryStoreError> =>
  Effect.flatMap(
    Effect.zipRight(pendingRemoval, read(store, id, turnCount)),
    Option.match({
      onNone: () => Effect.map(makeIncarnation, (incarnation) => emptyContent(defaults, incarnation)),
      onSome: ({ firstTurn, stored }) => Effect.succeed({ ...fromStored(stored, defaults), firstTurn })
    })
  )

const read = (store: Service, id: string, turnCount: TurnCount) =>
  turnCount === "all"
    ? Effect.map(store.load(id), Option.map((stored) => ({ stored, firstTurn: 0 })))
    : Effect.map(
      store.loadTail(id, { turns: turnCount }),
      Option.map((stored) => ({ stored, firstTurn: stored.firstTurn }))
    )

/** Adds usage to the total. An unknown usage counts as nothing. */
export const addUsageIfKnown = (usage: Usage, more: Usage | undefined): Usage =>
  more === undefined ? usage : addUsage(usage, more)

/** Keeps the first `keepTurns` turns, and the summary if it summarizes only those. The content must have all turns. */
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

/** Adds turns to the end of the content. */
export const addTurns = (content: Content, added: ReadonlyArray<HistoryTurn> = []): Content =>
  added.reduce<Content>((content, { messages, turnId = "", ...turn }) =>
    messages.length === 0 ? content : {
      ...content,
      messages: [...content.messages, ...messages],
      turns: [
        ...content.turns,
        { turnId, start: content.messages.length, ...turn.createdAt === undefined ? {} : { createdAt: turn.createdAt } }
      ]
    }, content)

/** Finds the turn with this id in the loaded turns. */
export const findTurn = ({ firstTurn, messages, turns }: Content, turnId: string): FoundTurn | undefined => {
  const index = turns.findIndex((turn) => turn.turnId === turnId)
  const turn = turns[index]
  return turn && { turnId, index: firstTurn + index, messages: messages.slice(turn.start, turns[index + 1]?.start) }
}

/** The turns after the first `count` turns. */
const turnsAfter = ({ messages, turns }: Content, count: number): ReadonlyArray<HistoryTurn> =>
  turns.slice(count).map(({ createdAt, start, turnId }, after) => ({
    turnId,
    createdAt,
    messages: messages.slice(start, turns[count + after + 1]?.start)
  }))

const idsOf = ({ turns }: Content): ReadonlyArray<string> => turns.map(({ turnId }) => turnId)

/** The position of a turn that replaces this turn and keeps all others. The content must have all turns. */
export const keptTurns = (
  content: Content,
  { index }: FoundTurn
): Pick<Question, "keepTurns" | "movedTurns" | "knownTurnIds"> => ({
  keepTurns: index,
  movedTurns: turnsAfter(content, index + 1),
  knownTurnIds: idsOf(content)
})

/** The turns that were stored after the known turns. Undefined if some known turns are no longer stored. */
export const addedSince = (
  content: Content,
  knownTurnIds: ReadonlyArray<string>
): ReadonlyArray<HistoryTurn> | undefined =>
  knownTurnIds.every((turnId, index) => content.turns[index]?.turnId === turnId)
    ? turnsAfter(content, knownTurnIds.length)
    : undefined

/** The question of a turn to answer again. Undefined if there is no such turn. The content must have all turns. */
export const questionOf = (
  content: Content,
  input: TurnModule.Regenerate | TurnModule.Replace
): Question | undefined => {
  const { turnId } = input
  const { messages, turns } = content
  const keepTurns = turnId === undefined ? turns.length - 1 : turns.findIndex((turn) => turn.turnId === turnId)
  const turn = turns[keepTurns]
  return turn && {
    keepTurns,
    knownTurnIds: idsOf(content),
    input: input._tag === "Replace"
      ? fromPrompt(input.prompt)
      : inputOf(messages.slice(turn.start, turns[keepTurns + 1]?.start))
  }
}

/** Adds the system message, if there is one, before the messages. */
export const withSystem = (
  { systemPrompt }: Content,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<ChatMessage> => systemPrompt === "" ? messages.slice() : [system(systemPrompt), ...messages]

/** Whether the stored version is the one that was read. The incarnation counts only if the conversation is stored. */
export const isCurrent = (content: Content, found: Version): boolean =>
  content.version === found.version && (found.version === 0 || content.incarnation === found.incarnation)

/** Whether the store applied the write of this turn. */
export const isStored = (content: Content, unsaved: UnsavedTurn): boolean =>
  content.version > unsaved.version && isSame(findTurn(content, unsaved.turnId)?.messages, unsaved.messages)

/** Whether the turn belongs to a conversation that was removed meanwhile. */
export const isFromRemoved = (content: Content, { incarnation, version }: UnsavedTurn): boolean =>
  version > 0 && incarnation !== undefined && content.incarnation !== incarnation

/** Whether both are the same JSON. Ignores the order of object members, which stores can change. */
export const isSame = (some: unknown, other: unknown): boolean => sortedJson(some) === sortedJson(other)

/** The messages of a turn before its first answer. */
export const inputOf = (messages: ReadonlyArray<ChatMessage>): TurnInput => {
  const input: Array<UserMessage | ToolMessage> = []
  for (const message of messages) {
    if (message.role !== "user" && message.role !== "tool") break
    input.push(message)
  }
  return input
}
