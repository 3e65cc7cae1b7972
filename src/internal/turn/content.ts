/**
 * The models of a conversation: what its turns start with, what is stored, and what a failed write left open.
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
import { make as makeIncarnation } from "../history/incarnation.ts"
import { fromStored as chosenIn } from "../history/settings.ts"
import { isRecord } from "../json.ts"

/** The messages that a turn begins with. */
export type TurnInput = ReadonlyArray<UserMessage | ToolMessage>

/** What a turn answers, and how many turns stay in front of it if it replaces the others. */
export interface Question {
  readonly input: ReadonlyArray<ChatMessage>
  readonly keepTurns?: number | undefined
  /** Turns that stay as well, behind those. */
  readonly moved?: ReadonlyArray<HistoryTurn> | undefined
  /** Whether it continues the turn after them, which is the last one. */
  readonly continues?: boolean | undefined
  /** The tokens that the turn had used before. */
  readonly usage?: Usage | undefined
  /** The ids of all turns that the history had then. Those that are stored later stay as well. */
  readonly known?: ReadonlyArray<string> | undefined
  /** Whether the store was not asked yet if it has a turn with this id. */
  readonly isUnchecked?: boolean | undefined
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
export interface FinishedTurn extends Omit<Question, "input" | "context"> {
  readonly turnId: string
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage | undefined
  /** Receives the results of calls that waited for an approval, once they are stored. */
  readonly onSettled?: ((events: ReadonlyArray<ToolEvent>) => void) | undefined
}

/** A turn by its id and the place of its first message. */
export interface TurnStart {
  readonly turnId: string
  readonly start: number
  /** Undefined until it is read from the store. */
  readonly createdAt?: number
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
  /** How many turns are stored before those. */
  readonly firstTurn: number
  /** The stored summary. It counts the messages before those as well. */
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
  firstTurn: 0,
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

/** How many turns are read: the last ones, or all of them. */
export type Amount = number | "whole"

/** Whether the content has the turns that are wanted. */
export const hasTurns = ({ firstTurn, turns }: Content, amount: Amount): boolean =>
  firstTurn === 0 || amount !== "whole" && turns.length >= amount

/** Reads what is stored, after the removal of the conversation before. */
export const load = (
  { after = Effect.void, defaults, id, store }: ConversationOptions,
  amount: Amount
): Effect.Effect<Content, HistoryStoreError> =>
  Effect.flatMap(
    Effect.zipRight(after, read(store, id, amount)),
    Option.match({
      onNone: () => Effect.map(makeIncarnation, (incarnation) => empty(defaults, incarnation)),
      onSome: ({ firstTurn, stored }) => Effect.succeed({ ...fromStored(stored, defaults), firstTurn })
    })
  )

const read = (store: Service, id: string, amount: Amount) =>
  amount === "whole"
    ? Effect.map(store.load(id), Option.map((stored) => ({ stored, firstTurn: 0 })))
    : Effect.map(
      store.loadTail(id, { turns: amount }),
      Option.map((stored) => ({ stored, firstTurn: stored.firstTurn }))
    )

/** The sum of both, if there are more. */
export const add = (usage: Usage, more: Usage | undefined): Usage => more === undefined ? usage : addUsage(usage, more)

/** The whole content without the turns after the first `keepTurns`. A summary stays if it is of turns that stay. */
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

/** The content with further turns at its end. */
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

/** The turn with this id, if it is here. */
export const findTurn = ({ firstTurn, messages, turns }: Content, turnId: string): FoundTurn | undefined => {
  const index = turns.findIndex((turn) => turn.turnId === turnId)
  const turn = turns[index]
  return turn && { turnId, index: firstTurn + index, messages: messages.slice(turn.start, turns[index + 1]?.start) }
}

/** The turns behind the first ones. */
const turnsAfter = ({ messages, turns }: Content, count: number): ReadonlyArray<HistoryTurn> =>
  turns.slice(count).map(({ createdAt, start, turnId }, after) => ({
    turnId,
    createdAt,
    messages: messages.slice(start, turns[count + after + 1]?.start)
  }))

const idsOf = ({ turns }: Content): ReadonlyArray<string> => turns.map(({ turnId }) => turnId)

/** What stays of the whole content if this turn is asked again: the turns before it and those after it. */
export const others = (content: Content, { index }: FoundTurn): Pick<Question, "keepTurns" | "moved" | "known"> => ({
  keepTurns: index,
  moved: turnsAfter(content, index + 1),
  known: idsOf(content)
})

/** The turns that were stored after the known ones, undefined if those are not all there. */
export const addedSince = (
  content: Content,
  known: ReadonlyArray<string>
): ReadonlyArray<HistoryTurn> | undefined =>
  known.every((turnId, index) => content.turns[index]?.turnId === turnId)
    ? turnsAfter(content, known.length)
    : undefined

/** The question of a turn of the whole content that is answered again, undefined if there is no such turn. */
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
    known: idsOf(content),
    input: input._tag === "Replace"
      ? fromPrompt(input.prompt)
      : inputOf(messages.slice(turn.start, turns[keepTurns + 1]?.start))
  }
}

export const withSystem = (
  { systemPrompt }: Content,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<ChatMessage> => systemPrompt === "" ? messages.slice() : [system(systemPrompt), ...messages]

/** Whether what is stored is what was read. A conversation that is not stored has no incarnation yet. */
export const isCurrent = (content: Content, found: Version): boolean =>
  content.version === found.version && (found.version === 0 || content.incarnation === found.incarnation)

/** Whether the turn was stored since. */
export const isStored = (content: Content, unsaved: Unsaved): boolean =>
  content.version > unsaved.version && isSame(findTurn(content, unsaved.turnId)?.messages, unsaved.messages)

/** Whether the turn was made for a conversation that was removed since. */
export const isOfAnother = (content: Content, { incarnation, version }: Unsaved): boolean =>
  version > 0 && incarnation !== undefined && content.incarnation !== incarnation

/** Whether both are the same JSON. Stores write the members of an object in their own order. */
export const isSame = (some: unknown, other: unknown): boolean => toSorted(some) === toSorted(other)

const toSorted = (json: unknown): string | undefined =>
  JSON.stringify(json, (_key, value: unknown) =>
    isRecord(value)
      ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => a < b ? -1 : 1))
      : value)

/** The messages that a turn began with: those before its first answer. */
export const inputOf = (messages: ReadonlyArray<ChatMessage>): TurnInput => {
  const input: Array<UserMessage | ToolMessage> = []
  for (const message of messages) {
    if (message.role !== "user" && message.role !== "tool") break
    input.push(message)
  }
  return input
}
