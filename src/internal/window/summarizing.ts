/**
 * Which turns a summary is due for, and its making.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { ChatError } from "../../ChatError.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { TokenCounter } from "../../tokens/TokenCounter.ts"
import type { History, Summary } from "./history.ts"
import { tally } from "./tally.ts"
import { Walk } from "./walk.ts"

interface Rules {
  readonly when: { readonly tokens?: number | undefined; readonly turns?: number | undefined }
  readonly keep: number
  readonly counter: TokenCounter
}

/** Messages to summarize at once, together with the summary before them. */
export interface Step {
  readonly from: number
  readonly to: number
}

/** Where a turn begins, and the tokens from there on. */
interface Mark {
  readonly start: number
  readonly cost: number
}

/** The summary, unless it is of another history. */
export const current = ({ messages, summary }: History): Summary | undefined =>
  summary !== undefined && summary.replaces <= messages.length ? summary : undefined

/** What to summarize now: nothing as long as the turns since the last summary are within the limits. */
export const plan = ({ counter, keep, when }: Rules, input: History): Effect.Effect<ReadonlyArray<Step>> =>
  Effect.suspend(() => {
    const { tokens = Infinity, turns = Infinity } = when
    const walk = new Walk(input, current(input)?.replaces ?? 0)
    /** The newest first. */
    const marks: Array<Mark> = []
    let kept = 0
    const onRead = (cost: number): boolean => {
      if (walk.start === (marks.at(-1)?.start ?? input.messages.length)) return false
      marks.push({ start: walk.start, cost })
      if (walk.turns <= 1 || (walk.turns <= keep && cost <= tokens / 2)) kept = marks.length
      return false
    }
    return Effect.map(
      tally(when.tokens === undefined ? free : counter, walk.read, onRead),
      (cost) => walk.turns > turns || cost > tokens ? inSteps(marks.slice(kept - 1).reverse(), tokens) : []
    )
  })

const free: TokenCounter = { count: () => 0 }

/** Whole turns, the oldest first, in steps that the model can read: as many in each as fit, and at least one. */
const inSteps = (marks: ReadonlyArray<Mark>, tokens: number): ReadonlyArray<Step> => {
  const steps: Array<Step> = []
  let [first, ...rest] = marks
  if (first === undefined) return steps
  for (const [index, next] of rest.entries()) {
    const after = rest[index + 1]
    if (after !== undefined && first.cost - after.cost <= tokens) continue
    steps.push({ from: first.start, to: next.start })
    first = next
  }
  return steps
}

/** Takes the steps one after another. None where the model says nothing at the first. */
export const run = (
  steps: ReadonlyArray<Step>,
  before: Summary | undefined,
  ask: (step: Step, before: Summary | undefined) => Effect.Effect<ChatResponse, ChatError>
): Effect.Effect<Option.Option<Summary>, ChatError> =>
  Effect.gen(function*() {
    let made: Option.Option<Summary> = Option.none()
    for (const step of steps) {
      const { text } = yield* ask(step, Option.getOrElse(made, () => before))
      if (text.trim() === "") break
      made = Option.some({ text: text.trim(), replaces: step.to })
    }
    return made
  })
