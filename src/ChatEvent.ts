/**
 * The events of an answer's stream: `Begin`, deltas as they arrive, and exactly one `Finish`. A turn with tools has a
 * `Begin` and a `StepFinish` for each of its requests, and one `Finish` at its end.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ContentPart } from "./ChatMessage.ts"
import { ChatResponse, FinishReason, ToolOutcome, Usage } from "./ChatResponse.ts"

/**
 * The beginning of an answer. It comes right before the first event that has something of the answer, in one chunk
 * with it. `id` and `model` are empty if the server gave none by then.
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
 * The next piece of the answer's text. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextDelta {
  readonly _tag: "TextDelta"
  readonly text: string
}

/**
 * The next piece of the model's reasoning. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface ReasoningDelta {
  readonly _tag: "ReasoningDelta"
  readonly text: string
}

/**
 * The next piece of the model's refusal to answer. Never empty.
 *
 * @since 0.1.0
 * @category models
 */
export interface RefusalDelta {
  readonly _tag: "RefusalDelta"
  readonly text: string
}

/**
 * The next piece of a tool call.
 *
 * `index` counts the calls of this answer from 0, whatever the server numbers them. `id` and `name` are all that is
 * known so far, empty until the server sends them; `arguments` is this delta's piece only.
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
 * The token counts so far. A later one replaces an earlier one: counts are never to be added up.
 *
 * @since 0.1.0
 * @category models
 */
export interface UsageUpdate {
  readonly _tag: "UsageUpdate"
  readonly usage: Usage
}

/**
 * The end of the answer, with the whole of it. Exactly one comes, and nothing after it.
 *
 * @since 0.1.0
 * @category models
 */
export interface Finish {
  readonly _tag: "Finish"
  readonly reason: FinishReason
  /** The server's own word, undefined where it sent none. */
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
  /** The library's own id of the call, which no other call shares. */
  readonly callId: string
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
 * One request of a turn and the handlers that it led to are complete.
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
 * The Schema of {@link ChatEvent}, for programs that carry events over a wire of their own.
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
 * @since 0.1.0
 * @category guards
 */
export const isFinish = (event: ChatEvent): event is Finish => event._tag === "Finish"

/**
 * Whether an event is a piece of the answer's text.
 *
 * @since 0.1.0
 * @category guards
 */
export const isTextDelta = (event: ChatEvent): event is TextDelta => event._tag === "TextDelta"
