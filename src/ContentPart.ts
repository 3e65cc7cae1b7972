/**
 * The parts of a user message: texts, images, audio recordings and files. `ChatMessage` exports all of this module.
 *
 * @since 0.1.0
 */
import * as Encoding from "effect/Encoding"
import * as Schema from "effect/Schema"

/**
 * A text.
 *
 * @since 0.1.0
 * @category models
 */
export interface TextPart {
  readonly type: "text"
  readonly text: string
}

/**
 * An image.
 *
 * @since 0.1.0
 * @category models
 */
export interface ImagePart {
  readonly type: "image"
  /** An `https:` or `data:` URL; see {@link imageData}. */
  readonly url: string
  /** The detail with which the model sees the image. Default: that of the server. */
  readonly detail?: "auto" | "low" | "high" | undefined
}

/**
 * An audio recording.
 *
 * @since 0.1.0
 * @category models
 */
export interface AudioPart {
  readonly type: "audio"
  /** The recording in base64. */
  readonly data: string
  readonly format: "wav" | "mp3"
}

/**
 * A file: the id of one that was uploaded before (`fileId`), or its contents (`data`).
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
 * Any part of a user message.
 *
 * @since 0.1.0
 * @category models
 */
export type ContentPart = TextPart | ImagePart | AudioPart | FilePart

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
 * Makes a text part.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * const prompt = [ChatMessage.text("Who is this?"), ChatMessage.imageUrl("https://example.com/ada.png")]
 *
 * assert.deepStrictEqual(prompt[0], { type: "text", text: "Who is this?" })
 *
 * @since 0.1.0
 * @category constructors
 */
export const text = (text: string): TextPart => ({ type: "text", text })

/**
 * Makes an image part from an address.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.imageUrl("https://example.com/ada.png", "low"), {
 *   type: "image",
 *   url: "https://example.com/ada.png",
 *   detail: "low"
 * })
 *
 * @since 0.1.0
 * @category constructors
 */
export const imageUrl = (url: string, detail?: ImagePart["detail"]): ImagePart =>
  detail === undefined ? { type: "image", url } : { type: "image", url, detail }

/**
 * Makes an image part from its bytes and media type, such as `image/png`.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * const { url } = ChatMessage.imageData(new Uint8Array([137, 80, 78, 71]), "image/png")
 *
 * assert.strictEqual(url, "data:image/png;base64,iVBORw==")
 *
 * @since 0.1.0
 * @category constructors
 */
export const imageData = (bytes: Uint8Array, mediaType: string): ImagePart => imageUrl(dataUrl(bytes, mediaType))

/**
 * Makes an audio part from the bytes of a recording.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * const part = ChatMessage.audio(new TextEncoder().encode("RIFF"), "wav")
 *
 * assert.deepStrictEqual(part, { type: "audio", data: "UklGRg==", format: "wav" })
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
 * Makes a file part from the bytes, name and media type of a file, such as `application/pdf`.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * const part = ChatMessage.fileData(new TextEncoder().encode("%PDF"), "report.pdf", "application/pdf")
 *
 * assert.strictEqual(part.data, "data:application/pdf;base64,JVBERg==")
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
 * Makes a file part from the id of a file that was uploaded before.
 *
 * @example
 * import { ChatMessage } from "effect-chat"
 *
 * assert.deepStrictEqual(ChatMessage.fileId("file-123"), { type: "file", fileId: "file-123" })
 *
 * @since 0.1.0
 * @category constructors
 */
export const fileId = (fileId: string): FilePart => ({ type: "file", fileId })

const dataUrl = (bytes: Uint8Array, mediaType: string): string =>
  `data:${mediaType};base64,${Encoding.encodeBase64(bytes)}`
