/**
 * Finds where the last turns start that fit into a limit.
 */
import * as Effect from "effect/Effect"
import type { Input } from "../../HistorySelection.ts"
import type { TokenCounter } from "../../tokens/TokenCounter.ts"
import { chooseStart, type TurnStart } from "./steps.ts"
import { sum, tally } from "./tally.ts"
import { TurnScanner } from "./turnScanner.ts"

/** The start of the last turns, at most so many. */
export const startOfLast = (turns: number, isExact: boolean, input: Input): number => {
  const scanner = new TurnScanner(input)
  const starts: Array<TurnStart> = []
  while (scanner.isIncomplete || scanner.turns < turns) {
    if (scanner.read() === undefined) break
    if (scanner.turns > starts.length) starts.push({ index: scanner.start, size: scanner.turns })
  }
  return (isExact ? undefined : chooseStart(input, starts, turns)) ?? scanner.start
}

/** The start of the last turns that fit into the budget together with everything else that is sent. */
export const startWithin = (
  budget: number,
  counter: TokenCounter,
  isExact: boolean,
  input: Input
): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { opening, system } = input
    const room = budget - (yield* sum(counter, system === undefined ? opening : [system, ...opening]))
    const { required, starts } = yield* fittingStarts(room, counter, input)
    return (isExact ? starts.at(-1)?.index : chooseStart(input, starts, room)) ?? required
  })

/** The start of the last turns that take at most half of the tokens from `start` on. */
export const startOfNewerHalf = (counter: TokenCounter, input: Input, start: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const total = yield* sum(counter, input.messages.slice(start))
    const { required, starts } = yield* fittingStarts(total / 2, counter, input)
    return starts.at(-1)?.index ?? required
  })

interface Fitting {
  readonly required: number
  /** From the newest to the oldest. */
  readonly starts: ReadonlyArray<TurnStart>
}

const fittingStarts = (room: number, counter: TokenCounter, input: Input): Effect.Effect<Fitting> =>
  Effect.suspend(() => {
    const scanner = new TurnScanner(input)
    const starts: Array<TurnStart> = []
    const isEnough = (size: number): boolean => {
      // The comparison is false for a count that is NaN, which fits no budget.
      const fits = size <= room
      if (fits && scanner.turns > starts.length) starts.push({ index: scanner.start, size })
      return !fits && !scanner.isIncomplete
    }
    return Effect.map(tally(counter, scanner.read, isEnough), () => ({ required: scanner.required, starts }))
  })
