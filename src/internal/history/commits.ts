/**
 * The other writes of a store as commits, and the preparation of every commit.
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { Commit, Service, Version } from "../../StoredConversation.ts"
import { conflict } from "./errors.ts"
import { make as makeIncarnation } from "./incarnation.ts"

/** The operations that a store implements. */
export type Core = Omit<Service, "append" | "setSystemPrompt" | "setSummary" | "clear" | "commit"> & {
  readonly commit: (commit: Commit, fresh: Fresh) => Effect.Effect<Version, HistoryStoreError | ConflictError>
}

/** New values that a commit may need. */
export interface Fresh {
  readonly now: number
  /** The incarnation, if the commit begins a conversation. */
  readonly incarnation: string
}

export const fresh: Effect.Effect<Fresh> = Effect.all({ now: Clock.currentTimeMillis, incarnation: makeIncarnation })

/** The largest number of tokens that a store keeps: JSON has no infinity. */
const finite = (tokens: number): number => Number.isFinite(tokens) ? tokens : Number.MAX_SAFE_INTEGER

/** Drops the parts of the server's usage object that JSON cannot represent. */
const jsonOrNull = (raw: unknown): unknown =>
  Option.getOrElse(Option.liftThrowable(() => JSON.stringify(raw) === undefined ? null : raw)(), () => null)

const storable = (usage: Usage): Usage => ({
  ...usage,
  inputTokens: finite(usage.inputTokens),
  outputTokens: finite(usage.outputTokens),
  totalTokens: finite(usage.totalTokens),
  reasoningTokens: finite(usage.reasoningTokens),
  cachedTokens: finite(usage.cachedTokens),
  raw: jsonOrNull(usage.raw)
})

/** The complete service over the operations that a store implements. */
export const toService = (core: Core): Service => {
  const commit: Service["commit"] = (given) =>
    Effect.flatMap(
      fresh,
      (fresh) =>
        core.commit(
          given.usage === undefined ? given : { ...given, usage: storable(given.usage) },
          { ...fresh, incarnation: given.expected.incarnation || fresh.incarnation }
        )
    )

  const write = (given: Commit): Effect.Effect<number, HistoryStoreError | ConflictError> =>
    Effect.map(commit(given), ({ version }) => version)

  /** Writes nothing if the conversation is not stored and was not expected to be. */
  const ofStored = (given: Commit): Effect.Effect<number, HistoryStoreError | ConflictError> =>
    given.expected.version > 0
      ? write(given)
      : Effect.flatMap(
        core.version(given.id),
        ({ version }) => version === 0 ? Effect.succeed(0) : Effect.fail(conflict(given.id, 0, version))
      )

  return {
    ...core,
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
      ofStored({ id, expected: { incarnation, version: expectedVersion }, turns: [], summary, usage }),
    clear: ({ expectedVersion, id, incarnation }) =>
      ofStored({ id, expected: { incarnation, version: expectedVersion }, keepTurns: 0, turns: [] })
  }
}
