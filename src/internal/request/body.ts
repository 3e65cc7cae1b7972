/**
 * Config, messages and options → the JSON of a request, as this server wants it.
 */
import type { CallOptions, ResponseFormat, Tool } from "../../CallOptions.ts"
import type { AssistantMessage, ChatMessage, ContentPart } from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { OptionalField, Wire } from "../../Provider.ts"
import type { JsonRecord } from "../json.ts"
import { optionalFields } from "../optionalFields.ts"

type OptionalMembers = { readonly [K in OptionalField]?: unknown }

/** The names that JSON has for them: `top_p` for `topP`. */
const jsonNames = optionalFields.map((field) =>
  [field, field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const
)

/** The members of a request. What is undefined is not sent. */
export const toBody = (
  config: LLMConfig,
  messages: ReadonlyArray<ChatMessage>,
  options: CallOptions,
  stream: boolean
): JsonRecord => {
  const { wire } = config
  return {
    model: config.model,
    messages: messages.map((message) => toMessage(message, wire)),
    ...optionalMembers(config, options, wire),
    response_format: options.responseFormat && toResponseFormat(options.responseFormat),
    tools: options.tools?.length ? options.tools.map(toTool) : undefined,
    tool_choice: typeof options.toolChoice === "object"
      ? { type: "function", function: { name: options.toolChoice.name } }
      : options.toolChoice,
    stream,
    stream_options: stream && wire.streamOptions ? { include_usage: true } : undefined,
    ...config.extraBody,
    ...options.extraBody
  }
}

const optionalMembers = (config: OptionalMembers, options: OptionalMembers, wire: Wire): JsonRecord => {
  const members: Record<string, unknown> = {}
  for (const [field, name] of jsonNames) {
    const value = config[field] === undefined ? options[field] : config[field]
    if (value === null || wire.omit.includes(field)) continue
    members[field === "maxTokens" ? wire.maxTokensField : name] = value
  }
  return members
}

const toMessage = (message: ChatMessage, wire: Wire): JsonRecord => {
  switch (message.role) {
    case "system":
      return { role: wire.systemRole, content: message.content }
    case "user":
      return {
        role: "user",
        content: typeof message.content === "string" ? message.content : message.content.map(toPart)
      }
    case "assistant":
      return toAssistant(message, wire)
    case "tool":
      return { role: "tool", tool_call_id: message.toolCallId, content: message.content }
  }
}

const toAssistant = (message: AssistantMessage, wire: Wire): JsonRecord => {
  const { content, reasoning, refusal, toolCalls } = message
  return {
    role: "assistant",
    // Empty text beside tool calls is refused by some servers, null by none.
    content: content === "" ? null : content,
    ...(wire.reasoningEcho === "none" ? {} : { [wire.reasoningEcho]: reasoning }),
    refusal,
    tool_calls: toolCalls?.length ? toolCalls.map(toCall) : undefined
  }
}

const toCall = (call: ToolCall): JsonRecord => ({
  id: call.id,
  type: "function",
  // A call without arguments comes as empty text, which servers that parse what they are sent back refuse.
  function: { name: call.name, arguments: call.arguments.trim() === "" ? "{}" : call.arguments }
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

const toTool = (tool: Tool): JsonRecord => ({
  type: "function",
  function: {
    name: tool.name,
    description: tool.description,
    parameters: tool.parameters ?? { type: "object", properties: {} },
    strict: tool.strict
  }
})

const toResponseFormat = ({ type, ...format }: ResponseFormat): JsonRecord =>
  type === "json_schema"
    ? {
      type,
      json_schema: format
    }
    : { type }
