/**
 * Commits and copies as functions of the stored conversation, for stores that write conversations completely.
 */
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import type { ConflictError } from "../../ChatError.ts"
import { emptyUsage } from "../../ChatResponse.ts"
import type {
  Commit,
  ConversationInfo,
  ConversationQuery,
  StoredConversation,
  StoredTurn,
  Tail,
  Turn,
  Version
} from "../../StoredConversation.ts"
import type { Fresh } from "./commits.ts"
import { conflict } from "./errors.ts"
import { messagesOf } from "./turns.ts"

const blank = (id: string, { incarnation, now }: Fresh): StoredConversation => ({
  id,
  incarnation,
  version: 0,
  systemPrompt: "",
  messages: [],
  turns: [],
  usage: emptyUsage,
  settings: {},
  createdAt: now,
  updatedAt: now
})

/** The version of the stored conversation. */
export const versionOf = (stored: StoredConversation | undefined): Version =>
  stored === undefined
    ? { incarnation: "", version: 0 }
    : { incarnation: stored.incarnation, version: stored.version }

/** Whether the stored version is the one that a write expects. */
const isExpected = ({ expected }: Commit, { incarnation, version }: Version): boolean =>
  version === expected.version &&
  (version === 0 || expected.incarnation === undefined || expected.incarnation === incarnation)

/** The conversation after a commit, or the conflict. */
export const commit = (
  stored: StoredConversation | undefined,
  given: Commit,
  fresh: Fresh
): Either.Either<StoredConversation, ConflictError> => {
  const found = versionOf(stored)
  if (!isExpected(given, found)) return Either.left(conflict(given.id, given.expected.version, found.version))
  const before = stored ?? blank(given.id, fresh)
  const keep = given.keepTurns ?? before.turns.length
  const messages = messagesOf(before, keep).slice()
  const turns = before.turns.slice(0, keep)
  for (const turn of given.turns) {
    turns.push(toTurn(turn, found.version + 1, turns.length, messages.length, fresh))
    messages.push(...turn.messages)
  }
  return Either.right({
    ...before,
    version: found.version + 1,
    messages,
    turns,
    usage: given.usage ?? before.usage,
    systemPrompt: given.systemPrompt ?? before.systemPrompt,
    settings: given.settings ?? before.settings,
    summary: given.summary ?? (given.keepTurns === undefined ? before.summary : undefined),
    title: given.title ?? before.title,
    owner: given.owner ?? before.owner,
    updatedAt: fresh.now
  })
}

/** A turn that brings no id is named by the version that it made, and by its place. */
export const toTurn = (turn: Turn, version: number, index: number, start: number, { now }: Fresh): StoredTurn => ({
  index,
  turnId: turn.turnId ?? `turn-${version}-${index}`,
  createdAt: turn.createdAt ?? now,
  start
})

/** The commit that begins a copy of a conversation. */
export const toCopy = (stored: StoredConversation, to: string, keepTurns: number | undefined): Commit => {
  const { id: _id, messages, turns, summary, ...head } = stored
  return {
    ...head,
    id: to,
    expected: { version: 0 },
    summary: keepTurns === undefined ? summary : undefined,
    turns: turns.slice(0, keepTurns).map(({ createdAt, index, start, turnId }) => ({
      turnId,
      createdAt,
      messages: messages.slice(start, turns[index + 1]?.start)
    }))
  }
}

/** The last turns. */
export const tail = (stored: StoredConversation, count: number | undefined): Tail => {
  const from = count === undefined ? 0 : Math.max(0, stored.turns.length - count)
  const start = stored.turns[from]?.start ?? (from === 0 ? 0 : stored.messages.length)
  return {
    ...stored,
    turns: stored.turns.slice(from).map((turn) => ({ ...turn, start: turn.start - start })),
    messages: stored.messages.slice(start),
    firstTurn: from,
    turnCount: stored.turns.length
  }
}

/** The turn with this id and its messages. */
export const findTurn = (stored: StoredConversation, turnId: string) =>
  Option.map(Option.fromNullable(stored.turns.find((turn) => turn.turnId === turnId)), ({ start, ...turn }) => ({
    ...turn,
    messages: stored.messages.slice(start, stored.turns[turn.index + 1]?.start)
  }))

/** How much of the last message a preview shows. */
export const previewLength = 200

export const toInfo = (stored: StoredConversation): ConversationInfo => {
  const last = stored.messages.at(-1)
  return {
    id: stored.id,
    title: stored.title,
    owner: stored.owner,
    createdAt: stored.createdAt,
    updatedAt: stored.updatedAt,
    turnCount: stored.turns.length,
    preview: last === undefined ? "" : previewOf(last.content)
  }
}

/** The beginning of a message's text. */
export const previewOf = (content: StoredConversation["messages"][number]["content"]): string => {
  const text = typeof content === "string"
    ? content
    : (content ?? []).flatMap((part) => part.type === "text" ? [part.text] : []).join("")
  return text.slice(0, previewLength)
}

/** How many conversations a page has by default. */
export const pageSize = 50

/** Newest first, and by id among those of one time. */
const isBefore = (a: ConversationInfo, b: { readonly updatedAt: number; readonly id: string }): boolean =>
  a.updatedAt < b.updatedAt || (a.updatedAt === b.updatedAt && a.id < b.id)

/** A page of all conversations. */
export const pageOf = (
  all: ReadonlyArray<ConversationInfo>,
  { before, limit = pageSize, owner }: ConversationQuery
): ReadonlyArray<ConversationInfo> =>
  all
    .filter((info) => (owner === undefined || info.owner === owner) && (before === undefined || isBefore(info, before)))
    .sort((a, b) => isBefore(a, b) ? 1 : -1)
    .slice(0, limit)
