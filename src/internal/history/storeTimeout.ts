/**
 * Adds a time limit to the operations of a store.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Stream from "effect/Stream"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Service } from "../../StoredConversation.ts"
import { detach } from "../transport/wait.ts"
import { listTimedOut, storeTimedOut } from "./errors.ts"

/**
 * Limits reads and writes. An operation that exceeds the limit is interrupted, and the caller does not wait for its
 * interruption. The limit of `list` applies to each part of the list.
 */
export const withTimeout = (store: Service, timeout: Duration.Duration): Service => {
  if (!Duration.isFinite(timeout)) return store
  const withLimit = <A, E>(id: string, operation: Effect.Effect<A, E>): Effect.Effect<A, E | HistoryStoreError> =>
    timeoutFail(operation, timeout, () => storeTimedOut(id, timeout))
  return {
    isShared: store.isShared,
    list: Stream.timeoutFail(store.list, () => listTimedOut(timeout), timeout),
    conversations: (query) => timeoutFail(store.conversations(query), timeout, () => listTimedOut(timeout)),
    load: (id) => withLimit(id, store.load(id)),
    version: (id) => withLimit(id, store.version(id)),
    loadTail: (id, options) => withLimit(id, store.loadTail(id, options)),
    findTurn: (id, turnId) => withLimit(id, store.findTurn(id, turnId)),
    commit: (commit) => withLimit(commit.id, store.commit(commit)),
    copy: (from, to, options) => withLimit(from, store.copy(from, to, options)),
    append: (turn) => withLimit(turn.id, store.append(turn)),
    setSystemPrompt: (target) => withLimit(target.id, store.setSystemPrompt(target)),
    setSummary: (target) => withLimit(target.id, store.setSummary(target)),
    clear: (target) => withLimit(target.id, store.clear(target)),
    remove: (id) => withLimit(id, store.remove(id))
  }
}

/** Like `Effect.timeoutFail`, but does not wait for the interruption. Starts no timer for a synchronous operation. */
const timeoutFail = <A, E, E2>(
  operation: Effect.Effect<A, E>,
  duration: Duration.Duration,
  onTimeout: () => E2
): Effect.Effect<A, E | E2> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(detach(Effect.exit(operation)), (fiber) => {
      if (fiber.unsafePoll() !== null) return Effect.flatten(Effect.flatten(Fiber.await(fiber)))
      const interrupt = Fiber.interruptFork(fiber)
      const exit = Effect.interruptible(Fiber.await(fiber)).pipe(
        Effect.timeoutFail({ duration, onTimeout }),
        Effect.tapError(() => interrupt)
      )
      return Effect.flatten(Effect.flatten(Effect.onInterrupt(restore(exit), () => interrupt)))
    })
  )
