/**
 * The input and the result of a history window. `HistoryWindow` exports all of this module.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type { ChatError } from "./ChatError.ts"
import type { ChatMessage, SystemMessage } from "./ChatMessage.ts"
import type { ChatRequest } from "./ChatRequest.ts"
import type { ChatResponse } from "./ChatResponse.ts"
import { type TokenCounter } from "./tokens/TokenCounter.ts"

/**
 * The history from which a window selects.
 *
 * @since 0.1.0
 * @category models
 */
export interface Input {
  readonly system: SystemMessage | undefined
  /** The history without the system message: all of it, or for a window with `atMost` its last turns. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** The messages of the new turn so far: those that it starts with, and the calls and results of its steps. */
  readonly newMessages: ReadonlyArray<ChatMessage>
  /** The summary that is stored with the history, if there is one. */
  readonly summary?: Summary | undefined
  /**
   * The number of turns of the history that come before `messages`. Default 0.
   */
  readonly offset?: number | undefined
  /**
   * The indices of the messages that begin a turn, as they are stored. By default every user message does. A turn can also
   * begin with several user messages, or have none.
   */
  readonly turnStarts?: ReadonlyArray<number> | undefined
}

/**
 * The model's summary of the oldest messages of a history.
 *
 * @since 0.1.0
 * @category models
 */
export interface Summary {
  readonly text: string
  /** The number of messages that it replaces, counted from the oldest. The history keeps them. */
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
 * The messages that a window selected.
 *
 * @since 0.1.0
 * @category models
 */
export interface Selection {
  /** The index of the first message that is sent, which starts a turn. The history's length if none is sent. */
  readonly start: number
  /** A summary to send before these messages. */
  readonly summary?: string | undefined
  /** The messages to send from `start` on, if they differ from those of the history. */
  readonly messages?: ReadonlyArray<ChatMessage> | undefined
}

/**
 * Sends a request to the model without changing the history.
 *
 * @since 0.1.0
 * @category models
 */
export type Complete = (request: Omit<ChatRequest, "config">) => Effect.Effect<ChatResponse, ChatError>

/**
 * The maximum that a window uses of the end of a history. The last turns are enough if they are at least `turns` turns and
 * take at least `tokens` tokens (by `TokenCounter.estimate`, without media).
 *
 * @since 0.1.0
 * @category models
 */
export interface AtMost {
  readonly turns?: number | undefined
  readonly tokens?: number | undefined
}

/**
 * Selects the messages of a history that are sent.
 *
 * A conversation uses its window before each request of a turn:
 *
 * 1. It calls `compact`, if the window has it. A new summary is stored with the history at once, replaces the one before
 *    it, and is removed when the history is cleared. The tokens of `complete` count for the conversation.
 * 2. It sends the messages that {@link assemble} returns for the history and the newest summary.
 * 3. If that fails with `ContextLengthError`, it sends what `shrink` chooses, then what the `shrink` of that window
 *    chooses, until a request succeeds, there is no smaller window, or a smaller window chooses the same messages.
 *
 * The messages of the history are not changed.
 *
 * @since 0.1.0
 * @category models
 */
export interface HistoryWindow {
  /** Selects the messages that are sent. The same history always gives the same selection. */
  readonly select: (input: Input) => Effect.Effect<Selection>
  /** Makes a summary if one is due. A failure to make one does not fail the turn, so it is logged and not returned. */
  readonly compact?: ((input: Input, complete: Complete) => Effect.Effect<Option.Option<Summary>>) | undefined
  /** The next smaller window, for when the server finds the context too long. Without it, the turn fails. */
  readonly shrink?: HistoryWindow | undefined
  /** The last turns that the window can use. Without it, it needs the whole history. */
  readonly atMost?: AtMost | undefined
}

/**
 * When to summarize, how much to keep, and how to ask for the summary.
 *
 * @since 0.1.0
 * @category models
 */
export interface SummarizeOptions {
  /**
   * Summarizes when the turns that no summary replaces are more than `turns`, or take more than `tokens`. At least one
   * is needed. `tokens` is a part of the model's context, which also holds the system prompt, the summary, the new
   * messages and the answer.
   */
  readonly when: { readonly turns?: number | undefined; readonly tokens?: number | undefined }
  /**
   * The number of last turns that are not summarized: fewer than `when.turns`. If they take more than half of
   * `when.tokens`, only those within that half and at least one are kept, so that the next summary is not due at once.
   */
  readonly keep: number
  /** The instruction to the model. Default {@link defaultInstruction}. */
  readonly instruction?: string | undefined
  /** The model that summarizes. Default: the conversation's own. */
  readonly model?: string | undefined
  /** Default `TokenCounter.estimate`. */
  readonly counter?: TokenCounter | undefined
}
