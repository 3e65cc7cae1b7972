/**
 * A history store in memory.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { Commit, Service, StoredConversation, Version } from "../../StoredConversation.ts"
import * as Commits from "./commits.ts"
import { notStored } from "./errors.ts"
import * as Stored from "./storedConversation.ts"

export const make: Effect.Effect<Service> = Effect.sync((): Service => {
  const conversations = new Map<string, StoredConversation>()
  const find = (id: string) => Effect.sync(() => Option.fromNullable(conversations.get(id)))
  // The comparison and the write are synchronous, so no other fiber writes between them.
  const commit = (commit: Commit, context: Commits.CommitContext): Effect.Effect<Version, ConflictError> =>
    Effect.suspend(() =>
      Effect.map(Stored.applyCommit(conversations.get(commit.id), commit, context), (next) => {
        conversations.set(commit.id, next)
        return Stored.versionOf(next)
      })
    )

  return Commits.toService({
    isShared: false,
    load: find,
    version: (id) => Effect.sync(() => Stored.versionOf(conversations.get(id))),
    loadTail: (id, options) => Effect.map(find(id), Option.map((stored) => Stored.tail(stored, options?.turns))),
    findTurn: (id, turnId) => Effect.map(find(id), Option.flatMap((stored) => Stored.findTurn(stored, turnId))),
    commit,
    copy: (from, to, options) =>
      Effect.flatMap(
        Commits.makeContext,
        (context) =>
          Effect.suspend((): Effect.Effect<Version, ConflictError | HistoryStoreError> => {
            const stored = conversations.get(from)
            if (stored === undefined) return Effect.fail(notStored(from))
            return commit(Stored.toCopy(stored, to, options?.keepTurns), context)
          })
      ),
    conversations: (query) =>
      Effect.sync(() => Stored.pageOf(Array.from(conversations.values(), Stored.toInfo), query ?? {})),
    remove: (id) => Effect.sync(() => conversations.delete(id)),
    list: Stream.suspend(() => Stream.fromIterable(Array.from(conversations.keys())))
  })
})
