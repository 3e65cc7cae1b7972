/**
 * The events of a streamed answer: `Begin`, the deltas in the order in which they arrive, and exactly one `Finish`. A turn
 * with tools has a `Begin` and a `StepFinish` for each of its requests, and one `Finish` at its end.
 *
 * **Gotchas**
 *
 * A stream that fails emits no `Finish`. Its error has the part of the answer that arrived (`partial`).
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ContentPart } from "./ChatMessage.ts"
import { ChatResponse, FinishReason, ToolOutcome, Usage } from "./ChatResponse.ts"

/**
 * The start of an answer. It is emitted directly before the first delta, in the same chunk. `id` and `model` are empty if
 * the server has not sent them by then.
 *
 * @since 0.1.0
 * @category models
 */
export interface Begin {
  readonly _tag: "Begin"
  /** The id of the completion. */
  readonly id: string
  /** The model that answers, as the server names it. */
  readonly model: string
}

/**
 * The next part of the answer's text. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextDelta {
  readonly _tag: "TextDelta"
  readonly text: string
}

/**
 * The next part of the model's reasoning. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReasoningDelta {
  readonly _tag: "ReasoningDelta"
  readonly text: string
}

/**
 * The next part of the model's refusal to answer. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface RefusalDelta {
  readonly _tag: "RefusalDelta"
  readonly text: string
}

/**
 * The next part of a tool call.
 *
 * `index` counts the calls of this answer from 0, whatever numbers the server uses. `id` and `name` contain all that has
 * arrived so far, and are empty until the server sends them. `arguments` contains only the text of this delta.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCallDelta {
  readonly _tag: "ToolCallDelta"
  readonly index: number
  readonly id: string
  readonly name: string
  readonly arguments: string
}

/**
 * The token counts so far. A later update replaces an earlier one: do not add them up.
 *
 * @since 0.1.0
 * @category models
 */
export interface UsageUpdate {
  readonly _tag: "UsageUpdate"
  readonly usage: Usage
}

/**
 * The end of the answer, with the complete response. It is emitted once and is the last event.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finish {
  readonly _tag: "Finish"
  readonly reason: FinishReason
  /** The finish reason in the server's words, undefined if it sent none. */
  readonly rawReason: string | undefined
  readonly response: ChatResponse
}

/**
 * The handler of a tool starts.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolStart {
  readonly _tag: "ToolStart"
  /** The library's own id of the call, which no other call shares. All events of the call have it. */
  readonly callId: string
  /** The step of the call, counted from 0. */
  readonly step: number
  readonly name: string
  /** The arguments as JSON, as the model wrote them. */
  readonly arguments: string
}

/**
 * A call of a tool has its result.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolResult {
  readonly _tag: "ToolResult"
  readonly callId: string
  readonly step: number
  readonly name: string
  readonly outcome: ToolOutcome
  /** The text that the model gets, already bounded. */
  readonly content: string
  /** Images, audio and files of the result. */
  readonly media: ReadonlyArray<ContentPart>
}

/**
 * A call of a tool needs an approval before its handler runs.
 *
 * @since 0.1.0
 * @category models
 */
export interface ApprovalRequest {
  readonly _tag: "ApprovalRequest"
  readonly callId: string
  readonly step: number
  readonly name: string
  /** The arguments as JSON, as the model wrote them. An approval is for exactly these. */
  readonly arguments: string
}

/**
 * One request of a turn and the handlers of its calls are complete.
 *
 * @since 0.1.0
 * @category models
 */
export interface StepFinish {
  readonly _tag: "StepFinish"
  /** Counts the steps of a turn from 0. */
  readonly step: number
  readonly reason: FinishReason
  /** The token counts of this step alone. */
  readonly usage: Usage | undefined
}

/**
 * Any event of the tools in a turn.
 *
 * @since 0.1.0
 * @category models
 */
export type ToolEvent = ToolStart | ToolResult | ApprovalRequest | StepFinish

/**
 * Any event of an answer's stream. The events of tools come from turns with a `ToolSet` alone.
 *
 * @since 0.1.0
 * @category models
 */
export type ChatEvent =
  | Begin
  | TextDelta
  | ReasoningDelta
  | RefusalDelta
  | ToolCallDelta
  | UsageUpdate
  | ToolEvent
  | Finish

/**
 * A {@link Finish} as JSON.
 *
 * @since 0.1.0
 * @category models
 */
export interface FinishEncoded extends Omit<Finish, "response"> {
  readonly response: typeof ChatResponse.Encoded
}

const tagged = <Tag extends string, Fields extends Schema.Struct.Fields>(tag: Tag, fields: Fields) =>
  Schema.Struct({ _tag: Schema.Literal(tag), ...fields })

const calledTool = { callId: Schema.String, step: Schema.Int, name: Schema.String }

/**
 * The Schema of {@link ToolEvent}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolEvent: Schema.Schema<ToolEvent> = Schema.Union(
  tagged("ToolStart", { ...calledTool, arguments: Schema.String }),
  tagged("ToolResult", {
    ...calledTool,
    outcome: ToolOutcome,
    content: Schema.String,
    media: Schema.Array(ContentPart)
  }),
  tagged("ApprovalRequest", { ...calledTool, arguments: Schema.String }),
  tagged("StepFinish", { step: Schema.Int, reason: FinishReason, usage: Schema.UndefinedOr(Usage) })
)

/**
 * The Schema of {@link ChatEvent}, for programs that send events to other programs.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ChatEvent: Schema.Schema<ChatEvent, Exclude<ChatEvent, Finish> | FinishEncoded> = Schema.Union(
  tagged("Begin", { id: Schema.String, model: Schema.String }),
  tagged("TextDelta", { text: Schema.String }),
  tagged("ReasoningDelta", { text: Schema.String }),
  tagged("RefusalDelta", { text: Schema.String }),
  tagged("ToolCallDelta", {
    index: Schema.Int,
    id: Schema.String,
    name: Schema.String,
    arguments: Schema.String
  }),
  tagged("UsageUpdate", { usage: Usage }),
  ToolEvent,
  tagged("Finish", {
    reason: FinishReason,
    rawReason: Schema.UndefinedOr(Schema.String),
    response: ChatResponse
  })
)

/**
 * Whether an event is the end of the answer.
 *
 * @example
 * import { Effect, Layer, Option, Stream } from "effect"
 * import { ChatEvent, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   const finish = yield* chat.chatEvents("Hi").pipe(Stream.filter(ChatEvent.isFinish), Stream.runLast)
 *   assert.strictEqual(Option.getOrThrow(finish).response.text, "Hello!")
 * })
 *
 * const Chat = LLMChat.layer({ baseUrl: "http://localhost/v1" }).pipe(
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Chat))
 *
 * @since 0.1.0
 * @category guards
 */
export const isFinish = (event: ChatEvent): event is Finish => event._tag === "Finish"

/**
 * Whether an event is a part of the answer's text.
 *
 * @example
 * import { ChatEvent } from "effect-chat"
 *
 * const events: Array<ChatEvent.ChatEvent> = [
 *   { _tag: "Begin", id: "chatcmpl-1", model: "qwen3" },
 *   { _tag: "TextDelta", text: "Hello" }
 * ]
 *
 * assert.deepStrictEqual(events.filter(ChatEvent.isTextDelta).map(({ text }) => text), ["Hello"])
 *
 * @since 0.1.0
 * @category guards
 */
export const isTextDelta = (event: ChatEvent): event is TextDelta => event._tag === "TextDelta"
