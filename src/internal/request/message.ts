/**
 * Acceptable messages → the JSON of a request's messages.
 */
import type { AssistantMessage, ChatMessage, ContentPart, UserMessage } from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import type { Wire } from "../../Provider.ts"
import type { JsonRecord } from "../json.ts"

/** The messages as JSON. */
export const toMessages = (messages: ReadonlyArray<ChatMessage>, wire: Wire): ReadonlyArray<JsonRecord> => {
  const names = new Map<string, string>()
  return messages.map((message): JsonRecord => {
    switch (message.role) {
      case "system":
        return { role: wire.systemRole, content: message.content }
      case "user":
        return toUser(message)
      case "assistant":
        for (const call of message.toolCalls ?? []) names.set(call.id, call.name)
        return toAssistant(message, wire)
      case "tool": {
        const { content, toolCallId } = message
        const name = wire.toolResultName ? names.get(toolCallId) : undefined
        return { role: "tool", tool_call_id: toolCallId, name, content }
      }
    }
  })
}

const toUser = ({ content, name }: UserMessage): JsonRecord => ({
  role: "user",
  // OpenAI's rule for names.
  name: name?.trim().replace(/[\s<|\\/>]+/g, "_").slice(0, 64) || undefined,
  content: typeof content === "string" ? content : content.map(toPart)
})

const toAssistant = (message: AssistantMessage, wire: Wire): JsonRecord => {
  const { content, opaque, reasoning = "", toolCalls = [] } = message
  return {
    // Without text, null: some servers refuse empty text beside tool calls, and none refuses null.
    content: content === "" ? null : content,
    // Where reasoning is demanded, it is demanded even if empty.
    ...(wire.reasoningEcho === "none" ? {} : { [wire.reasoningEcho]: reasoning }),
    ...opaque?.fields,
    role: "assistant",
    tool_calls: toolCalls.length > 0 ? toolCalls.map(toCall) : undefined
  }
}

const toCall = ({ arguments: text, extra, id, name }: ToolCall): JsonRecord => ({
  ...extra,
  id,
  type: "function",
  function: { name, arguments: text }
})

const toPart = (part: ContentPart): JsonRecord => {
  switch (part.type) {
    case "text":
      return { type: "text", text: part.text }
    case "image":
      return { type: "image_url", image_url: { url: part.url, detail: part.detail } }
    case "audio":
      return { type: "input_audio", input_audio: { data: part.data, format: part.format } }
    case "file":
      return { type: "file", file: { file_id: part.fileId, filename: part.filename, file_data: part.data } }
  }
}
