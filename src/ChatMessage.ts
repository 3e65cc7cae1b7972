/**
 * The messages of a conversation: those of the program, of users, of the model and of tools.
 *
 * **Details**
 *
 * Messages are plain immutable data with a `role`. Each has a Schema, so a history can be stored as JSON and read back.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"
import { type ChatResponse, FinishReason, Opaque, ToolCall, ToolOutcome, Usage } from "./ChatResponse.ts"
import { ContentPart } from "./ContentPart.ts"
import { asText, defined } from "./internal/json.ts"

/**
 * The parts of a user message.
 *
 * @since 0.1.0
 */
export * from "./ContentPart.ts"

/**
 * The instructions of the program, at the start of a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface SystemMessage {
  readonly role: "system"
  readonly content: string
}

/**
 * A message of a user: a text, or parts.
 *
 * @since 0.1.0
 * @category models
 */
export interface UserMessage {
  readonly role: "user"
  readonly content: string | ReadonlyArray<ContentPart>
  /** The name of the user, if there are several. */
  readonly name?: string | undefined
}

/**
 * An answer of the model.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssistantMessage {
  readonly role: "assistant"
  /** The text of the answer. Empty only if the message has tool calls or a refusal instead. */
  readonly content: string
  readonly reasoning?: string | undefined
  readonly refusal?: string | undefined
  readonly toolCalls?: ReadonlyArray<ToolCall> | undefined
  /** Members that must be sent back unchanged, but only to the server and the model that sent them. */
  readonly opaque?: Opaque | undefined
  /** Why the answer ended. `interrupted` marks an answer that is incomplete because its turn was interrupted. */
  readonly finishReason?: FinishReason | undefined
  /** The name of the model that answered, as the server sent it. */
  readonly model?: string | undefined
  /** The server that answered; see `ChatResponse.provider`. */
  readonly provider?: string | undefined
  /** The tokens of all calls of the turn. An estimate if the server sent no usage or the answer was cut off. */
  readonly usage?: Usage | undefined
}

/**
 * The result of a tool for one {@link ToolCall}.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolMessage {
  readonly role: "tool"
  /** The `id` of the call. */
  readonly toolCallId: string
  readonly content: string
  /** Images, audio and files of the result. They are sent in a user message after the results. */
  readonly media?: ReadonlyArray<ContentPart> | undefined
  /** How the call ended, if a handler or an approval decided it. */
  readonly outcome?: ToolOutcome | undefined
}

/**
 * Any message of a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export type ChatMessage = SystemMessage | UserMessage | AssistantMessage | ToolMessage

/**
 * The input of a turn: a text, the parts of one message, or messages (such as the results of tools).
 *
 * @since 0.1.0
 * @category models
 */
export type Prompt =
  | string
  | ReadonlyArray<ContentPart>
  | UserMessage
  | ToolMessage
  | ReadonlyArray<UserMessage | ToolMessage>

/**
 * The Schema of {@link SystemMessage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const SystemMessage: Schema.Schema<SystemMessage> = Schema.Struct({
  role: Schema.Literal("system"),
  content: Schema.String
})

/**
 * The Schema of {@link UserMessage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const UserMessage: Schema.Schema<UserMessage> = Schema.Struct({
  role: Schema.Literal("user"),
  content: Schema.Union(Schema.String, Schema.Array(ContentPart)),
  name: Schema.optional(Schema.String)
})

/**
 * The Schema of {@link AssistantMessage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const AssistantMessage: Schema.Schema<AssistantMessage> = Schema.Struct({
  role: Schema.Literal("assistant"),
  content: Schema.String,
  reasoning: Schema.optional(Schema.String),
  refusal: Schema.optional(Schema.String),
  toolCalls: Schema.optional(Schema.Array(ToolCall)),
  opaque: Schema.optional(Opaque),
  finishReason: Schema.optional(FinishReason),
  model: Schema.optional(Schema.String),
  provider: Schema.optional(Schema.String),
  usage: Schema.optional(Usage)
})

/**
 * The Schema of {@link ToolMessage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolMessage: Schema.Schema<ToolMessage> = Schema.Struct({
  role: Schema.Literal("tool"),
  toolCallId: Schema.String,
  content: Schema.String,
  media: Schema.optional(Schema.Array(ContentPart)),
  outcome: Schema.optional(ToolOutcome)
})

/**
 * The Schema of {@link ChatMessage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ChatMessage: Schema.Schema<ChatMessage> = Schema.Union(
  SystemMessage,
  UserMessage,
  AssistantMessage,
  ToolMessage
)

/**
 * A system message.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.system("Be brief."), { role: "system", content: "Be brief." })
 *
 * @since 0.1.0
 * @category constructors
 */
export const system = (content: string): SystemMessage => ({ role: "system", content })

/**
 * A user message.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.user("Hi"), { role: "user", content: "Hi" })
 *
 * @since 0.1.0
 * @category constructors
 */
export const user = (content: string | ReadonlyArray<ContentPart>): UserMessage => ({ role: "user", content })

/**
 * An assistant message with a text.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.assistant("Hello!"), { role: "assistant", content: "Hello!" })
 *
 * @since 0.1.0
 * @category constructors
 */
export const assistant = (content: string): AssistantMessage => ({ role: "assistant", content })

/**
 * The result of a tool for the call with this id.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.toolResult("call_1", "Rain"), {
 *   role: "tool",
 *   toolCallId: "call_1",
 *   content: "Rain"
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const toolResult = (toolCallId: string, content: string): ToolMessage => ({ role: "tool", toolCallId, content })

/**
 * Converts a prompt to messages.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.fromPrompt("Hi"), [ChatMessage.user("Hi")])
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromPrompt = (prompt: Prompt): ReadonlyArray<UserMessage | ToolMessage> => {
  if (typeof prompt === "string") return [user(prompt)]
  if ("role" in prompt) return [prompt]
  const messages: Array<UserMessage | ToolMessage> = []
  const parts: Array<ContentPart> = []
  for (const item of prompt) {
    if ("role" in item) messages.push(item)
    else parts.push(item)
  }
  return parts.length > 0 ? [...messages, user(parts)] : messages
}

/**
 * Converts an answer to the assistant message that a history contains. Returns `undefined` for an empty answer, because
 * servers refuse every later request with an empty assistant message.
 *
 * @example
 * import { ChatMessage, ChatResponse } from "effect-chat"
 *
 * const response = new ChatResponse.ChatResponse({
 *   text: "Hello!",
 *   reasoning: "",
 *   refusal: "",
 *   toolCalls: [],
 *   finishReason: "stop",
 *   rawFinishReason: "stop",
 *   usage: undefined,
 *   id: "chatcmpl-1",
 *   model: "qwen3"
 * })
 *
 * assert.deepStrictEqual(ChatMessage.fromResponse(response), {
 *   role: "assistant",
 *   content: "Hello!",
 *   finishReason: "stop",
 *   model: "qwen3"
 * })
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromResponse = (response: ChatResponse): AssistantMessage | undefined => {
  const { opaque, refusal, toolCalls } = response
  const isBlank = response.text.trim() === "" && refusal.trim() === "" && toolCalls.length === 0
  // An audio answer may have no text: in later requests the server finds it by its id.
  if (isBlank && opaque?.fields["audio"] === undefined) return undefined
  return defined<AssistantMessage>({
    role: "assistant",
    content: response.text,
    reasoning: asText(response.reasoning),
    refusal: asText(refusal),
    toolCalls: toolCalls.length === 0 ? undefined : toolCalls,
    opaque,
    finishReason: response.finishReason,
    model: asText(response.model),
    provider: response.provider,
    usage: response.usage
  })
}
