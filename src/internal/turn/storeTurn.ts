/**
 * The write of a turn: behind the stored turns, or in the place of some of them.
 */
import * as Effect from "effect/Effect"
import type { Usage } from "../../ChatResponse.ts"
import * as Settings from "../history/settings.ts"
import type { Content, ConversationOptions, FinishedTurn, StoreError } from "./content.ts"

/** What is stored, what of it stays, and what is added. */
export interface TurnWrite {
  readonly content: Content
  readonly kept: Content
  readonly turn: FinishedTurn
  /** The tokens of all turns, with those of this one. */
  readonly usage: Usage
}

/** Stores a turn. Returns the version that is stored then. */
export const storeTurn = (
  { defaults, id, store }: ConversationOptions,
  { content, kept, turn, usage }: TurnWrite
): Effect.Effect<number, StoreError> => {
  const { incarnation, systemPrompt, version } = content
  const { keepTurns, messages, turnId } = turn
  const settings = Settings.chosen(content.config, defaults)
  if (keepTurns === undefined) {
    return store.append({ id, turnId, expectedVersion: version, incarnation, messages, usage, systemPrompt, settings })
  }
  const commit = store.commit({
    id,
    expected: { version, incarnation },
    keepTurns,
    turns: messages.length === 0 ? [] : [{ turnId, messages }],
    usage,
    summary: kept.summary,
    systemPrompt,
    settings
  })
  return Effect.map(commit, ({ version }) => version)
}
