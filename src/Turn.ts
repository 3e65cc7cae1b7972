/**
 * What a turn of a conversation starts with: a prompt, or an earlier turn that is to be answered again.
 *
 * @since 0.1.0
 */
import type { CallOptions, ObjectOptions } from "./CallOptions.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { Prompt } from "./ChatMessage.ts"

/**
 * The input of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = Prompt | Regenerate | Replace

/**
 * Answers a turn again, with the prompt that it had.
 *
 * @since 0.1.0
 * @category models
 */
export interface Regenerate {
  readonly _tag: "Regenerate"
  /** Default: the last turn. */
  readonly turnId?: string | undefined
}

/**
 * Answers another prompt in place of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Replace {
  readonly _tag: "Replace"
  readonly turnId: string
  readonly prompt: Prompt
}

/**
 * The options of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends CallOptions {
  /** Sent before the prompt with this turn only, and not kept: documents that were found, the time, who is speaking. */
  readonly context?: Prompt | undefined
  /**
   * The id of the turn, by which a call that is repeated is known: a message's id, say. Not empty. A turn with this id that
   * is stored gives its answer again, without a request. One that runs is joined, and ends when the last of its callers
   * leaves. One that failed or was interrupted is asked again. Another prompt under the id of a turn fails with
   * `InvalidRequestError`. Default a new id.
   */
  readonly turnId?: string | undefined
}

/**
 * The options of a turn whose answer is a value.
 *
 * @since 0.1.0
 * @category models
 */
export interface OptionsOfObject extends ObjectOptions, Pick<Options, "context" | "turnId"> {}

/**
 * An event of a turn by its number: the first has 1, and each later one the next.
 *
 * @since 0.1.0
 * @category models
 */
export interface NumberedEvent {
  readonly seq: number
  readonly event: ChatEvent
}

/**
 * A turn that runs, or that waits for the turn before it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Running {
  readonly turnId: string
  /** The number of its last event, 0 if it has none yet. */
  readonly seq: number
}

/**
 * Answers a turn again. The turn and those after it are replaced in one write when the new answer is complete; until then,
 * and if it fails or is stopped, the old ones stay. Turns that are stored meanwhile stay before it. The turn fails with
 * `InvalidRequestError` if there is no such turn, or if that turn has no prompt, such as a greeting.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat, Turn } from "effect-chat"
 *
 * export const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   const first = yield* chat.chat("Tell me a joke.")
 *   return yield* chat.chat(Turn.regenerate(first.turnId), { temperature: 1.2 })
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const regenerate = (turnId?: string): Regenerate => ({ _tag: "Regenerate", turnId })

/**
 * Answers another prompt in place of a turn and those after it, as {@link regenerate} does: the edit of a message.
 *
 * @since 0.1.0
 * @category constructors
 */
export const replace = (turnId: string, prompt: Prompt): Replace => ({ _tag: "Replace", turnId, prompt })
