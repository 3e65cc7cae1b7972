/**
 * Pure functions on stored conversations: they apply commits, select turns and list pages. Stores that write each
 * conversation completely are built on them.
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
import type { CommitContext } from "./commits.ts"
import { conflict } from "./errors.ts"
import { messagesOf } from "./turns.ts"

const emptyConversation = (id: string, { incarnation, now }: CommitContext): StoredConversation => ({
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

const isExpected = ({ expected }: Commit, { incarnation, version }: Version): boolean =>
  version === expected.version &&
  (version === 0 || expected.incarnation === undefined || expected.incarnation === incarnation)

/** Returns the conversation after the commit. Fails if another version is stored. */
export const applyCommit = (
  stored: StoredConversation | undefined,
  commit: Commit,
  context: CommitContext
): Either.Either<StoredConversation, ConflictError> => {
  const actual = versionOf(stored)
  if (!isExpected(commit, actual)) return Either.left(conflict(commit.id, commit.expected.version, actual.version))
  const previous = stored ?? emptyConversation(commit.id, context)
  const keepTurns = commit.keepTurns ?? previous.turns.length
  const messages = messagesOf(previous, keepTurns).slice()
  const turns = previous.turns.slice(0, keepTurns)
  for (const turn of commit.turns) {
    turns.push(toTurn(turn, actual.version + 1, turns.length, messages.length, context))
    messages.push(...turn.messages)
  }
  return Either.right({
    ...previous,
    version: actual.version + 1,
    messages,
    turns,
    usage: commit.usage ?? previous.usage,
    systemPrompt: commit.systemPrompt ?? previous.systemPrompt,
    settings: commit.settings ?? previous.settings,
    summary: commit.summary ?? (commit.keepTurns === undefined ? previous.summary : undefined),
    title: commit.title ?? previous.title,
    owner: commit.owner ?? previous.owner,
    updatedAt: context.now
  })
}

/** Converts a turn. A turn without an id gets an id from the version of its commit and its index. */
export const toTurn = (
  turn: Turn,
  version: number,
  index: number,
  start: number,
  { now }: CommitContext
): StoredTurn => ({
  index,
  turnId: turn.turnId ?? `turn-${version}-${index}`,
  createdAt: turn.createdAt ?? now,
  start
})

/** The commit that creates the copy `to`. */
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

/** The maximum number of characters in a preview. */
const previewLength = 200

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

/** The first characters of the message's text. */
export const previewOf = (content: StoredConversation["messages"][number]["content"]): string => {
  const text = typeof content === "string"
    ? content
    : (content ?? []).flatMap((part) => part.type === "text" ? [part.text] : []).join("")
  return text.slice(0, previewLength)
}

/** The default number of conversations in a page. */
export const pageSize = 50

/** Whether `a` was updated before `b`. The id decides between equal times. */
const isOlder = (a: ConversationInfo, b: { readonly updatedAt: number; readonly id: string }): boolean =>
  a.updatedAt < b.updatedAt || (a.updatedAt === b.updatedAt && a.id < b.id)

/** Selects one page of these conversations, newest first. */
export const pageOf = (
  all: ReadonlyArray<ConversationInfo>,
  { before, limit = pageSize, owner }: ConversationQuery
): ReadonlyArray<ConversationInfo> =>
  all
    .filter((info) => (owner === undefined || info.owner === owner) && (before === undefined || isOlder(info, before)))
    .sort((a, b) => isOlder(a, b) ? 1 : -1)
    .slice(0, limit)
