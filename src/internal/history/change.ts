/**
 * The writes of a store as functions of what is stored: each gives the next version, or the conflict.
 */
import * as Either from "effect/Either"
import type { ConflictError } from "../../ChatError.ts"
import { emptyUsage, type Usage } from "../../ChatResponse.ts"
import type { Append, Settings, StoredConversation, Target } from "../../HistoryStore.ts"
import type { Summary } from "../../HistoryWindow.ts"
import { conflict } from "./errors.ts"

/** What is stored after a write; `undefined` where there is nothing to write. */
export type Change = (
  stored: StoredConversation | undefined
) => Either.Either<StoredConversation | undefined, ConflictError>

const change = (
  { expectedVersion, id }: Target,
  next: (stored: StoredConversation) => Omit<StoredConversation, "id" | "version">
): Change =>
(stored) => {
  const version = stored?.version ?? 0
  if (version !== expectedVersion) return Either.left(conflict(id, expectedVersion, version))
  return Either.right({ ...next(stored ?? blank(id)), id, version: version + 1 })
}

const blank = (id: string): StoredConversation => ({
  id,
  version: 0,
  systemPrompt: "",
  messages: [],
  usage: emptyUsage,
  settings: {}
})

const settingsOf = (stored: StoredConversation, given: Settings): Settings =>
  stored.version === 0 ? given : stored.settings

export const append = (turn: Append): Change =>
  change(turn, (stored) => ({
    systemPrompt: turn.systemPrompt,
    summary: stored.summary,
    messages: [...stored.messages, ...turn.messages],
    usage: turn.usage,
    settings: settingsOf(stored, turn.settings)
  }))

export const setSystemPrompt = (
  target: Target & { readonly systemPrompt: string; readonly settings: Settings }
): Change =>
  change(target, (stored) => ({
    ...stored,
    systemPrompt: target.systemPrompt,
    settings: settingsOf(stored, target.settings)
  }))

export const setSummary = (target: Target & { readonly summary: Summary; readonly usage: Usage }): Change =>
  ofStored(target, change(target, (stored) => ({ ...stored, summary: target.summary, usage: target.usage })))

export const clear = (target: Target): Change =>
  ofStored(target, change(target, (stored) => ({ ...stored, messages: [], summary: undefined })))

/** Nothing to change where nothing is stored, and nothing was expected to be. */
const ofStored = ({ expectedVersion }: Target, change: Change): Change => (stored) =>
  stored === undefined && expectedVersion === 0 ? Either.right(undefined) : change(stored)
