/**
 * Converts messages to the input of a summary, and a summary to messages.
 */
import { assistant, type ChatMessage, type SystemMessage, user } from "../../ChatMessage.ts"

/** The system message and the summary, if there are any. */
export const systemAndSummary = (
  system: SystemMessage | undefined,
  summary: string | undefined
): ReadonlyArray<ChatMessage> => [
  ...(system === undefined ? [] : [system]),
  ...(summary === undefined ? [] : [user("Summarize our conversation so far."), assistant(summary)])
]

/**
 * Replaces tool calls, their results and the following answer by one assistant message with text, because some servers
 * reject tool messages in a request without tools.
 */
export const withToolsAsText = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> => {
  const written: Array<ChatMessage> = []
  /** The paragraphs of the next assistant message. */
  let paragraphs: Array<string> = []
  const names = new Map<string, string>()
  const flush = (): void => {
    if (paragraphs.length > 0) written.push(assistant(paragraphs.join("\n\n")))
    paragraphs = []
  }
  for (const message of messages) {
    if (message.role === "tool") {
      paragraphs.push(`[Result of ${names.get(message.toolCallId) ?? "a tool"}: ${message.content}]`)
    } else if (message.role !== "assistant") {
      flush()
      written.push(message)
    } else {
      const { content, toolCalls = [] } = message
      if (toolCalls.length === 0 && paragraphs.length === 0) {
        written.push(message)
        continue
      }
      if (content.trim() !== "") paragraphs.push(content)
      for (const call of toolCalls) {
        names.set(call.id, call.name)
        paragraphs.push(`[Called ${call.name} with ${call.arguments}]`)
      }
    }
  }
  flush()
  return written
}
