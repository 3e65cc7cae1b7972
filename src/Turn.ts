/**
 * What a turn of a conversation starts with: a prompt, an earlier turn that is to be answered again, or answers to calls
 * that wait.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { CallOptions, ObjectOptions } from "./CallOptions.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { Prompt } from "./ChatMessage.ts"
import type { Answer } from "./internal/tools/answer.ts"
import type { Approve, ToolSet } from "./ToolSet.ts"

/**
 * Answers to calls that wait.
 *
 * @since 0.1.0
 */
export type * from "./internal/tools/answer.ts"

/**
 * The input of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export type Input = Prompt | Regenerate | Replace | Respond

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
 * Answers calls that wait, and goes on with their turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Respond {
  readonly _tag: "Respond"
  readonly answers: ReadonlyArray<Answer>
}

/**
 * A call without a result, at the end of a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface OpenCall {
  readonly turnId: string
  /** The library's own id of the call, which no other call shares. */
  readonly callId: string
  /** Counts the requests of the turn from 0. */
  readonly step: number
  readonly name: string
  /** The arguments as JSON, as the model wrote them. An approval is for exactly these. */
  readonly arguments: string
  /** Whether an approval is enough. Otherwise no handler was there, and the program gives the result. */
  readonly needsApproval: boolean
}

/**
 * How a turn uses tools with handlers.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolOptions {
  /** The tools whose handlers run inside the turn. They are offered beside the `tools` that are only described. */
  readonly toolSet?: ToolSet | undefined
  /**
   * How many answers with calls a turn may have. One last request follows, which demands an answer without calls. Default
   * 10.
   */
  readonly maxSteps?: number | undefined
  /** How many handlers of one answer run at once. Default 8. */
  readonly toolConcurrency?: number | undefined
  /**
   * Decides about calls that need an approval, while the turn waits. Without it such calls stay open and the turn ends:
   * see {@link respond}.
   */
  readonly approve?: Approve | undefined
  /** How long `approve` may take. Default 10 minutes. */
  readonly approvalTimeout?: Duration.DurationInput | undefined
}

/**
 * The options of a single question.
 *
 * @since 0.1.0
 * @category models
 */
export interface AskOptions extends CallOptions, ToolOptions {}

/**
 * The options of a single question whose answer is a value.
 *
 * @since 0.1.0
 * @category models
 */
export interface AskObjectOptions extends ObjectOptions, ToolOptions {}

/**
 * The options of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends CallOptions, ToolOptions {
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
export interface OptionsOfObject extends ObjectOptions, ToolOptions, Pick<Options, "context" | "turnId"> {}

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
 * and if it fails or is stopped, the old ones stay. The turn fails with `InvalidRequestError` if there is no such turn.
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

/**
 * Answers calls that wait, and goes on with their turn, in another process as well: see `chat.openCalls`.
 *
 * The options need the `toolSet` whose tools were called. Approved calls run with their stored arguments, once. Answers may
 * come in any order and in parts: the model is asked when the last call is settled, and the turn ends with the calls that
 * are left open otherwise. The turn fails with `InvalidRequestError` and the code `call_settled` or `call_unknown` for a
 * call that is not open, and with `ConflictError` if another process answered first.
 *
 * Without answers, a turn goes on whose calls are settled and whose answer failed.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat, type ToolSet, Turn } from "effect-chat"
 *
 * export const approveAll = (toolSet: ToolSet.ToolSet) =>
 *   Effect.gen(function*() {
 *     const chat = yield* LLMChat.LLMChat
 *     const calls = yield* chat.openCalls
 *     const answers = calls.map(({ callId }) => ({ callId, approved: true }))
 *     return yield* chat.chat(Turn.respond(answers), { toolSet })
 *   })
 *
 * @since 0.1.0
 * @category constructors
 */
export const respond = (answers: ReadonlyArray<Answer>): Respond => ({ _tag: "Respond", answers })
