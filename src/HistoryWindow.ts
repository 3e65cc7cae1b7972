/**
 * What is sent of a history, which may be less than what is kept.
 *
 * A window chooses a suffix of whole turns. The system prompt and the newest user message are always sent, and so is all
 * of the turn that tool results go on with, even if they alone exceed a budget. A turn begins at a user message and
 * reaches to the next one; the results of tools belong to the turn of their calls.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import type * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { ChatError } from "./ChatError.ts"
import {
  assistant,
  type ChatMessage,
  type SystemMessage,
  type ToolMessage,
  user,
  type UserMessage
} from "./ChatMessage.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import * as Budget from "./internal/window/budget.ts"
import * as Summarizing from "./internal/window/summarizing.ts"
import { Walk } from "./internal/window/walk.ts"
import { estimate, type TokenCounter } from "./tokens/TokenCounter.ts"

/**
 * What a window chooses from.
 *
 * @since 0.1.0
 * @category models
 */
export interface Input {
  readonly system: SystemMessage | undefined
  /** The whole history, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** What the new turn begins with. */
  readonly opening: ReadonlyArray<UserMessage | ToolMessage>
  /** The summary that is kept beside the history, if one was made. */
  readonly summary?: Summary | undefined
}

/**
 * What the oldest messages of a history came to, in the model's words.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly text: string
  /** How many messages it stands for, from the oldest on. The history keeps them. */
  readonly replaces: number
}

/**
 * The Schema of {@link Summary}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Summary: Schema.Schema<Summary> = Schema.Struct({ text: Schema.String, replaces: Schema.NonNegativeInt })

/**
 * What a window chose.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  /** The index of the first message that is sent: that of a turn's first message, or the history's length. */
  readonly start: number
  /** A summary to send in front of it. */
  readonly summary?: string | undefined
}

/**
 * Asks the model, outside the history.
 *
 * @since 0.1.0
 * @category models
 */
export type Complete = (request: Omit<ChatRequest, "config">) => Effect.Effect<ChatResponse, ChatError>

/**
 * Chooses what is sent of a history.
 *
 * The conversation, which owns the history and the summary, uses a window at the start of each turn, when the turn has
 * the lock:
 *
 * 1. It calls `compact`, where there is one. A summary that this makes is kept beside the messages from then on, and
 *    stored with them, whatever becomes of the turn: it takes the place of the one before it, and ends when the history is
 *    cleared. The tokens of `complete` count as the conversation's.
 * 2. It sends what {@link assemble} gives for the history and the newest summary.
 * 3. If either fails with `ContextLengthError` and the window has `shrink`, it does both once more with that one, unless
 *    the same messages would be sent again. Nothing of the answer has been told by then.
 *
 * The messages themselves stay as they are.
 *
 * @since 0.1.0
 * @category models
 */
export interface HistoryWindow {
  /** What is sent. Reads no more of the history than could be sent. */
  readonly select: (input: Input) => Effect.Effect<Selection>
  /** Makes a summary where it is time for one. Absent where the window never does. */
  readonly compact?:
    | ((input: Input, complete: Complete) => Effect.Effect<Option.Option<Summary>, ChatError>)
    | undefined
  /** The smaller window to try once when the server finds the context too long. Absent: the turn fails. */
  readonly shrink?: HistoryWindow | undefined
}

/**
 * A number of turns: a whole number from 1 on.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Turns: Schema.Schema<number> = Schema.Int.pipe(Schema.greaterThanOrEqualTo(1))

/**
 * A number of tokens: finite and above 0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tokens: Schema.Schema<number> = Schema.Finite.pipe(Schema.positive())

/** Windows stand in the program's text, so a bad setting throws, as the constructors of Schema classes do. */
const check = <A, I>(schema: Schema.Schema<A, I>): (settings: A) => A => {
  const validate = Schema.validateEither(schema)
  return (settings) => Either.getOrThrowWith(validate(settings), (error: ParseResult.ParseError) => error)
}

/**
 * Sends the whole history.
 *
 * @since 0.1.0
 * @category constructors
 */
export const all: HistoryWindow = { select: () => Effect.succeed({ start: 0 }) }

const checkTurns = check(Schema.Struct({ turns: Turns }))

/**
 * Sends the last `turns` turns, beside the one that begins. Throws a `ParseError` where that is no whole number from 1 on.
 *
 * @example
 * import { Effect } from "effect"
 * import { assistant, user } from "effect-chat/ChatMessage"
 * import * as HistoryWindow from "effect-chat/HistoryWindow"
 *
 * const messages = [user("one"), assistant("1"), user("two"), assistant("2")]
 * const sent = HistoryWindow.assemble(HistoryWindow.lastTurns(1), {
 *   system: undefined,
 *   messages,
 *   opening: [user("three")]
 * })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["two", "2", "three"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const lastTurns = (turns: number): HistoryWindow => {
  checkTurns({ turns })
  return {
    select: (input) =>
      Effect.sync(() => {
        const walk = new Walk(input)
        while (walk.isBound || walk.turns < turns) if (walk.read() === undefined) break
        return { start: walk.start }
      })
  }
}

const checkTokens = check(Schema.Struct({ budget: Tokens }))

/**
 * Sends as many of the last turns as fit into a budget of tokens, together with the system prompt and the new turn's
 * messages. Leave room for what else takes tokens: the definitions of tools, and the answer. Throws a `ParseError` where
 * the budget is not finite and above 0.
 *
 * The counter estimates by default; see `TokenCounter.estimate` and, for OpenAI's own, `GptTokenizer`.
 *
 * @example
 * import { Effect } from "effect"
 * import { assistant, user } from "effect-chat/ChatMessage"
 * import * as HistoryWindow from "effect-chat/HistoryWindow"
 *
 * const messages = [user("long ago ".repeat(1000)), assistant("yes"), user("two"), assistant("2")]
 * const sent = HistoryWindow.assemble(HistoryWindow.tokens(1000), { system: undefined, messages, opening: [user("three")] })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["two", "2", "three"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokens = (budget: number, counter: TokenCounter = estimate): HistoryWindow => {
  checkTokens({ budget })
  return { select: (input) => Effect.map(Budget.within(budget, counter, input), (start) => ({ start })) }
}

/**
 * When to summarize, what to leave, and how to ask for it.
 *
 * @since 0.1.0
 * @category models
 */
export interface SummarizeOptions {
  /**
   * Summarizes when the turns that no summary stands for are more than `turns`, or take more than `tokens`. At least one
   * is needed. `tokens` is a part of the model's context: the system prompt, the summary, the new messages and the answer
   * need their place beside it.
   */
  readonly when: { readonly turns?: number | undefined; readonly tokens?: number | undefined }
  /**
   * How many of the last turns stay as they are: fewer than `when.turns`. Where they take more than half of
   * `when.tokens`, only those within it and at least one do, so that the next summary is not due at once.
   */
  readonly keep: number
  /** What the model is told to do. */
  readonly instruction?: string | undefined
  /** The model that summarizes: the conversation's own where absent. */
  readonly model?: string | undefined
  /** Default `TokenCounter.estimate`. */
  readonly counter?: TokenCounter | undefined
}

const Limits = Schema.Struct({ turns: Schema.optional(Turns), tokens: Schema.optional(Tokens) }).pipe(
  Schema.filter((when) => when.turns !== undefined || when.tokens !== undefined || "when needs turns or tokens")
)

const checkSummarize = check(
  Schema.Struct({
    when: Limits,
    keep: Turns,
    instruction: Schema.optional(Schema.NonEmptyTrimmedString),
    model: Schema.optional(Schema.NonEmptyTrimmedString)
  }).pipe(Schema.filter(({ keep, when }) =>
    when.turns === undefined || keep < when.turns ||
    { path: ["keep"], message: `Expected fewer than when.turns, which is ${when.turns}, actual ${keep}` }
  ))
)

/**
 * What the model is told where {@link SummarizeOptions} say nothing else.
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultInstruction: string =
  `Summarize our conversation so far. Your summary will take its place, so keep \
what is needed to go on: what I want and have decided; facts, names, numbers, code and links; what tools gave; what is \
still open. Write in the language of the conversation, and give the summary alone.`

/**
 * Has the model itself summarize the oldest turns when the history grows long, and sends the summary in their place.
 *
 * A summary is made once and kept; a later one stands for it and the turns since. Turns that take more than `when.tokens`
 * are summarized in several steps. Where the model says nothing, the history is sent as it is, and the next turn tries
 * again. Throws a `ParseError` for bad settings.
 *
 * @since 0.1.0
 * @category constructors
 */
export const summarize = (options: SummarizeOptions): HistoryWindow => {
  const { counter = estimate, instruction = defaultInstruction, keep, model, when } = options
  checkSummarize({ when, keep, instruction, model })
  const callOptions = model === undefined ? {} : { options: { model } }
  return {
    select: (input) =>
      Effect.sync(() => {
        const summary = Summarizing.current(input)
        return summary === undefined ? { start: 0 } : { start: summary.replaces, summary: summary.text }
      }),
    compact: (input, complete) =>
      Effect.flatMap(
        Summarizing.plan({ when, keep, counter }, input),
        (steps) =>
          Summarizing.run(steps, Summarizing.current(input), ({ from, to }, before) => {
            const messages = input.messages.slice(from, to)
            return complete({
              ...callOptions,
              messages: [...inFront(input.system, before?.text), ...messages, user(instruction)]
            })
          })
      )
  }
}

/**
 * The window with a smaller one to try once after a `ContextLengthError`. By default that sends the newer half, in tokens
 * as they are estimated, of what the window would send of the history, in whole turns.
 *
 * @example
 * import * as HistoryWindow from "effect-chat/HistoryWindow"
 *
 * const few = HistoryWindow.lastTurns(3)
 * const window = HistoryWindow.withShrink(HistoryWindow.tokens(100_000), few)
 *
 * assert.strictEqual(window.shrink, few)
 *
 * @since 0.1.0
 * @category combinators
 */
export const withShrink = (self: HistoryWindow, smaller: HistoryWindow = half(self)): HistoryWindow => ({
  ...self,
  shrink: smaller
})

/** Summarizes nothing: that is done, or it is what failed. */
const half = (self: HistoryWindow): HistoryWindow => ({
  select: (input) =>
    Effect.flatMap(
      self.select(input),
      (selection) =>
        Effect.map(Budget.newerHalf(estimate, input, selection.start), (start) => ({ ...selection, start }))
    )
})

/**
 * All that is sent: the system message, the summary where the window sends one, what it chose of the history, and the new
 * turn's messages.
 *
 * The summary goes out as a turn of its own, a request for it and the answer: servers that want the roles to alternate
 * take that, and what users said does not gain the weight of the system prompt by being summarized.
 *
 * @since 0.1.0
 * @category combinators
 */
export const assemble = (self: HistoryWindow, input: Input): Effect.Effect<ReadonlyArray<ChatMessage>> =>
  Effect.map(self.select(input), ({ start, summary }) => [
    ...inFront(input.system, summary),
    ...input.messages.slice(Math.max(0, start)),
    ...input.opening
  ])

const inFront = (system: SystemMessage | undefined, summary: string | undefined): ReadonlyArray<ChatMessage> => [
  ...(system === undefined ? [] : [system]),
  ...(summary === undefined ? [] : [user("Summarize our conversation so far."), assistant(summary)])
]
