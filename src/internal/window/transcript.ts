/**
 * The messages from which summaries are made, and the messages as which they are sent.
 */
import { assistant, type ChatMessage, type SystemMessage, user } from "../../ChatMessage.ts"

/** The system message and the summary, if there are any. */
export const inFront = (system: SystemMessage | undefined, summary: string | undefined): ReadonlyArray<ChatMessage> => [
  ...(system === undefined ? [] : [system]),
  ...(summary === undefined ? [] : [user("Summarize our conversation so far."), assistant(summary)])
]

/**
 * The messages with each tool call, its result and the answer to it in one assistant message of text. Some servers refuse
 * tool messages in a request without tools.
 */
export const withToolsAsText = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> => {
  const written: Array<ChatMessage> = []
  /** The paragraphs of the assistant message that is being written. */
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
