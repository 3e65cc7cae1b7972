/**
 * The input of a turn: a prompt, an earlier turn that is answered again, a new prompt for an earlier turn, or answers to
 * open calls.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type { CallOptions, ObjectOptions as CallObjectOptions } from "./CallOptions.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { Prompt } from "./ChatMessage.ts"
import type { Answer } from "./internal/tools/answer.ts"
import type { Approve, ToolSet } from "./ToolSet.ts"

/**
 * Answers to open calls.
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
 * Answers open calls and continues their turn.
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
  /** Whether the call waits for an approval. Otherwise it has no handler, and the program answers with a `result`. */
  readonly needsApproval: boolean
}

/**
 * How a turn uses tools with handlers.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolOptions {
  /** The tools whose handlers run inside the turn. They are added to `tools`, which have no handler. */
  readonly toolSet?: ToolSet | undefined
  /**
   * How many times the model may answer with tool calls. Then a last request forbids calls (`toolChoice: "none"`). Default
   * 10.
   */
  readonly maxSteps?: number | undefined
  /** How many handlers of one answer run at once. Default 8. */
  readonly toolConcurrency?: number | undefined
  /**
   * Decides about calls that need an approval, while the turn waits. Without it such calls stay open and the turn ends:
   * see {@link respond}. A single question is not stored, so it denies them.
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
export interface AskObjectOptions extends CallObjectOptions, ToolOptions {}

/**
 * The options of a turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options extends CallOptions, ToolOptions {
  /** Messages sent before the prompt in this turn only, and not stored: retrieved documents, the time, the speaker's name. */
  readonly context?: Prompt | undefined
  /**
   * The id of the turn, such as the id of a user's message, so that a repeated call is recognized. Not empty. If a turn with
   * this id is stored, its answer is returned without a request. If it runs, the call joins it, and it ends when its last
   * caller leaves. If it failed or was interrupted, it runs again. Another prompt under the same id fails with
   * `InvalidRequestError`. Default: a new id.
   */
  readonly turnId?: string | undefined
}

/**
 * The options of a turn whose answer is a value.
 *
 * @since 0.1.0
 * @category models
 */
export interface ObjectOptions extends CallObjectOptions, ToolOptions, Pick<Options, "context" | "turnId"> {}

/**
 * An event of a turn with its number. The first event has the number 1.
 *
 * @since 0.1.0
 * @category models
 */
export interface NumberedEvent {
  readonly seq: number
  readonly event: ChatEvent
}

/**
 * A turn that is running, or waiting for the turn before it.
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
 * Answers a turn again. When the new answer is complete, it replaces the turn and those after it in one write. Until then,
 * and if it fails or is stopped, the old turns stay. Turns that are stored in the meantime stay, before it. Fails with
 * `InvalidRequestError` if the turn does not exist, or has no prompt, such as a greeting.
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
 * Answers another prompt in place of a turn and those after it, as {@link regenerate} does. Use it to edit a message.
 *
 * @example
 * import { Effect } from "effect"
 * import { LLMChat, Turn } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1", systemPrompt: "" })
 *   const { turnId = "" } = yield* chat.chat("What is 2 + 3?")
 *   yield* chat.chat(Turn.replace(turnId, "What is 2 + 4?"))
 *   assert.deepStrictEqual((yield* chat.history).map(({ content }) => content), ["What is 2 + 4?", "6"])
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["5"]), ScriptedHttpClient.tokens(["6"])])
 *
 * Effect.runPromise(Effect.provide(program, script))
 *
 * @since 0.1.0
 * @category constructors
 */
export const replace = (turnId: string, prompt: Prompt): Replace => ({ _tag: "Replace", turnId, prompt })

/**
 * Answers open calls (`chat.openCalls`) and continues their turn. This can happen in another process.
 *
 * The options need the `toolSet` whose tools were called. Approved calls run once, with their stored arguments. Answers may
 * come in any order and in parts: while calls are still open, the turn ends without a request. When all have results, the
 * model is asked. The turn fails with `InvalidRequestError` and the code `call_settled` or `call_unknown` for a
 * call that is not open, and with `ConflictError` if another process answered first.
 *
 * An empty list continues a turn whose calls all have results, but whose answer failed.
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
