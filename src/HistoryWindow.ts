/**
 * Windows select the part of a history that is sent. The store keeps all of it.
 *
 * **Details**
 *
 * A window selects the last turns of a history. A turn starts at a user message and ends before the next one; the results
 * of tools belong to the turn of their calls, so a call and its result are never separated. The system prompt, the new
 * messages and all of the turn that they continue are always sent, even if they alone exceed a limit.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import type * as Schema from "effect/Schema"
import type { ChatMessage } from "./ChatMessage.ts"
import type { HistoryWindow, Input, SummarizeOptions } from "./HistorySelection.ts"
import * as Budget from "./internal/window/budget.ts"
import { half, union } from "./internal/window/budget.ts"
import * as Media from "./internal/window/media.ts"
import * as Settings from "./internal/window/settings.ts"
import * as Summarizing from "./internal/window/summarizing.ts"
import { systemAndSummary } from "./internal/window/transcript.ts"
import { estimate, type TokenCounter } from "./tokens/TokenCounter.ts"

/**
 * The input and the result of a window.
 *
 * @since 0.1.0
 */
export * from "./HistorySelection.ts"

/**
 * A number of turns: an integer, 1 or more.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Turns: Schema.Schema<number> = Settings.Turns

/**
 * A number of tokens: finite and greater than 0.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Tokens: Schema.Schema<number> = Settings.Tokens

/**
 * Sends the whole history.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, user } from "effect-chat/ChatMessage"
 *
 * const messages = [user("one"), assistant("1")]
 * const sent = HistoryWindow.assemble(HistoryWindow.all, { system: undefined, messages, newMessages: [user("two")] })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["one", "1", "two"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const all: HistoryWindow = { select: () => Effect.succeed({ start: 0 }) }

/**
 * How a full window drops turns.
 *
 * @since 0.1.0
 * @category models
 */
export interface StepOptions {
  /** Whether every turn sends as much as the limit allows. Default false: the window moves in steps. */
  readonly exact?: boolean | undefined
}

/**
 * Sends at most the last `turns` turns, in addition to the new one.
 *
 * A full window of 4 turns or more moves in steps: it drops up to a third of its turns at once (at least 3), and then
 * keeps its start while new turns fill it again. So most requests start with the same messages as the one before, which
 * the server's prompt cache needs. Throws a `ParseError` if `turns` is not an integer of 1 or more.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, user } from "effect-chat/ChatMessage"
 *
 * const messages = [user("one"), assistant("1"), user("two"), assistant("2")]
 * const sent = HistoryWindow.assemble(HistoryWindow.lastTurns(1), { system: undefined, messages, newMessages: [user("three")] })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["two", "2", "three"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const lastTurns = (turns: number, { exact = false }: StepOptions = {}): HistoryWindow => {
  Settings.checkTurns({ turns })
  return {
    atMost: { turns },
    select: (input) => Effect.sync(() => ({ start: Budget.startOfLast(turns, exact, input) }))
  }
}

/**
 * How a window of {@link tokens} counts and moves.
 *
 * @since 0.1.0
 * @category models
 */
export interface TokensOptions extends StepOptions {
  /** Default `TokenCounter.estimate`. */
  readonly counter?: TokenCounter | undefined
}

/**
 * Sends at most as many of the last turns as fit into a budget of tokens, together with the system prompt and the new
 * messages. Leave room for the definitions of tools and for the answer.
 *
 * A full window of 4 turns or more moves in steps, as that of {@link lastTurns} does: it drops up to a third of its tokens
 * at once (at least 3 turns). Tokens are estimated by default; see `TokenCounter.estimate` and, for OpenAI's own encoding,
 * `GptTokenizer`. Throws a `ParseError` if the budget is not finite and greater than 0.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, user } from "effect-chat/ChatMessage"
 *
 * const messages = [user("long ago ".repeat(1000)), assistant("yes"), user("two"), assistant("2")]
 * const sent = HistoryWindow.assemble(HistoryWindow.tokens(1000), { system: undefined, messages, newMessages: [user("three")] })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["two", "2", "three"])
 *
 * @since 0.1.0
 * @category constructors
 */
export const tokens = (budget: number, options: TokenCounter | TokensOptions = {}): HistoryWindow => {
  Settings.checkTokens({ budget })
  const { counter = estimate, exact = false }: TokensOptions = "count" in options ? { counter: options } : options
  return {
    // Another counter may count half as many tokens as the estimate, so twice as many turns may fit.
    atMost: { tokens: counter === estimate ? budget : budget * 2 },
    select: (input) => Effect.map(Budget.startWithin(budget, counter, exact, input), (start) => ({ start }))
  }
}

/**
 * Sends a short text such as `[image omitted]` in the place of each image, recording and file, except in the last `turns`
 * turns, of which the new one is the first. The other window, by default {@link all}, chooses from the history without
 * the old media. Throws a `ParseError` if `turns` is not an integer of 1 or more.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, imageUrl, text, user } from "effect-chat/ChatMessage"
 *
 * const look = user([text("Look!"), imageUrl("https://example.com/cat.png")])
 * const sent = HistoryWindow.assemble(HistoryWindow.withoutOldMedia(1, HistoryWindow.tokens(8000)), {
 *   system: undefined,
 *   messages: [look, assistant("A cat.")],
 *   newMessages: [user("Which color?")]
 * })
 *
 * assert.deepStrictEqual(Effect.runSync(sent), [
 *   user([text("Look!"), text("[image omitted]")]),
 *   assistant("A cat."),
 *   user("Which color?")
 * ])
 *
 * @since 0.1.0
 * @category constructors
 */
export const withoutOldMedia = (turns: number, window: HistoryWindow = all): HistoryWindow => {
  Settings.checkTurns({ turns })
  const { compact } = window
  const prepare = (input: Input): Input => ({ ...input, messages: Media.withoutOldMedia(turns, input) })
  return {
    ...window,
    select: (input) => {
      const prepared = prepare(input)
      return Effect.map(window.select(prepared), (selection) => ({
        ...selection,
        messages: selection.messages ?? prepared.messages.slice(Math.max(0, selection.start))
      }))
    },
    compact: compact && ((input, complete) => compact(prepare(input), complete)),
    // A getter, because the chain of smaller windows can be infinite.
    get shrink() {
      return window.shrink && withoutOldMedia(turns, window.shrink)
    }
  }
}

/**
 * The default instruction of {@link summarize}.
 *
 * @example
 * import { HistoryWindow } from "effect-chat"
 *
 * const instruction = `${HistoryWindow.defaultInstruction} Use at most 200 words.`
 * const window = HistoryWindow.summarize({ when: { turns: 30 }, keep: 10, instruction })
 *
 * assert.ok(window.compact)
 *
 * @since 0.1.0
 * @category constructors
 */
export const defaultInstruction: string =
  `Summarize our conversation so far. Your summary will take its place, so keep \
what is needed to go on: what I want and have decided; facts, names, numbers, code and links; what tools gave; what is \
still open. Write in the language of the conversation, and give the summary alone.`

/**
 * Lets the model summarize the oldest turns when the history grows long, and sends the summary in their place.
 *
 * A summary is made once and stored. The next one replaces it and covers the turns since. Turns that take more than
 * `when.tokens` are summarized in several requests. Tool calls and their results are sent as text there.
 *
 * A summary is not used if its request fails, or if the answer is empty, refused, filtered or cut off. This is logged as a
 * warning, the turn continues with the history as it is, and the next turn tries again. Throws a `ParseError` for invalid
 * settings.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, user } from "effect-chat/ChatMessage"
 *
 * const window = HistoryWindow.summarize({ when: { turns: 30 }, keep: 10, model: "a-small-model" })
 * const sent = HistoryWindow.assemble(window, {
 *   system: undefined,
 *   messages: [user("I am Ada."), assistant("Hello!"), user("Bye"), assistant("Bye!")],
 *   summary: { text: "The user is Ada.", replaces: 2 },
 *   newMessages: [user("Who am I?")]
 * })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), [
 *   ...["Summarize our conversation so far.", "The user is Ada."],
 *   ...["Bye", "Bye!", "Who am I?"]
 * ])
 *
 * @since 0.1.0
 * @category constructors
 */
export const summarize = (options: SummarizeOptions): HistoryWindow => {
  const { counter = estimate, instruction = defaultInstruction, keep, model, when } = options
  Settings.checkSummarize({ when, keep, instruction, model })
  const rules = { when, keep, counter, instruction, model }
  return {
    select: (input) =>
      Effect.sync(() => {
        const summary = Summarizing.currentSummary(input)
        return summary === undefined ? { start: 0 } : { start: summary.replaces, summary: summary.text }
      }),
    compact: (input, complete) => Summarizing.compact(rules, input, complete)
  }
}

/**
 * Adds a smaller window, to use after a `ContextLengthError`. By default, that one sends the newer half of the history that
 * the window sends, in estimated tokens and complete turns, and has a smaller window of its own: each attempt sends half of
 * the one before, until only the new messages are left.
 *
 * @example
 * import { HistoryWindow } from "effect-chat"
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
  shrink: smaller,
  atMost: union(self.atMost, smaller.atMost)
})

/**
 * Returns all messages that are sent: the system message, the summary if the window sends one, the messages that the
 * window selected, and the new messages.
 *
 * The summary is sent as a turn of its own, a request for it and the answer. Servers that want the roles to alternate
 * accept that, and the words of users do not get the authority of the system prompt.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow } from "effect-chat"
 * import { assistant, system, user } from "effect-chat/ChatMessage"
 *
 * const sent = HistoryWindow.assemble(HistoryWindow.lastTurns(1), {
 *   system: system("Be brief."),
 *   messages: [user("one"), assistant("1"), user("two"), assistant("2")],
 *   newMessages: [user("three")]
 * })
 *
 * assert.deepStrictEqual(Effect.runSync(sent).map(({ content }) => content), ["Be brief.", "two", "2", "three"])
 *
 * @since 0.1.0
 * @category combinators
 */
export const assemble = (self: HistoryWindow, input: Input): Effect.Effect<ReadonlyArray<ChatMessage>> =>
  Effect.map(self.select(input), ({ messages, start, summary }) => [
    ...systemAndSummary(input.system, summary),
    ...(messages ?? input.messages.slice(Math.max(0, start))),
    ...input.newMessages
  ])
