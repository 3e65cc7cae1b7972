/**
 * Computes the answers of a `LocalServer`, and converts them to JSON and server-sent events.
 */
import type { Answer, ChatRequest, ErrorAnswer, ToolCallsAnswer } from "../LocalRequest.ts"
import { sampleJson } from "./jsonSample.ts"
import { recall } from "./recall.ts"

/** The content of an answer, before it is sent as a document or as a stream. */
export interface Completion {
  readonly content: string
  readonly toolCalls: ReadonlyArray<{ readonly id: string; readonly name: string; readonly arguments: string }>
  readonly finishReason: "stop" | "length" | "tool_calls"
  /** The tokens of the content, or of the arguments of the last tool call. Each one is streamed in its own chunk. */
  readonly tokens: ReadonlyArray<string>
  readonly promptTokens: number
}

/** The members that are the same in all chunks of an answer. */
export interface Envelope {
  readonly id: string
  readonly created: number
  readonly model: string
}

const unspaced = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}"
const tokenPattern = new RegExp(`\\s*(?:[${unspaced}]|[^\\s${unspaced}]{1,12})|\\s+$`, "gu")

/**
 * The tokens of a text, which joined are the text. A token is a word of at most 12 characters with the space before it, or
 * one character of a script without spaces.
 */
export const tokenize = (text: string): ReadonlyArray<string> => text.match(tokenPattern) ?? []

/** The answer to a request: that of the program's `answer` function, else a tool call, else that of {@link recall}. */
export const complete = (
  request: ChatRequest,
  answer: ((request: ChatRequest) => Answer | undefined) | undefined
): Completion | ErrorAnswer => {
  const programAnswer = answer?.(request)
  if (typeof programAnswer === "object") {
    return "error" in programAnswer
      ? programAnswer
      : toolCallCompletion(request, programAnswer.toolCalls)
  }
  const called = programAnswer === undefined ? calledTool(request) : undefined
  if (called !== undefined) {
    const { name, parameters } = called
    return toolCallCompletion(request, [{ name, arguments: sampleJson(parameters ?? { type: "object" }) }])
  }
  const text = untilStop(programAnswer ?? defaultText(request), request.stop)
  const allTokens = tokenize(text)
  const tokens = allTokens.slice(0, request.maxTokens)
  const finishReason = tokens.length < allTokens.length ? "length" : "stop"
  return { content: tokens.join(""), toolCalls: [], finishReason, tokens, promptTokens: promptTokens(request) }
}

const promptTokens = ({ messages }: ChatRequest): number =>
  messages.reduce((total, message) => total + tokenize(message.content).length, 0)

const toolCallCompletion = (request: ChatRequest, calls: ToolCallsAnswer["toolCalls"]): Completion => {
  const messageCount = request.messages.length
  const toolCalls = calls.map(({ arguments: value = {}, name }, index) => ({
    id: `call_${index === 0 ? messageCount : `${messageCount}_${index}`}`,
    name,
    arguments: typeof value === "string" ? value : JSON.stringify(value)
  }))
  const tokens = (toolCalls.at(-1)?.arguments ?? "").match(/.{1,8}/gsu) ?? []
  return { content: "", toolCalls, finishReason: "tool_calls", tokens, promptTokens: promptTokens(request) }
}

/** The tool to call: one that the request requires, or with `auto` one that the last user message names. */
const calledTool = ({ messages, toolChoice, tools }: ChatRequest) => {
  if (typeof toolChoice === "object") return tools.find((tool) => tool.name === toolChoice.name)
  if (toolChoice === "required") return tools[0]
  const last = messages.at(-1)
  return toolChoice === "auto" && last?.role === "user"
    ? tools.find((tool) => last.content.includes(tool.name))
    : undefined
}

const defaultText = (request: ChatRequest): string => {
  if (request.responseFormat === "text") return recall(request)
  return request.responseFormat === "json_object"
    ? JSON.stringify({ answer: recall(request) })
    : sampleJson(request.responseFormat.schema)
}

const untilStop = (text: string, stop: ReadonlyArray<string>): string => {
  const indexes = stop.map((sequence) => sequence === "" ? -1 : text.indexOf(sequence)).filter((index) => index >= 0)
  return indexes.length === 0 ? text : text.slice(0, Math.min(...indexes))
}

const usage = ({ promptTokens, tokens }: Completion) => ({
  prompt_tokens: promptTokens,
  completion_tokens: tokens.length,
  total_tokens: promptTokens + tokens.length
})

/** The body of an answer without a stream. */
export const toJson = (completion: Completion, { created, id, model }: Envelope): string => {
  const { content, finishReason, toolCalls } = completion
  const message = toolCalls.length === 0 ? { role: "assistant", content, refusal: null } : {
    role: "assistant",
    content: null,
    refusal: null,
    tool_calls: toolCalls.map(({ arguments: text, id, name }) => ({
      id,
      type: "function",
      function: { name, arguments: text }
    }))
  }
  return JSON.stringify({
    id,
    object: "chat.completion",
    created,
    model,
    choices: [{ index: 0, message, logprobs: null, finish_reason: finishReason }],
    usage: usage(completion),
    system_fingerprint: "effect-chat-local"
  })
}

/** The events of a streamed answer: before the tokens, for one token, and after the tokens. */
export interface Events {
  readonly head: string
  readonly token: (text: string) => string
  readonly tail: string
}

export const toEvents = (completion: Completion, { created, id, model }: Envelope, includeUsage: boolean): Events => {
  const { finishReason, toolCalls } = completion
  const shared = { id, object: "chat.completion.chunk", created, model, system_fingerprint: "effect-chat-local" }
  const start = `data: ${JSON.stringify(shared).slice(0, -1)},"choices":`
  const end = includeUsage ? ",\"usage\":null}\n\n" : "}\n\n"
  const chunk = (delta: string, finish = "null") =>
    `${start}[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${end}`
  const finish = chunk("{}", JSON.stringify(finishReason))
  const last = includeUsage ? `${start}[],"usage":${JSON.stringify(usage(completion))}}\n\n` : ""
  const lastCall = toolCalls.length - 1
  // Only the arguments of the last call are streamed.
  const calls = toolCalls.map(({ arguments: text, id, name }, index) => ({
    index,
    id,
    type: "function",
    function: { name, arguments: index === lastCall ? "" : text }
  }))
  const isText = calls.length === 0
  return {
    head: chunk(JSON.stringify(
      isText ?
        { role: "assistant", content: "", refusal: null } :
        { role: "assistant", content: null, tool_calls: calls }
    )),
    token: isText
      ? (text) => chunk(`{"content":${JSON.stringify(text)}}`)
      : (text) => chunk(`{"tool_calls":[{"index":${lastCall},"function":{"arguments":${JSON.stringify(text)}}}]}`),
    tail: `${finish}${last}data: [DONE]\n\n`
  }
}
