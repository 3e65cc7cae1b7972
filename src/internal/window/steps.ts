/**
 * Moves the start of a full window in steps, so that several requests in a row start with the same messages and servers
 * can reuse their prompt caches.
 */
import type { History } from "./turnScanner.ts"

/** A turn start, and the size of the history from there on, in the unit of the window's limit. */
export interface TurnStart {
  readonly index: number
  readonly size: number
}

/** Windows that hold fewer turns do not step: a step would leave too little. */
const minTurns = 4

/**
 * Chooses one of the turn starts that fit, which are given from the newest to the oldest.
 *
 * The candidates leave at least two thirds of the limit, or drop three turns at most. The turn among them whose index in
 * the conversation is divisible by the highest power of two is chosen. While the window moves on turn by turn, the choice
 * stays the same for at least four turns on average, and it depends on nothing but the history.
 */
export const chooseStart = (
  { messages, offset = 0 }: History,
  starts: ReadonlyArray<TurnStart>,
  limit: number
): number | undefined => {
  const oldest = starts.at(-1)
  if (oldest === undefined || starts.length < minTurns) return oldest?.index
  let chosen = oldest.index
  let highest = 0
  let turn = offset
  let next = 0
  for (let i = starts.length - 1; i >= 0; i--) {
    const start = starts[i]
    if (start === undefined || (starts.length - i > minTurns && start.size < limit * 2 / 3)) break
    for (; next < start.index; next++) if (messages[next]?.role === "user") turn++
    const power = powerOfTwo(turn)
    if (power <= highest) continue
    highest = power
    chosen = start.index
  }
  return chosen
}

/** The highest power of two that divides the number. */
const powerOfTwo = (n: number): number => n === 0 ? Infinity : n & -n
