/**
 * Windows that send half of what another one sends.
 */
import * as Effect from "effect/Effect"
import type { AtMost, HistoryWindow, Input, Selection } from "../../HistorySelection.ts"
import { estimate } from "../../tokens/TokenCounter.ts"
import { startOfNewerHalf } from "./budget.ts"

/** What is enough for both windows. */
export const union = (a: AtMost | undefined, b: AtMost | undefined): AtMost | undefined =>
  a && b && {
    turns: Math.max(a.turns ?? 0, b.turns ?? 0),
    tokens: Math.max(a.tokens ?? 0, b.tokens ?? 0)
  }

/** Never makes a summary: the window that it halves has done that, or has failed to. */
export const half = (self: HistoryWindow): HistoryWindow => ({
  atMost: self.atMost,
  select: (input) => Effect.flatMap(self.select(input), (selection) => halve(input, selection)),
  // Read when it is needed: every half has a half.
  get shrink() {
    return half(this)
  }
})

/** Where no turn is left to leave out, the summary is. */
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
