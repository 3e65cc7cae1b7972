/**
 * Finds the start of the last turns that fit into a limit.
 *
 * The start of a full window moves in steps of several turns. Consecutive requests then start with the same messages, so
 * servers can use their prompt caches.
 */
import * as Effect from "effect/Effect"
import type { AtMost, HistoryWindow, Input, Selection } from "../../HistorySelection.ts"
import { estimate, type TokenCounter } from "../../tokens/TokenCounter.ts"
import { sum, tally } from "./tally.ts"
import { type History, TurnScanner } from "./turnScanner.ts"

/** The start of the last `turns` turns, or a later turn unless `isExact`. */
export const startOfLast = (turns: number, isExact: boolean, input: Input): number => {
  const scanner = new TurnScanner(input)
  const starts: Array<FittingStart> = []
  while (scanner.isIncomplete || scanner.turns < turns) {
    if (scanner.read() === undefined) break
    if (scanner.turns > starts.length) starts.push({ index: scanner.start, size: scanner.turns })
  }
  return (isExact ? undefined : chooseStart(input, starts, turns)) ?? scanner.start
}

/**
 * The start of the last turns that fit into the budget together with everything else that is sent, or a later turn unless
 * `isExact`.
 */
export const startWithin = (
  budget: number,
  counter: TokenCounter,
  isExact: boolean,
  input: Input
): Effect.Effect<number> =>
  Effect.gen(function*() {
    const { newMessages, system } = input
    const room = budget - (yield* sum(counter, system === undefined ? newMessages : [system, ...newMessages]))
    const { required, starts } = yield* fittingStarts(room, counter, input)
    return (isExact ? starts.at(-1)?.index : chooseStart(input, starts, room)) ?? required
  })

/** The start of the last turns that take at most half of the tokens after `start`. */
const startOfNewerHalf = (counter: TokenCounter, input: Input, start: number): Effect.Effect<number> =>
  Effect.gen(function*() {
    const total = yield* sum(counter, input.messages.slice(start))
    const { required, starts } = yield* fittingStarts(total / 2, counter, input)
    return starts.at(-1)?.index ?? required
  })

/** The turn starts that fit into a limit. */
interface FittingStarts {
  /** See `TurnScanner.required`. */
  readonly required: number
  /** From the newest to the oldest. */
  readonly starts: ReadonlyArray<FittingStart>
}

const fittingStarts = (room: number, counter: TokenCounter, input: Input): Effect.Effect<FittingStarts> =>
  Effect.suspend(() => {
    const scanner = new TurnScanner(input)
    const starts: Array<FittingStart> = []
    const isEnough = (size: number): boolean => {
      // NaN fits no budget.
      const fits = size <= room
      if (fits && scanner.turns > starts.length) starts.push({ index: scanner.start, size })
      return !fits && !scanner.isIncomplete
    }
    return Effect.map(tally(counter, scanner.read, isEnough), () => ({ required: scanner.required, starts }))
  })

/** A turn start, and the size of the history after it, in the unit of the window's limit. */
export interface FittingStart {
  readonly index: number
  readonly size: number
}

/** Windows with fewer turns move by one turn, because a larger step would leave too few turns. */
const minTurns = 4

/**
 * Chooses one of the turn starts that fit, which are ordered from the newest to the oldest.
 *
 * The candidates use at least two thirds of the limit, or drop at most three turns. Of these, the result is the turn with
 * an index in the conversation that is divisible by the highest power of two. When turns are added to the history, the
 * result stays the same for at least four turns on average. It depends only on the history.
 */
const chooseStart = (
  { messages, offset = 0, turnStarts }: History,
  starts: ReadonlyArray<FittingStart>,
  limit: number
): number | undefined => {
  const oldest = starts.at(-1)
  if (oldest === undefined || starts.length < minTurns) return oldest?.index
  let chosen = oldest.index
  let highest = 0
  const stored = turnStarts && new Set(turnStarts)
  let turn = offset
  let next = 0
  for (let i = starts.length - 1; i >= 0; i--) {
    const start = starts[i]
    if (start === undefined || (starts.length - i > minTurns && start.size < limit * 2 / 3)) break
    for (; next < start.index; next++) if (stored?.has(next) ?? messages[next]?.role === "user") turn++
    const power = powerOfTwo(turn)
    if (power <= highest) continue
    highest = power
    chosen = start.index
  }
  return chosen
}

/** The highest power of two that divides the number. */
const powerOfTwo = (n: number): number => n === 0 ? Infinity : n & -n

/** The last turns that are enough for both windows. */
export const union = (a: AtMost | undefined, b: AtMost | undefined): AtMost | undefined =>
  a && b && {
    turns: Math.max(a.turns ?? 0, b.turns ?? 0),
    tokens: Math.max(a.tokens ?? 0, b.tokens ?? 0)
  }

/**
 * A window with the newer half of the selection. It makes no summary, because the original window has already tried.
 */
export const half = (self: HistoryWindow): HistoryWindow => ({
  atMost: self.atMost,
  select: (input) => Effect.flatMap(self.select(input), (selection) => halve(input, selection)),
  // A getter, because every half has a half.
  get shrink() {
    return half(this)
  }
})

/** Keeps the newer half of the selected turns. If no turn can be dropped, drops the summary. */
const halve = (input: Input, { messages, start, summary }: Selection): Effect.Effect<Selection> => {
  const from = Math.max(0, start)
  const history = messages === undefined ? input.messages : [...input.messages.slice(0, from), ...messages]
  return Effect.map(startOfNewerHalf(estimate, { ...input, messages: history }, from), (newer) => {
    const start = Math.max(from, newer)
    return {
      start,
      summary: start > from ? summary : undefined,
      messages: messages?.slice(start - from)
    }
  })
}
