/**
 * The history store in this program's memory.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Stream from "effect/Stream"
import type { ConflictError } from "../../ChatError.ts"
import type { Service, StoredConversation } from "../../HistoryStore.ts"
import * as Change from "./change.ts"

/** A store of its own, empty. */
export const make: Effect.Effect<Service> = Effect.sync((): Service => {
  const conversations = new Map<string, StoredConversation>()
  // Runs in one go: between the look at what is stored and the write nobody else gets a turn.
  const write = (id: string, change: Change.Change): Effect.Effect<number, ConflictError> =>
    Effect.suspend(() =>
      Effect.map(change(conversations.get(id)), (next) => {
        if (next === undefined) return 0
        conversations.set(id, next)
        return next.version
      })
    )
  return {
    load: (id) => Effect.sync(() => Option.fromNullable(conversations.get(id))),
    append: (turn) => write(turn.id, Change.append(turn)),
    setSystemPrompt: (target) => write(target.id, Change.setSystemPrompt(target)),
    setSummary: (target) => write(target.id, Change.setSummary(target)),
    clear: (target) => write(target.id, Change.clear(target)),
    remove: (id) => Effect.sync(() => conversations.delete(id)),
    list: Stream.suspend(() => Stream.fromIterable(Array.from(conversations.keys())))
  }
})
