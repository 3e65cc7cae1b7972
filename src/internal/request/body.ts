/**
 * Converts a config, messages and options to the JSON of a request, in the form that the server accepts.
 */
import type { CallOptions } from "../../CallOptions.ts"
import type { AssistantMessage, ChatMessage, ContentPart, UserMessage } from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { OptionalField, Wire } from "../../Provider.ts"
import { asString, fieldsOf, itemsOf, type JsonRecord } from "../json.ts"
import { optionalFields } from "../settingSchemas.ts"
import { toAcceptable } from "./acceptable.ts"
import { toolMembers, toResponseFormat } from "./tools.ts"

type OptionalMembers = { readonly [K in OptionalField]?: unknown }

/** The JSON names of optional fields: `top_p` for `topP`. */
const jsonNames = optionalFields.map((field) =>
  [field, field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const
)

/** Values that have no effect. Some servers refuse them. */
const neutralValues: OptionalMembers = { topP: 1, frequencyPenalty: 0, presencePenalty: 0 }

/** The members of a request. Undefined ones are not sent. The config already includes the settings of the call. */
export const toBody = (
  config: LLMConfig,
  messages: ReadonlyArray<ChatMessage>,
  options: CallOptions,
  stream: boolean
): JsonRecord => {
  const { wire } = config
  const extra: JsonRecord = { ...config.extraBody, ...options.extraBody }
  const tools = itemsOf(extra["tools"] ?? options.tools)
  const names = new Set(tools.map((tool) => asString(fieldsOf(fieldsOf(tool)["function"] ?? tool)["name"]) ?? ""))
  return {
    model: config.model,
    messages: toMessages(toAcceptable(messages, { config, tools: names }), wire),
    ...optionalMembers(config, options),
    response_format: options.responseFormat && toResponseFormat(options.responseFormat),
    ...toolMembers(options, wire),
    stream,
    stream_options: stream && wire.streamOptions ? { include_usage: true } : undefined,
    ...extra,
    ...(tools.length === 0 ? withoutTools : {})
  }
}

/** Members that servers refuse in a request without tools. */
const withoutTools = { tools: undefined, tool_choice: undefined, parallel_tool_calls: undefined }

const optionalMembers = (
  config: OptionalMembers & { readonly wire: Wire },
  options: OptionalMembers
): JsonRecord => {
  const members: Record<string, unknown> = {}
  const { maxTokensField, omit } = config.wire
  for (const [field, name] of jsonNames) {
    const callValue = options[field]
    const value = config[field] ?? callValue
    const isUnset = value === null || (callValue === undefined && value === neutralValues[field])
    if (isUnset || omit.includes(field)) continue
    members[field === "maxTokens" ? maxTokensField : name] = value
  }
  return members
}

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
  // OpenAI's limits for names.
  name: name?.trim().replace(/[\s<|\\/>]+/g, "_").slice(0, 64) || undefined,
  content: typeof content === "string" ? content : content.map(toPart)
})

const toAssistant = (message: AssistantMessage, wire: Wire): JsonRecord => {
  const { content, opaque, reasoning = "", toolCalls = [] } = message
  return {
    // Some servers refuse empty text with tool calls. All accept null.
    content: content === "" ? null : content,
    // Servers that require reasoning require it even if it is empty.
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
