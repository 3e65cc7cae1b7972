/**
 * Builds the complete service of a store from its basic operations: `append`, `clear` and other writes become commits.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { Commit, Service, Version } from "../../StoredConversation.ts"
import { conflict } from "./errors.ts"
import { make as makeIncarnation } from "./incarnation.ts"

/** The basic operations, which each store implements. */
export type BasicOperations = Omit<Service, "append" | "setSystemPrompt" | "setSummary" | "clear" | "commit"> & {
  readonly commit: (commit: Commit, context: CommitContext) => Effect.Effect<Version, HistoryStoreError | ConflictError>
}

/** Values that a commit needs from outside. */
export interface CommitContext {
  readonly now: number
  /** The incarnation if the commit creates the conversation. */
  readonly incarnation: string
}

export const makeContext: Effect.Effect<CommitContext> = Effect.all({
  now: Clock.currentTimeMillis,
  incarnation: makeIncarnation
})

/** Replaces infinity, which JSON cannot represent. */
const toFinite = (tokens: number): number => Number.isFinite(tokens) ? tokens : Number.MAX_SAFE_INTEGER

/** Replaces a usage object that JSON cannot represent by null. */
const jsonOrNull = (raw: unknown): unknown =>
  Option.getOrElse(Option.liftThrowable(() => JSON.stringify(raw) === undefined ? null : raw)(), () => null)

const toStorable = (usage: Usage): Usage => ({
  ...usage,
  inputTokens: toFinite(usage.inputTokens),
  outputTokens: toFinite(usage.outputTokens),
  totalTokens: toFinite(usage.totalTokens),
  reasoningTokens: toFinite(usage.reasoningTokens),
  cachedTokens: toFinite(usage.cachedTokens),
  raw: jsonOrNull(usage.raw)
})

/** Adds the other operations of the service to the basic ones. */
export const toService = (basic: BasicOperations): Service => {
  const commit: Service["commit"] = (commit) =>
    Effect.flatMap(
      makeContext,
      (context) =>
        basic.commit(
          commit.usage === undefined ? commit : { ...commit, usage: toStorable(commit.usage) },
          { ...context, incarnation: commit.expected.incarnation || context.incarnation }
        )
    )

  const write = (change: Commit): Effect.Effect<number, HistoryStoreError | ConflictError> =>
    Effect.map(commit(change), ({ version }) => version)

  /** Writes nothing if the expected version is 0 and the conversation is not stored. */
  const writeIfStored = (change: Commit): Effect.Effect<number, HistoryStoreError | ConflictError> =>
    change.expected.version > 0
      ? write(change)
      : Effect.flatMap(
        basic.version(change.id),
        ({ version }) => version === 0 ? Effect.succeed(0) : Effect.fail(conflict(change.id, 0, version))
      )

  return {
    ...basic,
    commit,
    append: ({ expectedVersion, incarnation, messages, settings, systemPrompt, turnId, usage, id }) =>
      write({
        id,
        expected: { incarnation, version: expectedVersion },
        turns: messages.length === 0 ? [] : [{ turnId, messages }],
        usage,
        systemPrompt,
        ...(expectedVersion === 0 ? { settings } : {})
      }),
    setSystemPrompt: ({ expectedVersion, id, incarnation, settings, systemPrompt }) =>
      write({
        id,
        expected: { incarnation, version: expectedVersion },
        turns: [],
        systemPrompt,
        ...(expectedVersion === 0 ? { settings } : {})
      }),
    setSummary: ({ expectedVersion, id, incarnation, summary, usage }) =>
      writeIfStored({ id, expected: { incarnation, version: expectedVersion }, turns: [], summary, usage }),
    clear: ({ expectedVersion, id, incarnation }) =>
      writeIfStored({ id, expected: { incarnation, version: expectedVersion }, keepTurns: 0, turns: [] })
  }
}
