/**
 * Decides which turns to summarize, and requests the summaries.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import { user } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Complete, Input, SummarizeOptions, Summary } from "../../HistorySelection.ts"
import type { TokenCounter } from "../../tokens/TokenCounter.ts"
import { tally } from "./tally.ts"
import { systemAndSummary, withToolsAsText } from "./transcript.ts"
import { TurnScanner } from "./turnScanner.ts"

interface Rules extends Pick<SummarizeOptions, "when" | "keep" | "model"> {
  readonly counter: TokenCounter
  readonly instruction: string
}

/** The messages that one request summarizes. The request also contains the previous summary. */
interface SummaryRange {
  readonly from: number
  readonly to: number
}

/** A turn start, and the tokens of the history after it. */
interface TurnCost {
  readonly start: number
  readonly cost: number
}

/** The stored summary, unless it replaces more messages than the history has. */
export const currentSummary = ({ messages, summary }: Input): Summary | undefined =>
  summary !== undefined && summary.replaces <= messages.length ? summary : undefined

/** Summarizes turns range by range. Stops and logs a warning if a request returns no usable summary. */
export const compact = (rules: Rules, input: Input, complete: Complete): Effect.Effect<Option.Option<Summary>> =>
  Effect.gen(function*() {
    const { instruction, model } = rules
    const callOptions = model === undefined ? {} : { options: { model } }
    let summary = currentSummary(input)
    let made: Option.Option<Summary> = Option.none()
    for (const { from, to } of yield* planRanges(rules, input)) {
      const asked = complete({
        ...callOptions,
        messages: [
          ...systemAndSummary(input.system, summary?.text),
          ...withToolsAsText(input.messages.slice(from, to)),
          user(instruction)
        ]
      })
      const text = yield* Effect.either(Effect.flatMap(Effect.mapError(asked, describe), usableText))
      if (text._tag === "Left") {
        yield* Effect.logWarning(`The history could not be summarized, and the turn continues: ${text.left}`)
        break
      }
      summary = { text: text.right, replaces: to }
      made = Option.some(summary)
    }
    return made
  })

/** Plans the ranges to summarize. Empty if the turns since the last summary are within the limits. */
const planRanges = ({ counter, keep, when }: Rules, input: Input): Effect.Effect<ReadonlyArray<SummaryRange>> =>
  Effect.suspend(() => {
    const { tokens = Infinity, turns = Infinity } = when
    const scanner = new TurnScanner(input, currentSummary(input)?.replaces ?? 0)
    /** From the newest to the oldest. */
    const costs: Array<TurnCost> = []
    let kept = 0
    const onRead = (cost: number): boolean => {
      if (scanner.start === (costs.at(-1)?.start ?? input.messages.length)) return false
      costs.push({ start: scanner.start, cost })
      if (scanner.turns <= 1 || (scanner.turns <= keep && cost <= tokens / 2)) kept = costs.length
      return false
    }
    return Effect.map(
      tally(when.tokens === undefined ? freeCounter : counter, scanner.read, onRead),
      (cost) => scanner.turns > turns || cost > tokens ? toSummaryRanges(costs.slice(kept - 1).reverse(), tokens) : []
    )
  })

/** Replaces the counter if there is no token limit, so that nothing is counted. */
const freeCounter: TokenCounter = { count: () => 0 }

/** Groups turns, from the oldest to the newest, into ranges of at most `tokens` tokens and at least one turn. */
const toSummaryRanges = (costs: ReadonlyArray<TurnCost>, tokens: number): ReadonlyArray<SummaryRange> => {
  const ranges: Array<SummaryRange> = []
  let [first, ...rest] = costs
  if (first === undefined) return ranges
  for (const [index, next] of rest.entries()) {
    const after = rest[index + 1]
    if (after !== undefined && first.cost - after.cost <= tokens) continue
    ranges.push({ from: first.start, to: next.start })
    first = next
  }
  return ranges
}

const describe = (error: ChatError): string => `${error._tag}: ${error.message}`

/** The text of a complete summary. Fails with the reason why an answer is not usable. */
const usableText = ({ finishReason, refusal, text }: ChatResponse): Effect.Effect<string, string> => {
  const isComplete = finishReason === "stop" || finishReason === "other"
  if (!isComplete) return Effect.fail(`the answer ended with the finish reason "${finishReason}"`)
  if (refusal !== "") return Effect.fail("the model refused")
  const summary = text.trim()
  return summary === "" ? Effect.fail("the answer is empty") : Effect.succeed(summary)
}
