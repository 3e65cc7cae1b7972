/**
 * Replaces images, audio and files by short texts.
 */
import { type ChatMessage, type ContentPart, text, type ToolMessage, type UserMessage } from "../../ChatMessage.ts"
import { type History, TurnScanner } from "./turnScanner.ts"

/** Caches the results, because token counters cache counts by message object. */
const replacements = new WeakMap<ChatMessage, ChatMessage>()

/** Replaces each image, audio and file of a message by a text. */
export const withoutMedia = (message: ChatMessage): ChatMessage => {
  if (!hasMedia(message)) return message
  const known = replacements.get(message)
  if (known !== undefined) return known
  const result = replace(message)
  replacements.set(message, result)
  return result
}

const hasMedia = (message: ChatMessage): message is UserMessage | ToolMessage => {
  if (message.role === "tool") return message.media !== undefined && message.media.length > 0
  return message.role === "user" && typeof message.content !== "string" &&
    message.content.some((part) => part.type !== "text")
}

const replace = (message: UserMessage | ToolMessage): ChatMessage => {
  if (message.role === "user") {
    return typeof message.content === "string" ? message : { ...message, content: message.content.map(asText) }
  }
  const { media = [], ...rest } = message
  const notes = media.map(asText).map((part) => part.type === "text" ? part.text : "")
  return { ...rest, content: [message.content, ...notes].join("\n") }
}

/** Replaces media in all but the last `turns` turns. The turn of the new messages counts as the last one. */
export const withoutOldMedia = (turns: number, history: History): ReadonlyArray<ChatMessage> => {
  const scanner = new TurnScanner(history)
  while (scanner.isIncomplete || scanner.turns < turns - 1) if (scanner.read() === undefined) break
  return history.messages.map((message, index) => index < scanner.start ? withoutMedia(message) : message)
}

const asText = (part: ContentPart): ContentPart => {
  switch (part.type) {
    case "text":
      return part
    case "file":
      return text(part.filename === undefined ? "[file omitted]" : `[file omitted: ${part.filename}]`)
    default:
      return text(`[${part.type} omitted]`)
  }
}
