/**
 * Reads the text, reasoning, tool calls, usage and finish reason of a parsed chunk, in every shape that OpenAI-compatible
 * servers send.
 *
 * No field is required: one that is absent, null, empty or of a wrong type is ignored.
 */
import type { FinishReason, Usage } from "../../ChatResponse.ts"
import {
  asCount,
  asRecord,
  asString,
  asText,
  fieldsOf,
  firstDefined,
  isRecord,
  itemsOf,
  type JsonRecord
} from "../json.ts"

/** A delta of a tool call, with the server's index and id. */
export interface ServerToolCallDelta {
  readonly index: number | undefined
  readonly id: string | undefined
  readonly name: string | undefined
  readonly arguments: string
  /** Members of the call that have no field of their own. */
  readonly extra?: JsonRecord | undefined
}

const isFirst = (choice: JsonRecord): boolean => (asCount(choice["index"]) ?? 0) === 0

/** The first choice of a chunk, whatever its index. */
export const anyChoice = (chunk: JsonRecord): JsonRecord | undefined =>
  firstDefined(itemsOf(chunk["choices"]), asRecord)

/** The choice with the index 0. Other indexes are alternative answers (`n` above 1). */
export const firstChoice = (chunk: JsonRecord): JsonRecord | undefined =>
  firstDefined(itemsOf(chunk["choices"]), (choice) => isRecord(choice) && isFirst(choice) ? choice : undefined)

/**
 * A second choice of a document with the tool calls of the same answer: Copilot splits Claude's answers this way. An
 * alternative answer (`n` above 1) has another index.
 */
export const toolCallsChoice = (document: JsonRecord, first: JsonRecord): JsonRecord | undefined =>
  itemsOf(document["choices"]).filter(isRecord).find((choice) =>
    choice !== first && isFirst(choice) && itemsOf(fieldsOf(choice["message"])["tool_calls"]).length > 0
  )

/**
 * The delta or message of a choice. Perplexity sends both: in a stream the message repeats the answer so far, and in a
 * document the delta is empty. `text` is the answer of a legacy completion.
 */
export const contentOf = (choice: JsonRecord, isDocument: boolean, hasDeltas: boolean): JsonRecord | undefined => {
  const delta = asRecord(choice["delta"])
  const message = isDocument || !hasDeltas ? asRecord(choice["message"]) : undefined
  const content = isDocument ? message ?? delta : delta ?? message
  if (content !== undefined) return content
  const text = asText(choice["text"])
  return text === undefined ? undefined : { content: text }
}

const envelopeNames = ["data", "result", "response", "output"]

/** The completion in a document: some servers wrap it in a list, some gateways in an object. */
export const completionOf = (value: unknown): unknown => {
  const document: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value
  if (!isRecord(document) || Array.isArray(document["choices"])) return document
  return envelopeNames.map((name) => fieldsOf(document[name])).find((inner) => Array.isArray(inner["choices"])) ??
    document
}

/** Joins the texts that `read` returns for the parts of a list. */
const joinParts = (parts: unknown, read: (part: JsonRecord) => string | undefined): string | undefined => {
  let text = ""
  for (const part of itemsOf(parts)) {
    if (isRecord(part)) text += read(part) ?? ""
  }
  return asText(text)
}

const partText = (part: JsonRecord): string | undefined => {
  const type = part["type"]
  return type === "text" || type === "output_text" || type === undefined ? asText(part["text"]) : undefined
}

/** Mistral's `thinking` is a text or parts; Databricks' `reasoning` has a `summary` of parts. */
const partReasoning = (part: JsonRecord): string | undefined => {
  if (part["type"] === "thinking") return reasoningText(part["thinking"])
  if (part["type"] !== "reasoning") return undefined
  return reasoningText(part["summary"]) ?? reasoningText(part["reasoning"]) ?? asText(part["text"])
}

const reasoningTextNames = ["text", "thinking", "content", "summary", "reasoning_text", "reasoningText"]

/** Reasoning as a text, as an object with the text in it (Bedrock through gateways), or as a list of either. */
const reasoningText = (value: unknown, depth = 4): string | undefined => {
  if (typeof value === "string") return asText(value)
  if (depth === 0) return undefined
  if (isRecord(value)) return firstDefined(reasoningTextNames, (name) => reasoningText(value[name], depth - 1))
  return asText(itemsOf(value).map((item) => reasoningText(item, depth - 1) ?? "").join(""))
}

/** The text in a delta. */
export const textOf = (delta: JsonRecord): string | undefined => {
  const content = delta["content"]
  if (typeof content === "string") return asText(content)
  const parts = isRecord(content) ? [content] : itemsOf(content)
  return joinParts(parts.map((part) => typeof part === "string" ? { text: part } : part), partText)
}

/** The text of an entry of OpenRouter's `reasoning_details`. Encrypted entries have none. */
const detailText = (part: JsonRecord): string | undefined => asText(part["text"]) ?? asText(part["summary"])

/** The members that hold reasoning. */
export const reasoningNames: ReadonlyArray<string> = [
  "reasoning_content",
  "reasoning",
  "reasoning_text",
  "reasoningContent",
  "reasoningText",
  "thinking"
]

/** The reasoning in a delta. Some servers repeat it under a second name, so only the first non-empty member is read. */
export const reasoningOf = (delta: JsonRecord): string | undefined =>
  firstDefined(reasoningNames, (name) => reasoningText(delta[name])) ??
    joinParts(delta["content"], partReasoning) ??
    joinParts(delta["reasoning_details"], detailText) ??
    joinParts(delta["thinking_blocks"], (block) => asText(block["thinking"]))

/** The refusal in a delta. */
export const refusalOf = (delta: JsonRecord): string | undefined =>
  asText(delta["refusal"]) ??
    joinParts(delta["content"], (part) => part["type"] === "refusal" ? asText(part["refusal"]) : undefined)

/** Text unchanged, other values as JSON. Throws for a value that is nested too deeply. */
const toArgumentsText = (value: unknown): string => {
  if (typeof value === "string") return value
  return value === null || value === undefined ? "" : JSON.stringify(value)
}

const callMembers = new Set(["index", "id", "type", "function", "custom", "name", "arguments", "parameters", "input"])

const toToolCallDelta = (call: JsonRecord): ServerToolCallDelta => {
  const fn = asRecord(call["function"]) ?? asRecord(call["custom"]) ?? call
  const extra = Object.entries(call).filter(([name, value]) => !callMembers.has(name) && hasContent(value))
  return {
    index: asCount(call["index"]),
    id: asText(typeof call["id"] === "number" ? String(call["id"]) : call["id"])?.slice(0, maxNameLength),
    name: asText(fn["name"])?.slice(0, maxNameLength),
    arguments: toArgumentsText(fn["arguments"] ?? fn["parameters"] ?? fn["input"]),
    extra: extra.length === 0 ? undefined : Object.fromEntries(extra)
  }
}

/** The maximum length of an id, a name or a finish reason, in characters. The rest is dropped. */
export const maxNameLength = 1024

/** Whether a value is more than null, an empty text, an empty list or an empty object. */
export const hasContent = (value: unknown): boolean =>
  typeof value === "object" && value !== null
    ? Object.keys(value).length > 0
    : value !== null && value !== undefined && value !== ""

/** The tool calls in a delta: a list, or a single one. */
export const toolCallsOf = (delta: JsonRecord): ReadonlyArray<ServerToolCallDelta> => {
  const calls = delta["tool_calls"]
  return (isRecord(calls) ? [calls] : itemsOf(calls)).filter(isRecord).map(toToolCallDelta)
}

/** The deprecated `function_call` in a delta. */
export const functionCallOf = (content: JsonRecord): ServerToolCallDelta | undefined => {
  const call = asRecord(content["function_call"])
  if (call === undefined) return undefined
  const delta = toToolCallDelta(call)
  return delta.name === undefined && delta.arguments === "" ? undefined : delta
}

/** The members of a chunk that contain usage. Some gateways to Gemini keep its names. */
export const usageNames: ReadonlyArray<string> = ["usage", "usageMetadata", "usage_metadata"]

/** The usage in a chunk, wherever the server puts it: Moonshot on the choice, Groq under `x_groq`. */
export const usageOf = (chunk: JsonRecord, choice: JsonRecord | undefined): Usage | undefined => {
  const usage = firstDefined(usageNames, (name) => asRecord(chunk[name])) ?? asRecord(choice?.["usage"]) ??
    asRecord(fieldsOf(chunk["x_groq"])["usage"]) ?? asRecord(fieldsOf(choice?.["delta"])["usage"])
  return usage === undefined || Object.keys(usage).length === 0 ? undefined : toUsage(usage)
}

/** Combines an earlier and a later usage of one answer: some servers send input and output counts in separate chunks. */
export const mergeUsage = (earlier: Usage, later: Usage): Usage => {
  const { cachedTokens, inputTokens } = later.inputTokens === 0 ? earlier : later
  const { outputTokens, reasoningTokens } = later.outputTokens === 0 ? earlier : later
  if (inputTokens === later.inputTokens && outputTokens === later.outputTokens) return later
  return {
    ...(later.totalTokens === 0 ? earlier : later),
    inputTokens,
    cachedTokens,
    outputTokens,
    reasoningTokens,
    totalTokens: Math.max(earlier.totalTokens, later.totalTokens, inputTokens + outputTokens)
  }
}

/** The server's finish reason of a choice: a text, or an object with a `type` in SGLang's own protocol. */
export const finishReasonOf = (choice: JsonRecord): string | undefined => {
  const reason = choice["finish_reason"]
  return asString(isRecord(reason) ? reason["type"] : reason)?.slice(0, maxNameLength)
}

/**
 * The text of a chunk that adds nothing else to the answer, once a chunk that differs only in its text was read. Undefined
 * for other chunks.
 */
export const plainTextOf = (chunk: JsonRecord): string | undefined => {
  const choice = itemsOf(chunk["choices"]).length === 1 ? firstChoice(chunk) : undefined
  const delta = asRecord(choice?.["delta"])
  const reason = choice && asText(finishReasonOf(choice))
  if (choice === undefined || delta === undefined || (reason !== undefined && reason !== "null")) return undefined
  const hasOtherContent =
    Object.entries(delta).some(([name, value]) =>
      name !== "content" && typeof value === "object" && hasContent(value)
    ) || hasContent(choice["logprobs"]) || usageOf(chunk, choice) !== undefined ||
    reasoningOf(delta) !== undefined || refusalOf(delta) !== undefined
  return hasOtherContent ? undefined : asText(delta["content"])
}

const countOf = (fields: unknown, ...names: ReadonlyArray<string>): number | undefined =>
  firstDefined(names, (name) => asCount(fieldsOf(fields)[name]))

const toUsage = (raw: JsonRecord): Usage => {
  const input = countOf(raw, "prompt_tokens", "input_tokens", "promptTokenCount") ?? 0
  // Gemini's count of candidate tokens does not include thoughts.
  const thoughtTokens = countOf(raw, "thoughtsTokenCount") ?? 0
  const outputTokens = countOf(raw, "completion_tokens", "output_tokens") ??
    (countOf(raw, "candidatesTokenCount") ?? 0) + thoughtTokens
  const total = countOf(raw, "total_tokens", "totalTokenCount")
  const inputDetails = asRecord(raw["prompt_tokens_details"]) ?? raw["input_tokens_details"]
  const outputDetails = asRecord(raw["completion_tokens_details"]) ?? raw["output_tokens_details"]
  const reasoningTokens = countOf(outputDetails, "reasoning_tokens") ?? countOf(raw, "reasoning_tokens") ??
    thoughtTokens
  const cacheRead = countOf(inputDetails, "cached_tokens", "cache_read_tokens", "cache_read_input_tokens") ??
    countOf(raw, "prompt_cache_hit_tokens", "cache_read_input_tokens", "cached_tokens", "cachedContentTokenCount") ?? 0
  const cacheTotal = cacheRead + (countOf(raw, "cache_creation_input_tokens", "cache_write_input_tokens") ?? 0)
  // Anthropic's input tokens exclude cached ones, and some gateways forward that count. OpenAI's include them.
  const isAnthropic = "cache_read_input_tokens" in raw && (cacheRead > input || !("prompt_tokens" in raw))
  const excludesCached = cacheTotal > 0 && (isAnthropic || total === input + outputTokens + cacheTotal)
  const inputTokens = excludesCached ? input + cacheTotal : input
  // xAI's output tokens exclude reasoning.
  const sum = inputTokens + outputTokens + (reasoningTokens > outputTokens ? reasoningTokens : 0)
  return {
    inputTokens,
    outputTokens,
    totalTokens: total === undefined ? sum : excludesCached ? Math.max(total, inputTokens + outputTokens) : total,
    reasoningTokens,
    cachedTokens: cacheRead,
    estimated: false,
    raw
  }
}

/** The finish reasons of servers, in lower case. `error` means that the answer is incomplete. */
const finishReasons: ReadonlyArray<readonly [FinishReason, string]> = [
  [
    "stop",
    `stop eos eos_token eos_token_id end end_turn stop_sequence stop_token stop_str stop_word matched_stop im_end eot_id
     endoftext end_of_text complete completed finished success`
  ],
  [
    "length",
    "length max_tokens max_output_tokens max_length model_length context_length model_context_window_exceeded"
  ],
  ["tool-calls", "tool_calls tool_call tool_use function_call"],
  [
    "content-filter",
    `content_filter content_filtered safety sensitive recitation prohibited_content blocklist guardrail_intervened
     refusal spii language image_safety error_toxic`
  ],
  [
    "error",
    `error abort aborted cancel canceled cancelled fail failed failure network_error timeout server_error internal_error
     insufficient_system_resource repetition_truncation overloaded engine_overloaded malformed_function_call
     function_call_filter unexpected_tool_call too_many_tool_calls malformed_response malformed_tool_call
     invalid_tool_call tool_call_error missing_thought_signature no_image image_other`
  ]
]

/** Other finish reasons that name a failure, by their first or last word. */
const failureWord =
  /(?:^|_)(?:error|failure|failed|exception|exhausted|unavailable|overloaded|abort(?:ed)?|limited)$|^rate_limit/

/** A reason in lower case with `_` between its words: `tool_use` for `toolUse`, `stop` for `FinishReason.STOP`. */
const normalizeReason = (raw: string): string =>
  // Gemini adds details after a colon: "content_filter: PROHIBITED_CONTENT".
  raw.replace(/:.*/s, "").replace(/([a-z])([A-Z])/g, "$1_$2").toLowerCase().replace(/[^a-z\d]+/g, "_")
    .replace(/^_?(?:finish_reason_)?|_$/g, "")

/** The {@link FinishReason} for a server's finish reason. */
export const toFinishReason = (raw: string): FinishReason => {
  const reason = normalizeReason(raw)
  const known = finishReasons.find(([, names]) => names.split(/\s+/).includes(reason))?.[0]
  return known ?? (failureWord.test(reason) ? "error" : "other")
}
