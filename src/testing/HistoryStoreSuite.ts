/**
 * What every history store does, as tests for one of your own. They know no test framework: each case is a sentence and
 * an Effect that fails where the store does something else.
 *
 * ```
 * layer(MyStore.layer)("my store", (it) => {
 *   for (const { name, test } of HistoryStoreSuite.cases) it.effect(name, () => test)
 * })
 * ```
 *
 * The cases run in any order, also all at once, on a store that holds other conversations too: they use ids of their own
 * and remove them. Only "ids that mean something elsewhere are ids like others" uses, and removes, ids that your store
 * may have: `""`, `..`, `__proto__` and their like.
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
   * The store did something else than it should. Test frameworks show the difference of `actual` and `expected`.
   *
   * @since 0.1.0
   * @category errors
   */
  Mismatch
}

/**
 * One behaviour: a sentence, and its test.
 *
 * @since 0.1.0
 * @category models
 */
export interface Case {
  readonly name: string
  readonly test: Effect.Effect<void, Mismatch | HistoryStoreError | ConflictError, HistoryStore>
}

/**
 * The behaviours of every history store.
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
