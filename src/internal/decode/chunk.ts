/**
 * Parsed chunk → what it says, for every shape that OpenAI-compatible servers give a chunk or a completion.
 *
 * Nothing here is required: a field that is absent, null, empty or of another type says nothing.
 */
import type { FinishReason, Usage } from "../../ChatResponse.ts"
import { asCount, asRecord, asText, fieldsOf, first, isRecord, itemsOf, type JsonRecord } from "../json.ts"

/** A piece of a tool call as the server numbers and names it. */
export interface ToolCallPiece {
  readonly index: number | undefined
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
}

const isFirst = (choice: JsonRecord): boolean => (asCount(choice["index"]) ?? 0) === 0

/** The choice that is folded: the first one. With `n` above 1 the others are other answers. */
export const firstChoice = (chunk: JsonRecord, isWhole: boolean): JsonRecord | undefined => {
  const choices = itemsOf(chunk["choices"])
  return first(choices, (choice) => isRecord(choice) && isFirst(choice) ? choice : undefined) ??
    (isWhole ? asRecord(choices[0]) : undefined)
}

/**
 * The further choice of a document that holds the tool calls of the same answer: Copilot splits the answers of Claude
 * so. Another answer, as with `n` above 1, has an index of its own.
 */
export const callsChoice = (document: JsonRecord, first: JsonRecord): JsonRecord | undefined =>
  itemsOf(document["choices"]).filter(isRecord).find((choice) =>
    choice !== first && isFirst(choice) && itemsOf(fieldsOf(choice["message"])["tool_calls"]).length > 0
  )

/**
 * What a choice adds. Perplexity sends both `delta` and `message`: in a stream the message repeats the whole, and in a
 * document the delta is empty. `text` is the answer of a legacy completion.
 */
export const contentOf = (choice: JsonRecord, isWhole: boolean, hasDeltas: boolean): JsonRecord | undefined => {
  const delta = asRecord(choice["delta"])
  const message = isWhole || !hasDeltas ? asRecord(choice["message"]) : undefined
  const said = isWhole ? message ?? delta : delta ?? message
  if (said !== undefined) return said
  const text = asText(choice["text"])
  return text === undefined ? undefined : { content: text }
}

const envelopes = ["data", "result", "response", "output"]

/** The completion in a document: some servers send it in a list, some gateways in an envelope of their own. */
export const documentOf = (value: unknown): unknown => {
  const document: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value
  if (!isRecord(document) || Array.isArray(document["choices"])) return document
  return envelopes.map((name) => fieldsOf(document[name])).find((inner) => Array.isArray(inner["choices"])) ?? document
}

/** The text of a part list, by the types that count as such. */
const partsText = (parts: unknown, read: (part: JsonRecord) => string | undefined): string | undefined => {
  let text = ""
  for (const part of itemsOf(parts)) {
    if (isRecord(part)) text += read(part) ?? ""
  }
  return asText(text)
}

const plainText = (part: JsonRecord): string | undefined => {
  const type = part["type"]
  return type === "text" || type === "output_text" || type === undefined ? asText(part["text"]) : undefined
}

/** Mistral's `thinking` is a text or parts; Databricks' `reasoning` has a `summary` of parts. */
const thought = (part: JsonRecord): string | undefined => {
  if (part["type"] === "thinking") return textOrParts(part["thinking"])
  if (part["type"] !== "reasoning") return undefined
  return textOrParts(part["summary"]) ?? textOrParts(part["reasoning"]) ?? asText(part["text"])
}

const anyText = (part: JsonRecord): string | undefined => asText(part["text"])

const textOrParts = (value: unknown): string | undefined => asText(value) ?? partsText(value, anyText)

/** The text in a delta. */
export const textOf = (delta: JsonRecord): string | undefined => {
  const content = delta["content"]
  if (typeof content === "string") return asText(content)
  const parts = isRecord(content) ? [content] : itemsOf(content)
  return partsText(parts.map((part) => typeof part === "string" ? { text: part } : part), plainText)
}

/** OpenRouter's `reasoning_details`: the readable ones; encrypted ones have no text. */
const detail = (part: JsonRecord): string | undefined => asText(part["text"]) ?? asText(part["summary"])

const reasoningNames = ["reasoning_content", "reasoning", "reasoning_text", "thinking"]

/** The reasoning in a delta. Servers that send it under two names repeat themselves: the first name that says something counts. */
export const reasoningOf = (delta: JsonRecord): string | undefined =>
  first(reasoningNames, (name) => asText(delta[name])) ??
    partsText(delta["content"], thought) ??
    partsText(delta["reasoning_details"], detail)

/** The refusal in a delta. */
export const refusalOf = (delta: JsonRecord): string | undefined =>
  asText(delta["refusal"]) ??
    partsText(delta["content"], (part) => part["type"] === "refusal" ? asText(part["refusal"]) : undefined)

/** Text as it came; a value as JSON. Throws for a value that is nested without end. */
const argumentsOf = (value: unknown): string => {
  if (typeof value === "string") return value
  return value === null || value === undefined ? "" : JSON.stringify(value)
}

const pieceOf = (call: JsonRecord): ToolCallPiece => {
  const fn = asRecord(call["function"]) ?? asRecord(call["custom"]) ?? call
  return {
    index: asCount(call["index"]),
    id: asText(call["id"]),
    name: asText(fn["name"]),
    arguments: argumentsOf(fn["arguments"] ?? fn["input"])
  }
}

/** The tool calls in a delta. */
export const toolCallsOf = (delta: JsonRecord): ReadonlyArray<ToolCallPiece> =>
  itemsOf(delta["tool_calls"]).filter(isRecord).map(pieceOf)

/** The deprecated single call in a delta. */
export const functionCallOf = (delta: JsonRecord): ToolCallPiece | undefined => {
  const call = asRecord(delta["function_call"])
  if (call === undefined) return undefined
  const piece = pieceOf(call)
  return piece.name === undefined && piece.arguments === "" ? undefined : piece
}

/** The usage in a chunk, wherever the server puts it: Moonshot on the choice, Groq under `x_groq`. */
export const usageOf = (chunk: JsonRecord, choice: JsonRecord | undefined): Usage | undefined => {
  const usage = asRecord(chunk["usage"]) ?? asRecord(choice?.["usage"]) ??
    asRecord(fieldsOf(chunk["x_groq"])["usage"])
  return usage === undefined || Object.keys(usage).length === 0 ? undefined : toUsage(usage)
}

/**
 * The text of a stream's chunk that says a text and nothing else: whatever has come before, such a chunk changes nothing
 * but the text once another with the same around its text was heard.
 */
export const plainTextOf = (chunk: JsonRecord): string | undefined => {
  const choice = itemsOf(chunk["choices"]).length === 1 ? firstChoice(chunk, false) : undefined
  const delta = asRecord(choice?.["delta"])
  const reason = asText(choice?.["finish_reason"])
  if (choice === undefined || delta === undefined || (reason !== undefined && reason !== "null")) return undefined
  const saysMore = reasoningOf(delta) !== undefined || refusalOf(delta) !== undefined ||
    toolCallsOf(delta).length > 0 ||
    functionCallOf(delta) !== undefined || usageOf(chunk, choice) !== undefined
  return saysMore ? undefined : asText(delta["content"])
}

const countOf = (fields: unknown, ...names: ReadonlyArray<string>): number | undefined =>
  first(names, (name) => asCount(fieldsOf(fields)[name]))

const toUsage = (raw: JsonRecord): Usage => {
  const inputTokens = countOf(raw, "prompt_tokens", "input_tokens") ?? 0
  const outputTokens = countOf(raw, "completion_tokens", "output_tokens") ?? 0
  const inputDetails = asRecord(raw["prompt_tokens_details"]) ?? raw["input_tokens_details"]
  const outputDetails = asRecord(raw["completion_tokens_details"]) ?? raw["output_tokens_details"]
  return {
    inputTokens,
    outputTokens,
    totalTokens: countOf(raw, "total_tokens") ?? inputTokens + outputTokens,
    reasoningTokens: countOf(outputDetails, "reasoning_tokens") ?? countOf(raw, "reasoning_tokens") ?? 0,
    cachedTokens: countOf(inputDetails, "cached_tokens") ??
      countOf(raw, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens") ?? 0,
    estimated: false,
    raw
  }
}

/** Reasons that servers give, in lower case. `error` means that the answer is not whole. */
const finishReasons: ReadonlyArray<readonly [FinishReason, string]> = [
  ["stop", "stop eos eos_token end end_turn stop_sequence stop_token complete completed finished"],
  [
    "length",
    "length max_tokens max_output_tokens max_length model_length context_length model_context_window_exceeded"
  ],
  ["tool-calls", "tool_calls tool_call tool_use function_call"],
  [
    "content-filter",
    `content_filter content_filtered safety sensitive recitation prohibited_content blocklist guardrail_intervened refusal`
  ],
  ["error", "error abort aborted cancelled network_error insufficient_system_resource"]
]

/** The name of a server's reason. */
export const toFinishReason = (raw: string): FinishReason => {
  // Gemini says more after a colon: "content_filter: PROHIBITED_CONTENT".
  const key = raw.toLowerCase().replace(/:.*/s, "")
  return finishReasons.find(([, names]) => names.split(" ").includes(key))?.[0] ?? "other"
}
