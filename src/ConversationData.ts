/**
 * A conversation as JSON, to move it from one store or program to another.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { ChatMessage } from "./ChatMessage.ts"
import { Usage } from "./ChatResponse.ts"
import { Summary } from "./HistorySelection.ts"

/**
 * A conversation as JSON. The manager that imports it adds its defaults for absent members.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConversationData {
  readonly turns: ReadonlyArray<TurnData>
  readonly systemPrompt?: string | undefined
  /** The settings that the program set for the conversation, without secrets. */
  readonly settings?: Readonly<Record<string, unknown>> | undefined
  readonly summary?: Summary | undefined
  /** The tokens of all turns. */
  readonly usage?: Usage | undefined
  readonly title?: string | undefined
  readonly owner?: string | undefined
}

/**
 * A turn of a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface TurnData {
  readonly turnId?: string | undefined
  /** Milliseconds since 1970. */
  readonly createdAt?: number | undefined
  readonly messages: ReadonlyArray<ChatMessage>
}

const TurnData: Schema.Schema<TurnData> = Schema.Struct({
  turnId: Schema.optional(Schema.String),
  createdAt: Schema.optional(Schema.Finite),
  messages: Schema.Array(ChatMessage)
})

/**
 * The Schema of {@link ConversationData}. Its encoded form is the same JSON.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ConversationData: Schema.Schema<ConversationData> = Schema.Struct({
  turns: Schema.Array(TurnData),
  systemPrompt: Schema.optional(Schema.String),
  settings: Schema.optional(Schema.Record({ key: Schema.String, value: Schema.Unknown })),
  summary: Schema.optional(Summary),
  usage: Schema.optional(Usage),
  title: Schema.optional(Schema.String),
  owner: Schema.optional(Schema.String)
})
