/**
 * The messages of a conversation: what the program, a person, the model or a tool said.
 *
 * Messages are plain immutable data told apart by `role`, with a Schema for each, so that a history can be stored as
 * JSON and read back.
 *
 * @since 0.1.0
 */
import * as Encoding from "effect/Encoding"
import * as Schema from "effect/Schema"
import { type ChatResponse, FinishReason, Opaque, ToolCall, ToolOutcome, Usage } from "./ChatResponse.ts"
import { asText, defined } from "./internal/json.ts"

/**
 * A piece of text.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextPart {
  readonly type: "text"
  readonly text: string
}

/**
 * An image for the model to look at.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImagePart {
  readonly type: "image"
  /** An `https:` address or a `data:` URL; see {@link imageData}. */
  readonly url: string
  /** How closely to look; the server's default where absent. */
  readonly detail?: "auto" | "low" | "high" | undefined
}

/**
 * A recording for the model to listen to.
 *
 * @since 0.1.0
 * @category models
 */
export interface AudioPart {
  readonly type: "audio"
  /** The recording, base64. */
  readonly data: string
  readonly format: "wav" | "mp3"
}

/**
 * A file for the model to read: one that was uploaded before (`fileId`), or its contents (`data`).
 *
 * @since 0.1.0
 * @category models
 */
export interface FilePart {
  readonly type: "file"
  readonly fileId?: string | undefined
  readonly filename?: string | undefined
  /** The contents as a `data:` URL. */
  readonly data?: string | undefined
}

/**
 * Any piece of what a user says.
 *
 * @since 0.1.0
 * @category models
 */
export type ContentPart = TextPart | ImagePart | AudioPart | FilePart

/**
 * The program's standing instruction, first in a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface SystemMessage {
  readonly role: "system"
  readonly content: string
}

/**
 * What the user said: a text, or parts.
 *
 * @since 0.1.0
 * @category models
 */
export interface UserMessage {
  readonly role: "user"
  readonly content: string | ReadonlyArray<ContentPart>
  /** Who speaks, where there are several users. */
  readonly name?: string | undefined
}

/**
 * What the model answered.
 *
 * @since 0.1.0
 * @category models
 */
export interface AssistantMessage {
  readonly role: "assistant"
  /** The answer's text. Empty only where the message has tool calls or a refusal instead. */
  readonly content: string
  readonly reasoning?: string | undefined
  readonly refusal?: string | undefined
  readonly toolCalls?: ReadonlyArray<ToolCall> | undefined
  /** What the server wants back as it sent it. It is sent to that server and model only. */
  readonly opaque?: Opaque | undefined
  /** Why the answer ended. `interrupted` marks the part of an answer that was kept when its turn was interrupted. */
  readonly finishReason?: FinishReason | undefined
  /** The model that answered, as the server names it. */
  readonly model?: string | undefined
  /** Who answered; see `ChatResponse.provider`. */
  readonly provider?: string | undefined
  /** What the turn took, all of its calls together. An estimate where the server did not say, or the answer was cut. */
  readonly usage?: Usage | undefined
}

/**
 * What a tool gave back for one {@link ToolCall}.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolMessage {
  readonly role: "tool"
  /** The `id` of the call that this answers. */
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
 * What a turn can begin with: a text, the parts of one message, or whole messages (such as the results of tools).
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
 * The Schema of {@link ContentPart}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ContentPart: Schema.Schema<ContentPart> = Schema.Union(
  Schema.Struct({ type: Schema.Literal("text"), text: Schema.String }),
  Schema.Struct({
    type: Schema.Literal("image"),
    url: Schema.String,
    detail: Schema.optional(Schema.Literal("auto", "low", "high"))
  }),
  Schema.Struct({ type: Schema.Literal("audio"), data: Schema.String, format: Schema.Literal("wav", "mp3") }),
  Schema.Struct({
    type: Schema.Literal("file"),
    fileId: Schema.optional(Schema.String),
    filename: Schema.optional(Schema.String),
    data: Schema.optional(Schema.String)
  })
)

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
 * A text part.
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (text: string): TextPart => ({ type: "text", text })

/**
 * An image part from an address.
 *
 * @since 0.1.0
 * @category constructors
 */
export const imageUrl = (url: string, detail?: ImagePart["detail"]): ImagePart =>
  detail === undefined ? { type: "image", url } : { type: "image", url, detail }

/**
 * An image part from its bytes and media type, such as `image/png`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const imageData = (bytes: Uint8Array, mediaType: string): ImagePart => imageUrl(dataUrl(bytes, mediaType))

/**
 * An audio part from the recording's bytes.
 *
 * @since 0.1.0
 * @category constructors
 */
export const audio = (bytes: Uint8Array, format: AudioPart["format"]): AudioPart => ({
  type: "audio",
  data: Encoding.encodeBase64(bytes),
  format
})

/**
 * A file part from the file's bytes, name and media type, such as `application/pdf`.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fileData = (bytes: Uint8Array, filename: string, mediaType: string): FilePart => ({
  type: "file",
  filename,
  data: dataUrl(bytes, mediaType)
})

/**
 * A file part that names a file uploaded before.
 *
 * @since 0.1.0
 * @category constructors
 */
export const fileId = (fileId: string): FilePart => ({ type: "file", fileId })

const dataUrl = (bytes: Uint8Array, mediaType: string): string =>
  `data:${mediaType};base64,${Encoding.encodeBase64(bytes)}`

/**
 * A system message.
 *
 * @since 0.1.0
 * @category constructors
 */
export const system = (content: string): SystemMessage => ({ role: "system", content })

/**
 * A user message.
 *
 * @since 0.1.0
 * @category constructors
 */
export const user = (content: string | ReadonlyArray<ContentPart>): UserMessage => ({ role: "user", content })

/**
 * An assistant message with a text.
 *
 * @since 0.1.0
 * @category constructors
 */
export const assistant = (content: string): AssistantMessage => ({ role: "assistant", content })

/**
 * The result of a tool for the call with this id.
 *
 * @since 0.1.0
 * @category constructors
 */
export const toolResult = (toolCallId: string, content: string): ToolMessage => ({ role: "tool", toolCallId, content })

/**
 * The messages that a prompt stands for.
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
 * The assistant message that an answer becomes in a history. Undefined for an answer that says nothing at all: a blank
 * assistant message would make servers refuse every later turn.
 *
 * @since 0.1.0
 * @category conversions
 */
export const fromResponse = (response: ChatResponse): AssistantMessage | undefined => {
  const { opaque, refusal, toolCalls } = response
  const isBlank = response.text.trim() === "" && refusal.trim() === "" && toolCalls.length === 0
  // An answer that is spoken may have no text: its server finds it by its id.
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
