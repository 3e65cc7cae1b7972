/**
 * How far back a budget of tokens reaches.
 */
import * as Effect from "effect/Effect"
import type { TokenCounter } from "../../tokens/TokenCounter.ts"
import type { History } from "./history.ts"
import { sum, tally } from "./tally.ts"
import { Walk } from "./walk.ts"

/** Where the last turns begin that fit into the budget together with all else that is sent. */
export const within = (budget: number, counter: TokenCounter, input: History): Effect.Effect<number> => {
  const { opening, system } = input
  return Effect.flatMap(
    sum(counter, system === undefined ? opening : [system, ...opening]),
    (always) => reach(budget - always, counter, input)
  )
}

/** Where the last turns begin that take no more than half of the tokens from `start` on. */
export const newerHalf = (counter: TokenCounter, input: History, start: number): Effect.Effect<number> =>
  Effect.suspend(() => {
    let index = Math.max(0, start)
    return Effect.flatMap(
      tally(counter, () => input.messages[index++]),
      (total) => reach(total / 2, counter, input)
    )
  })

/** Where the last turns begin that fit, or those that must be sent. */
const reach = (budget: number, counter: TokenCounter, input: History): Effect.Effect<number> =>
  Effect.suspend(() => {
    const walk = new Walk(input)
    let fitting = walk.start
    const isEnough = (cost: number): boolean => {
      // The other way round, a count that is NaN would fit every budget.
      const fits = cost <= budget
      if (fits) fitting = walk.start
      return !fits && !walk.isBound
    }
    return Effect.map(tally(counter, walk.read, isEnough), () => Math.min(fitting, walk.needed))
  })
