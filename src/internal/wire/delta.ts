/**
 * Parsed chunk → what it says, for every shape that OpenAI-compatible servers give a chunk or a completion.
 *
 * Nothing here is required: a field that is absent, null, empty or of another type says nothing.
 */
import type { FinishReason, Usage } from "../../ChatResponse.ts"
import { asArray, asCount, asRecord, asString, asText, isRecord, type JsonRecord } from "../json.ts"

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
  const choices = asArray(chunk["choices"])
  if (choices === undefined) return undefined
  for (const choice of choices) {
    if (isRecord(choice) && isFirst(choice)) return choice
  }
  return isWhole ? asRecord(choices[0]) : undefined
}

/**
 * The further choice of a document that holds the tool calls of the same answer: Copilot splits the answers of Claude
 * so. Another answer, as with `n` above 1, has an index of its own.
 */
export const callsChoice = (document: JsonRecord, first: JsonRecord): JsonRecord | undefined => {
  for (const choice of asArray(document["choices"]) ?? []) {
    if (!isRecord(choice) || choice === first || !isFirst(choice)) continue
    const calls = asArray(asRecord(choice["message"])?.["tool_calls"])
    if (calls !== undefined && calls.length > 0) return choice
  }
  return undefined
}

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
  const inner = envelopes.map((name) => asRecord(document[name])).find((one) => asArray(one?.["choices"]) !== undefined)
  return inner ?? document
}

/** The text of a part list, by the types that count as such. */
const partsText = (parts: ReadonlyArray<unknown>, read: (part: JsonRecord) => string | undefined): string => {
  let text = ""
  for (const part of parts) {
    const piece = isRecord(part) ? read(part) : undefined
    if (piece !== undefined) text += piece
  }
  return text
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

const textOrParts = (value: unknown): string | undefined => {
  const parts = asArray(value)
  return asText(parts === undefined ? value : partsText(parts, anyText))
}

/** The text in a delta. */
export const textOf = (delta: JsonRecord): string | undefined => {
  const content = delta["content"]
  if (typeof content === "string") return content === "" ? undefined : content
  const parts = isRecord(content) ? [content] : asArray(content)
  const texts = parts?.map((part) => typeof part === "string" ? { text: part } : part)
  return texts === undefined ? undefined : asText(partsText(texts, plainText))
}

/** OpenRouter's `reasoning_details`: the readable ones; encrypted ones have no text. */
const detail = (part: JsonRecord): string | undefined => asText(part["text"]) ?? asText(part["summary"])

/** The reasoning in a delta. Servers that send it under two names repeat themselves: the first name that says something counts. */
export const reasoningOf = (delta: JsonRecord): string | undefined =>
  asText(delta["reasoning_content"]) ??
    asText(delta["reasoning"]) ??
    asText(delta["reasoning_text"]) ??
    asText(delta["thinking"]) ??
    asText(partsText(asArray(delta["content"]) ?? [], thought)) ??
    asText(partsText(asArray(delta["reasoning_details"]) ?? [], detail))

/** The refusal in a delta. */
export const refusalOf = (delta: JsonRecord): string | undefined =>
  asText(delta["refusal"]) ??
    asText(
      partsText(asArray(delta["content"]) ?? [], (part) =>
        part["type"] === "refusal" ? asText(part["refusal"]) : undefined)
    )

/** Text as it came; a value as JSON. Throws for a value that is nested without end. */
const argumentsOf = (value: unknown): string => {
  if (typeof value === "string") return value
  return value === null || value === undefined ? "" : JSON.stringify(value)
}

/** The tool calls in a delta. */
export const toolCallsOf = (delta: JsonRecord): ReadonlyArray<ToolCallPiece> => {
  const calls = asArray(delta["tool_calls"])
  if (calls === undefined || calls.length === 0) return []
  const pieces: Array<ToolCallPiece> = []
  for (const call of calls) {
    if (!isRecord(call)) continue
    const fn = asRecord(call["function"]) ?? asRecord(call["custom"]) ?? call
    pieces.push({
      index: asCount(call["index"]),
      id: asText(call["id"]),
      name: asText(fn["name"]),
      arguments: argumentsOf(fn["arguments"] ?? fn["input"])
    })
  }
  return pieces
}

/** The deprecated single call in a delta. */
export const functionCallOf = (
  delta: JsonRecord
): { readonly name: string; readonly arguments: string } | undefined => {
  const call = asRecord(delta["function_call"])
  if (call === undefined) return undefined
  const said = { name: asString(call["name"]) ?? "", arguments: argumentsOf(call["arguments"]) }
  return said.name === "" && said.arguments === "" ? undefined : said
}

/** The usage in a chunk, wherever the server puts it: Moonshot on the choice, Groq under `x_groq`. */
export const usageOf = (chunk: JsonRecord, choice: JsonRecord | undefined): Usage | undefined => {
  const usage = asRecord(chunk["usage"]) ?? asRecord(choice?.["usage"]) ??
    asRecord(asRecord(chunk["x_groq"])?.["usage"])
  return usage === undefined || Object.keys(usage).length === 0 ? undefined : toUsage(usage)
}

/**
 * The text of a stream's chunk that says a text and nothing else: whatever has come before, such a chunk changes nothing
 * but the text once another with the same around its text was heard.
 */
export const plainTextOf = (chunk: JsonRecord): string | undefined => {
  const choice = asArray(chunk["choices"])?.length === 1 ? firstChoice(chunk, false) : undefined
  const delta = asRecord(choice?.["delta"])
  const reason = asText(choice?.["finish_reason"])
  if (choice === undefined || delta === undefined || (reason !== undefined && reason !== "null")) return undefined
  const saysMore = reasoningOf(delta) !== undefined || refusalOf(delta) !== undefined ||
    toolCallsOf(delta).length > 0 ||
    functionCallOf(delta) !== undefined || usageOf(chunk, choice) !== undefined
  return saysMore ? undefined : asText(delta["content"])
}

const toUsage = (raw: JsonRecord): Usage => {
  const input = asCount(raw["prompt_tokens"]) ?? asCount(raw["input_tokens"]) ?? 0
  const output = asCount(raw["completion_tokens"]) ?? asCount(raw["output_tokens"]) ?? 0
  const inputDetails = asRecord(raw["prompt_tokens_details"]) ?? asRecord(raw["input_tokens_details"])
  const outputDetails = asRecord(raw["completion_tokens_details"]) ?? asRecord(raw["output_tokens_details"])
  return {
    inputTokens: input,
    outputTokens: output,
    totalTokens: asCount(raw["total_tokens"]) ?? input + output,
    reasoningTokens: asCount(outputDetails?.["reasoning_tokens"]) ?? asCount(raw["reasoning_tokens"]) ?? 0,
    cachedTokens: asCount(inputDetails?.["cached_tokens"]) ?? asCount(raw["prompt_cache_hit_tokens"]) ??
      asCount(raw["cache_read_input_tokens"]) ?? asCount(raw["cached_tokens"]) ?? 0,
    estimated: false,
    raw
  }
}

/** Reasons that servers give, in lower case. `error` means that the answer is not whole. */
const finishReasons: Readonly<Record<string, FinishReason>> = {
  stop: "stop",
  eos: "stop",
  eos_token: "stop",
  end: "stop",
  end_turn: "stop",
  stop_sequence: "stop",
  stop_token: "stop",
  complete: "stop",
  completed: "stop",
  finished: "stop",
  length: "length",
  max_tokens: "length",
  max_output_tokens: "length",
  max_length: "length",
  model_length: "length",
  context_length: "length",
  model_context_window_exceeded: "length",
  tool_calls: "tool-calls",
  tool_call: "tool-calls",
  tool_use: "tool-calls",
  function_call: "tool-calls",
  content_filter: "content-filter",
  content_filtered: "content-filter",
  safety: "content-filter",
  sensitive: "content-filter",
  recitation: "content-filter",
  prohibited_content: "content-filter",
  blocklist: "content-filter",
  guardrail_intervened: "content-filter",
  refusal: "content-filter",
  error: "error",
  abort: "error",
  aborted: "error",
  cancelled: "error",
  network_error: "error",
  insufficient_system_resource: "error"
}

/** The name of a server's reason. */
export const toFinishReason = (raw: string): FinishReason => {
  // Gemini says more after a colon: "content_filter: PROHIBITED_CONTENT".
  const key = raw.toLowerCase().replace(/:.*/s, "")
  return Object.hasOwn(finishReasons, key) ? finishReasons[key] ?? "other" : "other"
}
