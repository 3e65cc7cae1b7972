/**
 * Operations of a manager on stored conversations.
 */
import * as Clock from "effect/Clock"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { ConversationInfo, ConversationQuery, Service } from "../../StoredConversation.ts"
import { turnNotStored } from "./errors.ts"

/** Begins `to` as a copy of `from`, up to and including a turn if one is given. */
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

/** How many conversations are looked at together. Stores that read every conversation do so once for each page. */
const page = 500

/** Removes the conversations that were last written before this long. Returns how many. */
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
      const old: ReadonlyArray<ConversationInfo> = yield* store.conversations({ before, limit: page })
      for (const { id, updatedAt } of old) {
        if (updatedAt > 0 && (yield* remove(id))) removed++
      }
      before = old.length < page ? undefined : old.at(-1)
    }
    return removed
  })
