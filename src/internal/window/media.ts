/**
 * Replaces images, audio and files by short texts.
 */
import { type ChatMessage, type ContentPart, text, type UserMessage } from "../../ChatMessage.ts"
import { type History, TurnScanner } from "./turnScanner.ts"

/** Keeps a message the same object in every turn, as token counters cache counts by message. */
const replaced = new WeakMap<UserMessage, UserMessage>()

/** The message with a text part in the place of each image, recording or file. */
export const withoutMedia = (message: ChatMessage): ChatMessage => {
  if (message.role !== "user" || typeof message.content === "string") return message
  if (message.content.every((part) => part.type === "text")) return message
  const known = replaced.get(message)
  if (known !== undefined) return known
  const result = { ...message, content: message.content.map(asText) }
  replaced.set(message, result)
  return result
}

/** The history with media in its last turns only. The new messages belong to the last of these turns. */
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
