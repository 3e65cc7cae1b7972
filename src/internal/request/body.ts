/**
 * Config, messages and options → the JSON of a request, as this server accepts it.
 */
import type { CallOptions } from "../../CallOptions.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { OptionalField, Wire } from "../../Provider.ts"
import { asString, fieldsOf, itemsOf, type JsonRecord } from "../json.ts"
import { optionalFields } from "../optionalFields.ts"
import { toAcceptable } from "./acceptable.ts"
import { toMessages } from "./message.ts"
import { toolMembers, toResponseFormat } from "./tools.ts"

type OptionalMembers = { readonly [K in OptionalField]?: unknown }

/** Their names in JSON: `top_p` for `topP`. */
const jsonNames = optionalFields.map((field) =>
  [field, field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)] as const
)

/** Values that change nothing, and that some servers refuse all the same. */
const neutral: OptionalMembers = { topP: 1, frequencyPenalty: 0, presencePenalty: 0 }

/** The members of a request. What is undefined is not sent. The config has the call's own settings already. */
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

/** What servers refuse in a request without tools. */
const withoutTools = { tools: undefined, tool_choice: undefined, parallel_tool_calls: undefined }

const optionalMembers = (
  config: OptionalMembers & { readonly wire: Wire },
  options: OptionalMembers
): JsonRecord => {
  const members: Record<string, unknown> = {}
  const { maxTokensField, omit } = config.wire
  for (const [field, name] of jsonNames) {
    const own = options[field]
    const value = config[field] ?? own
    const isUnset = value === null || (own === undefined && value === neutral[field])
    if (isUnset || omit.includes(field)) continue
    members[field === "maxTokens" ? maxTokensField : name] = value
  }
  return members
}
