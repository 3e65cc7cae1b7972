/**
 * The input of a turn: a prompt, an earlier turn that is answered again, or a new prompt for an earlier turn.
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
  /** Messages sent before the prompt in this turn only, and not stored: found documents, the time, the speaker's name. */
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
export interface OptionsOfObject extends ObjectOptions, Pick<Options, "context" | "turnId"> {}

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
 * and if it fails or is stopped, the old turns stay. Fails with `InvalidRequestError` if the turn does not exist.
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
 * Answers another prompt in place of a turn and those after it, as {@link regenerate} does. This edits a message.
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
