/**
 * Forks stored conversations and removes old ones.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { ConversationInfo, ConversationQuery, Service } from "../../StoredConversation.ts"
import { turnNotStored } from "./errors.ts"

/** Creates `to` as a copy of `from`. If `upTo` is present, its turn is the last one of the copy. */
export const fork = (
  store: Service,
  from: string,
  to: string,
  upTo: string | undefined
): Effect.Effect<void, HistoryStoreError | ConflictError> =>
  Effect.gen(function*() {
    if (upTo === undefined) return yield* store.copy(from, to)
    const found = yield* store.findTurn(from, upTo)
    if (Option.isNone(found)) return yield* turnNotStored(from, upTo)
    return yield* store.copy(from, to, { keepTurns: found.value.index + 1 })
  })

/** The number of conversations in a page. Some stores read every conversation for each page. */
const pageSize = 500

/**
 * Removes the conversations that were not written for the duration `age`. Returns how many
 * were removed. Conversations of older releases have no time, and are not removed.
 */
export const removeOlderThan = (
  store: Service,
  age: Duration.DurationInput,
  remove: (id: string) => Effect.Effect<boolean, HistoryStoreError>
): Effect.Effect<number, HistoryStoreError> =>
  Effect.gen(function*() {
    const now = yield* Clock.currentTimeMillis
    let removed = 0
    let before: ConversationQuery["before"] = { updatedAt: now - Duration.toMillis(age), id: "" }
    while (before !== undefined && before.updatedAt > 0) {
      const old: ReadonlyArray<ConversationInfo> = yield* store.conversations({ before, limit: pageSize })
      for (const { id, updatedAt } of old) {
        if (updatedAt > 0 && (yield* remove(id))) removed++
      }
      before = old.length < pageSize ? undefined : old.at(-1)
    }
    return removed
  })
