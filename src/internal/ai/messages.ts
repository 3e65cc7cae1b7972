/**
 * Converts prompts of `@effect/ai` to messages.
 */
import * as AiError from "@effect/ai/AiError"
import type * as Prompt from "@effect/ai/Prompt"
import * as Either from "effect/Either"
import * as Encoding from "effect/Encoding"
import type { AssistantMessage, ChatMessage, ContentPart, ToolMessage } from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import { audioFormats } from "../audioFormats.ts"
import { asText, defined } from "../json.ts"
import { type Call, module } from "./errors.ts"
import { type Echo, echoIn, type EchoMemory, metadataKey } from "./metadata.ts"

export interface Options {
  readonly method: Call["method"]
  readonly memory: EchoMemory
  /** Encodes the parameters of a call. Prompts contain them decoded. */
  readonly encode: (name: string, params: unknown) => unknown
}

/** Converts a prompt. Fails if no server can read one of its files. */
export const toMessages = (
  prompt: Prompt.Prompt,
  options: Options
): Either.Either<ReadonlyArray<ChatMessage>, AiError.MalformedInput> =>
  Either.gen(function*() {
    const messages: Array<ChatMessage> = []
    for (const message of prompt.content) {
      switch (message.role) {
        case "system":
          messages.push({ role: "system", content: message.content })
          break
        case "user":
          messages.push({ role: "user", content: yield* toContent(message.content, options.method) })
          break
        case "assistant":
          messages.push(toAssistant(message, options), ...resultsIn(message.content))
          break
        case "tool":
          messages.push(...resultsIn(message.content))
      }
    }
    return messages
  })

/** Converts a single text to a string instead of a part, because some servers do not accept parts. */
const toContent = (
  parts: ReadonlyArray<Prompt.UserMessagePart>,
  method: Call["method"]
): Either.Either<string | ReadonlyArray<ContentPart>, AiError.MalformedInput> => {
  const [first] = parts
  return parts.length === 1 && first?.type === "text"
    ? Either.right(first.text)
    : Either.all(parts.map((part) => part.type === "text" ? Either.right<ContentPart>(part) : toFile(part, method)))
      .pipe(
        Either.map((contents) => contents.map((content) => content.type === "text" ? toTextPart(content) : content))
      )
}

const toTextPart = ({ text }: { readonly text: string }): ContentPart => ({ type: "text", text })

const toFile = (
  { data, fileName, mediaType, options }: Prompt.FilePart,
  method: Call["method"]
): Either.Either<ContentPart, AiError.MalformedInput> => {
  const type = mediaType.toLowerCase()
  if (type.startsWith("image/")) {
    const detail = options[metadataKey]?.["detail"]
    const url = urlOf(data, type === "image/*" ? "image/jpeg" : type)
    return Either.right(
      detail === "low" || detail === "high" || detail === "auto"
        ? { type: "image", url, detail }
        : { type: "image", url }
    )
  }
  if (type.startsWith("audio/")) return toAudio(data, type, method)
  if (typeof data === "string" && data.startsWith("file-")) return Either.right({ type: "file", fileId: data })
  return Either.right(defined<ContentPart>({ type: "file", filename: fileName, data: urlOf(data, type) }))
}

const toAudio = (
  data: Prompt.FilePart["data"],
  type: string,
  method: Call["method"]
): Either.Either<ContentPart, AiError.MalformedInput> => {
  const format = audioFormats.get(type)
  const base64 = typeof data === "string" ? data.replace(/^data:[^,]*,/, "") : data instanceof URL ? undefined : data
  if (format === undefined || base64 === undefined) {
    const description = format === undefined
      ? `Audio of the type ${type} is not supported: use audio/wav or audio/mpeg`
      : "Audio from a URL is not supported: use the bytes of the file"
    return Either.left(new AiError.MalformedInput({ module, method, description }))
  }
  return Either.right({
    type: "audio",
    data: typeof base64 === "string" ? base64 : Encoding.encodeBase64(base64),
    format
  })
}

/** The URL of the data. A text that is not an `http:`, `https:` or `data:` URL is base64. */
const urlOf = (data: Prompt.FilePart["data"], mediaType: string): string => {
  if (data instanceof URL) return data.href
  if (typeof data !== "string") return `data:${mediaType};base64,${Encoding.encodeBase64(data)}`
  return /^(?:https?|data):/i.test(data) ? data : `data:${mediaType};base64,${data}`
}

const toAssistant = (
  message: Prompt.AssistantMessage,
  { encode, memory }: Options
): AssistantMessage => {
  let content = ""
  let reasoning = ""
  let echo: Echo | undefined = echoIn(message.options)
  const calls: Array<ToolCall> = []
  for (const part of message.content) {
    echo ??= echoIn(part.options)
    if (part.type === "text") content += part.text
    else if (part.type === "reasoning") reasoning += part.text
    else if (part.type === "tool-call") {
      calls.push({ id: part.id, name: part.name, arguments: toText(encode(part.name, part.params)) })
    }
  }
  echo ??= memory.recall({ text: content, reasoning, callIds: calls.map(({ id }) => id) })
  const toolCalls = calls.map((call) => defined<ToolCall>({ ...call, extra: echo?.toolCalls?.[call.id] }))
  return defined<AssistantMessage>({
    role: "assistant",
    content,
    reasoning: asText(reasoning),
    toolCalls: toolCalls.length === 0 ? undefined : toolCalls,
    opaque: echo?.opaque
  })
}

const resultsIn = (parts: ReadonlyArray<Prompt.AssistantMessagePart>): ReadonlyArray<ToolMessage> =>
  parts.flatMap((part) =>
    part.type === "tool-result" ? [{ role: "tool", toolCallId: part.id, content: toText(part.result) }] : []
  )

/** Returns a text unchanged, and any other value as JSON. */
const toText = (value: unknown): string => typeof value === "string" ? value : JSON.stringify(value) ?? "null"
