/**
 * The tests that every history store must pass. Use them to test your own store. They need no test framework: each case
 * has a name and an Effect that fails if the store does not behave as the name says.
 *
 * ```
 * layer(MyStore.layer)("my store", (it) => {
 *   for (const { name, test } of HistoryStoreSuite.cases) it.effect(name, () => test)
 * })
 * ```
 *
 * The cases can run in any order or at the same time, also on a store with other conversations: they use their own ids and
 * remove them. One case, "ids with a special meaning elsewhere are ordinary ids", uses and removes ids that your store may
 * have: `""`, `..`, `__proto__` and similar ones.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type { ConflictError, HistoryStoreError } from "../ChatError.ts"
import type { HistoryStore } from "../HistoryStore.ts"
import { concurrencyCases } from "./internal/history/concurrencyCases.ts"
import { dataCases } from "./internal/history/dataCases.ts"
import { Mismatch } from "./internal/history/expect.ts"
import { turnCases } from "./internal/history/turnCases.ts"
import { writeCases } from "./internal/history/writeCases.ts"

export {
  /**
   * The store returned something unexpected. Test frameworks show the difference of `actual` and `expected`.
   *
   * @since 0.1.0
   * @category errors
   */
  Mismatch
}

/**
 * A behaviour of stores and its test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case {
  /** A sentence that says how a store behaves. */
  readonly name: string
  readonly test: Effect.Effect<void, Mismatch | HistoryStoreError | ConflictError, HistoryStore>
}

/**
 * The tests of every history store.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryStore } from "effect-chat"
 * import { HistoryStoreSuite } from "effect-chat/testing"
 *
 * const [first] = HistoryStoreSuite.cases
 *
 * Effect.runPromise(Effect.provide(first?.test ?? Effect.void, HistoryStore.layerMemory))
 *
 * @since 0.1.0
 * @category constants
 */
export const cases: ReadonlyArray<Case> = [...writeCases, ...turnCases, ...dataCases, ...concurrencyCases]
