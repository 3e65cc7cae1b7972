/**
 * Validates and parses the requests of a `LocalServer` as OpenAI does.
 */
import type { ChatRequest, Tool } from "../LocalRequest.ts"
import { parseJson } from "./requestBody.ts"

/** The status and the `error` in the body of a refusal, as OpenAI sends them. */
export interface Refusal {
  readonly status: number
  readonly message: string
  readonly param: string | null
  readonly code: string | null
}

type Json = Readonly<Record<string, unknown>>

export const isRefusal = (value: ChatRequest | Refusal): value is Refusal => "status" in value

/** Parses the body of a completions request. Returns a refusal for the first error. */
export const parse = (text: string): ChatRequest | Refusal => {
  const body = parseJson(text)
  if (!isRecord(body)) return refuse(null, null, "We could not parse the JSON body of your request.")
  if (typeof body.model !== "string" || body.model === "") {
    return refuse(null, null, "you must provide a model parameter")
  }
  const problem = checkMessages(body.messages) ?? checkSettings(body)
  if (problem !== undefined) return problem
  const tools = listOf(body.tools).map(toTool)
  if (tools.length === 0 && body.tool_choice !== undefined && body.tool_choice !== null) {
    return refuse("tool_choice", null, "'tool_choice' is only allowed when 'tools' are specified.")
  }
  const toolChoice = toToolChoice(body.tool_choice, tools)
  if (typeof toolChoice === "object" && !tools.some((tool) => tool.name === toolChoice.name)) {
    return refuse("tool_choice", null, `Tool choice '${toolChoice.name}' not found in 'tools' parameter.`)
  }
  return {
    model: body.model,
    messages: listOf(body.messages).map((message) => ({
      role: String(message.role),
      content: toText(message.content)
    })),
    stream: body.stream === true,
    includeUsage: isRecord(body.stream_options) && body.stream_options.include_usage === true,
    maxTokens: asNumber(body.max_completion_tokens) ?? asNumber(body.max_tokens),
    stop: typeof body.stop === "string" ? [body.stop] : strings(body.stop),
    tools,
    toolChoice,
    responseFormat: toResponseFormat(body.response_format),
    body
  }
}

const refuse = (param: string | null, code: string | null, message: string): Refusal => ({
  status: 400,
  message,
  param,
  code
})

const invalidType = (param: string, expected: string, value: unknown): Refusal =>
  refuse(param, "invalid_type", `Invalid type for '${param}': expected ${expected}, but got ${nameOf(value)} instead.`)

const roles = ["system", "assistant", "user", "function", "tool", "developer"]

const checkMessages = (messages: unknown): Refusal | undefined => {
  if (messages === undefined || messages === null) {
    return refuse("messages", "missing_required_parameter", "Missing required parameter: 'messages'.")
  }
  if (!Array.isArray(messages)) return invalidType("messages", "an array of objects", messages)
  if (messages.length === 0) {
    const message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array."
    return refuse("messages", "empty_array", message)
  }
  for (const [index, message] of messages.entries()) {
    const problem = checkMessage(message, `messages[${index}]`)
    if (problem !== undefined) return problem
  }
  return checkToolCalls(messages.filter(isRecord))
}

const checkMessage = (message: unknown, at: string): Refusal | undefined => {
  if (!isRecord(message)) return invalidType(at, "an object", message)
  if (typeof message.role !== "string" || !roles.includes(message.role)) {
    const expected = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'"
    return refuse(
      `${at}.role`,
      "invalid_value",
      `Invalid value: '${textOf(message.role)}'. Supported values are: ${expected}.`
    )
  }
  const { content } = message
  if (typeof content === "string" || (Array.isArray(content) && content.every(isRecord))) return undefined
  const mayBeEmpty = message.role === "assistant" && (message.tool_calls !== undefined || message.refusal !== undefined)
  if ((content === undefined || content === null) && mayBeEmpty) return undefined
  return invalidType(`${at}.content`, "one of a string or array of objects", content)
}

/** Checks that every tool call has its result before the next message, and every result its call. */
const checkToolCalls = (messages: ReadonlyArray<Json>): Refusal | undefined => {
  let unansweredIds: ReadonlyArray<string> = []
  for (const [index, message] of messages.entries()) {
    if (message.role === "tool") {
      if (!unansweredIds.includes(textOf(message.tool_call_id))) {
        const text = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
        return refuse(`messages[${index}].role`, null, `Invalid parameter: ${text}`)
      }
      unansweredIds = unansweredIds.filter((id) => id !== textOf(message.tool_call_id))
    } else if (unansweredIds.length > 0) {
      return missingResults(unansweredIds, index)
    } else {
      unansweredIds = listOf(message.tool_calls).map((call) => textOf(call.id))
    }
  }
  return unansweredIds.length > 0 ? missingResults(unansweredIds, messages.length) : undefined
}

const missingResults = (ids: ReadonlyArray<string>, index: number): Refusal =>
  refuse(
    `messages[${index}].role`,
    null,
    "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. " +
      `The following tool_call_ids did not have response messages: ${ids.join(", ")}`
  )

const ranges = [
  ["temperature", 0, 2],
  ["top_p", 0, 1],
  ["presence_penalty", -2, 2],
  ["frequency_penalty", -2, 2]
] as const

const checkSettings = (body: Json): Refusal | undefined => {
  for (const [name, low, high] of ranges) {
    const problem = checkNumber(name, body[name], low, high)
    if (problem !== undefined) return problem
  }
  for (const name of ["max_tokens", "max_completion_tokens", "n"]) {
    const value = body[name]
    if (value !== undefined && value !== null && !Number.isInteger(value)) return invalidType(name, "an integer", value)
    const problem = checkNumber(name, value, 1, Infinity, "integer")
    if (problem !== undefined) return problem
  }
  if (typeof body.n === "number" && body.n > 1) {
    return refuse("n", "unsupported_value", "Unsupported value: 'n' does not support more than 1 with this model.")
  }
  return checkShapes(body)
}

const checkNumber = (name: string, value: unknown, low: number, high: number, kind = "decimal") => {
  if (value === undefined || value === null) return undefined
  if (typeof value !== "number") return invalidType(name, "a number", value)
  if (value >= low && value <= high) return undefined
  const [side, sign, bound] = value < low ? ["below_min", ">=", low] as const : ["above_max", "<=", high] as const
  const words = `${kind} ${side.replace("_min", " minimum").replace("_max", " maximum")} value`
  const message = `Invalid '${name}': ${words}. Expected a value ${sign} ${bound}, but got ${value} instead.`
  return refuse(name, `${kind}_${side}_value`, message)
}

const checkShapes = (body: Json): Refusal | undefined => {
  const checkType = (name: string, expected: string, ok: (value: unknown) => boolean) => {
    const value = body[name]
    return value === undefined || value === null || ok(value) ? undefined : invalidType(name, expected, value)
  }
  const isTool = (value: unknown) =>
    isRecord(value) && value.type === "function" && isRecord(value.function) && typeof value.function.name === "string"
  const isStop = (value: unknown) =>
    typeof value === "string" || (Array.isArray(value) && value.length <= 4 && strings(value).length === value.length)
  const problem = checkType("stream", "a boolean", (value) => typeof value === "boolean") ??
    checkType("stop", "a string or an array of at most 4 strings", isStop) ??
    checkType("tools", "an array of functions", (value) => Array.isArray(value) && value.every(isTool)) ??
    checkType("tool_choice", "one of a string or object", (value) => typeof value === "string" || isRecord(value)) ??
    checkType("response_format", "an object", isRecord) ??
    checkType("stream_options", "an object", isRecord)
  if (problem !== undefined) return problem
  return isRecord(body.stream_options) && body.stream !== true
    ? refuse("stream_options", null, "The 'stream_options' parameter is only allowed when 'stream' is enabled.")
    : undefined
}

const toTool = (tool: Json): Tool => {
  const definition = isRecord(tool.function) ? tool.function : {}
  return { name: textOf(definition.name), parameters: definition.parameters }
}

const toToolChoice = (choice: unknown, tools: ReadonlyArray<Tool>): ChatRequest["toolChoice"] => {
  if (isRecord(choice)) return { name: isRecord(choice.function) ? textOf(choice.function.name) : "" }
  if (choice === "none" || tools.length === 0) return "none"
  return choice === "required" ? "required" : "auto"
}

const toResponseFormat = (format: unknown): ChatRequest["responseFormat"] => {
  if (!isRecord(format)) return "text"
  if (format.type === "json_schema") {
    return { schema: isRecord(format.json_schema) ? format.json_schema.schema : undefined }
  }
  return format.type === "json_object" ? "json_object" : "text"
}

const toText = (content: unknown): string =>
  typeof content === "string"
    ? content
    : listOf(content).map((part) => typeof part.text === "string" ? part.text : "").join("")

export const isRecord = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value)

const listOf = (value: unknown): ReadonlyArray<Json> => Array.isArray(value) ? value.filter(isRecord) : []

const strings = (value: unknown): ReadonlyArray<string> =>
  Array.isArray(value) ? value.filter((item) => typeof item === "string") : []

const asNumber = (value: unknown): number | undefined => typeof value === "number" ? value : undefined

/** A text, number or boolean as text. Other values as the name of their type. */
const textOf = (value: unknown): string =>
  typeof value === "string" || typeof value === "number" || typeof value === "boolean" ? String(value) : nameOf(value)

const nameOf = (value: unknown): string => {
  if (value === undefined || value === null) return "null"
  if (Array.isArray(value)) return "an array"
  return typeof value === "object" ? "an object" : `a ${typeof value}`
}
