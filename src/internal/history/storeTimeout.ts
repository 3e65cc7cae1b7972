/**
 * A store whose operations take at most a given time.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Service } from "../../StoredConversation.ts"
import { detach } from "../transport/wait.ts"
import { noAnswer } from "./errors.ts"

/**
 * The same store, whose reads and writes of one conversation fail after the timeout. An operation that cannot be
 * interrupted is left behind.
 */
export const withTimeout = (store: Service, timeout: Duration.Duration): Service => {
  if (!Duration.isFinite(timeout)) return store
  const limit = <A, E>(id: string, operation: Effect.Effect<A, E>): Effect.Effect<A, E | HistoryStoreError> =>
    within(operation, timeout, () => noAnswer(id, timeout))
  return {
    isShared: store.isShared,
    list: store.list,
    conversations: (query) => store.conversations(query),
    load: (id) => limit(id, store.load(id)),
    version: (id) => limit(id, store.version(id)),
    loadTail: (id, options) => limit(id, store.loadTail(id, options)),
    findTurn: (id, turnId) => limit(id, store.findTurn(id, turnId)),
    commit: (commit) => limit(commit.id, store.commit(commit)),
    copy: (from, to, options) => limit(from, store.copy(from, to, options)),
    append: (turn) => limit(turn.id, store.append(turn)),
    setSystemPrompt: (target) => limit(target.id, store.setSystemPrompt(target)),
    setSummary: (target) => limit(target.id, store.setSummary(target)),
    clear: (target) => limit(target.id, store.clear(target)),
    remove: (id) => limit(id, store.remove(id))
  }
}

/** An operation that ends at once needs no timer. */
const within = <A, E, E2>(
  operation: Effect.Effect<A, E>,
  duration: Duration.Duration,
  onTimeout: () => E2
): Effect.Effect<A, E | E2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(detach(Effect.exit(operation)), (fiber) => {
      if (fiber.unsafePoll() !== null) return Effect.flatten(Effect.flatten(Fiber.await(fiber)))
      const leave = Fiber.interruptFork(fiber)
      const exit = Effect.interruptible(Fiber.await(fiber)).pipe(
        Effect.timeoutFail({ duration, onTimeout }),
        Effect.tapError(() => leave)
      )
      return Effect.flatten(Effect.flatten(Effect.onInterrupt(restore(exit), () => leave)))
    })
  )
