import type { ChatRequest } from "../LocalRequest.ts"
import { sampleJson } from "./jsonSample.ts"

/** The content of an answer, before it is sent in one piece or as a stream. */
export interface Completion {
  readonly content: string
  readonly toolCall: { readonly id: string; readonly name: string; readonly arguments: string } | undefined
  readonly finishReason: "stop" | "length" | "tool_calls"
  /** The content, or the arguments of the tool call, in the pieces that are streamed. */
  readonly pieces: ReadonlyArray<string>
  readonly promptTokens: number
}

/** The members that differ between answers and are the same in all chunks of one. */
export interface Envelope {
  readonly id: string
  readonly created: number
  readonly model: string
}

const unspaced = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}\\p{Script=Hangul}"
const token = new RegExp(`\\s*(?:[${unspaced}]|[^\\s${unspaced}]{1,12})|\\s+$`, "gu")

/**
 * The tokens of a text: a word with the space before it, in pieces of at most 12 characters, or one character of a
 * script that has no spaces. Joined they are the text.
 */
export const tokenize = (text: string): ReadonlyArray<string> => text.match(token) ?? []

export const complete = (request: ChatRequest, answer: (request: ChatRequest) => string): Completion => {
  const promptTokens = request.messages.reduce((total, message) => total + tokenize(message.content).length, 0)
  const called = calledTool(request)
  if (called !== undefined) {
    const { name, parameters } = called
    const text = sampleJson(parameters ?? { type: "object" })
    const pieces = text.match(/.{1,8}/gsu) ?? []
    const toolCall = { id: `call_${request.messages.length}`, name, arguments: text }
    return { content: "", toolCall, finishReason: "tool_calls", pieces, promptTokens }
  }
  const tokens = tokenize(untilStop(contentOf(request, answer), request.stop))
  const pieces = tokens.slice(0, request.maxTokens)
  const finishReason = pieces.length < tokens.length ? "length" : "stop"
  return { content: pieces.join(""), toolCall: undefined, finishReason, pieces, promptTokens }
}

/** A tool is called when the request demands it, and with `auto` when the last message of the user names one. */
const calledTool = ({ messages, toolChoice, tools }: ChatRequest) => {
  if (typeof toolChoice === "object") return tools.find((tool) => tool.name === toolChoice.name)
  if (toolChoice === "required") return tools[0]
  const last = messages.at(-1)
  return toolChoice === "auto" && last?.role === "user"
    ? tools.find((tool) => last.content.includes(tool.name))
    : undefined
}

const contentOf = (request: ChatRequest, answer: (request: ChatRequest) => string): string => {
  if (request.responseFormat === "text") return answer(request)
  return request.responseFormat === "json_object"
    ? JSON.stringify({ answer: answer(request) })
    : sampleJson(request.responseFormat.schema)
}

const untilStop = (text: string, stop: ReadonlyArray<string>): string => {
  const found = stop.map((sequence) => sequence === "" ? -1 : text.indexOf(sequence)).filter((index) => index >= 0)
  return found.length === 0 ? text : text.slice(0, Math.min(...found))
}

const usage = ({ pieces, promptTokens }: Completion) => ({
  prompt_tokens: promptTokens,
  completion_tokens: pieces.length,
  total_tokens: promptTokens + pieces.length
})

/** The body of an answer in one piece. */
export const toJson = (completion: Completion, { created, id, model }: Envelope): string => {
  const { content, finishReason, toolCall } = completion
  const message = toolCall === undefined ? { role: "assistant", content, refusal: null } : {
    role: "assistant",
    content: null,
    refusal: null,
    tool_calls: [{
      id: toolCall.id,
      type: "function",
      function: { name: toolCall.name, arguments: toolCall.arguments }
    }]
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

/** A streamed answer: the event before the pieces, the event of one piece, and the events after the last. */
export interface Events {
  readonly head: string
  readonly piece: (text: string) => string
  readonly tail: string
}

export const toEvents = (completion: Completion, { created, id, model }: Envelope, includeUsage: boolean): Events => {
  const { finishReason, toolCall } = completion
  const shared = { id, object: "chat.completion.chunk", created, model, system_fingerprint: "effect-chat-local" }
  const start = `data: ${JSON.stringify(shared).slice(0, -1)},"choices":`
  const end = includeUsage ? ",\"usage\":null}\n\n" : "}\n\n"
  const chunk = (delta: string, finish = "null") =>
    `${start}[{"index":0,"delta":${delta},"logprobs":null,"finish_reason":${finish}}]${end}`
  const finish = chunk("{}", JSON.stringify(finishReason))
  const last = includeUsage ? `${start}[],"usage":${JSON.stringify(usage(completion))}}\n\n` : ""
  const call = toolCall === undefined ? undefined : {
    index: 0,
    id: toolCall.id,
    type: "function",
    function: { name: toolCall.name, arguments: "" }
  }
  return {
    head: chunk(JSON.stringify(
      call === undefined ?
        { role: "assistant", content: "", refusal: null } :
        { role: "assistant", content: null, tool_calls: [call] }
    )),
    piece: call === undefined
      ? (text) => chunk(`{"content":${JSON.stringify(text)}}`)
      : (text) => chunk(`{"tool_calls":[{"index":0,"function":{"arguments":${JSON.stringify(text)}}}]}`),
    tail: `${finish}${last}data: [DONE]\n\n`
  }
}
