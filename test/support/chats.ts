/**
 * Helpers for the tests of conversations: scripted answers, transcripts and requests.
 */
import { type HttpClient } from "@effect/platform"
import { Effect } from "effect"
import { type ChatError, type ChatMessage, type LLMChat, type LLMConfig } from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"

/** The settings of a conversation with a scripted server. */
export const options = (more?: Partial<LLMConfig.Options>): LLMConfig.Options => ({
  baseUrl: "http://scripted.test/v1",
  model: "m",
  systemPrompt: "S",
  maxRetries: 0,
  ...more
})

/** A `usage` object as servers send it. */
export const usage = (input: number, output: number) => ({
  prompt_tokens: input,
  completion_tokens: output,
  total_tokens: input + output
})

/** A complete answer without a stream. */
export const answer = (content: string, more?: object): ScriptedHttpClient.ScriptedResponse =>
  ScriptedHttpClient.json({
    id: "chatcmpl-scripted",
    object: "chat.completion",
    model: "scripted",
    choices: [{ index: 0, message: { role: "assistant", content }, finish_reason: "stop" }],
    ...more
  })

/** Answers that repeat the last user message, as a document or as a stream of its words. */
export const echo = (
  more?: ScriptedHttpClient.TokensOptions
): (request: ScriptedHttpClient.CapturedRequest) => ScriptedHttpClient.ScriptedResponse =>
(request) => {
  const said = `re ${sent(request).at(-1)?.replace(/^user: /, "")}`
  return streams(request) ? ScriptedHttpClient.tokens(said.split(/(?<= )/), more) : answer(said)
}

const member = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined

/** Whether a request asks for a stream. */
export const streams = (request: ScriptedHttpClient.CapturedRequest): boolean => member(request.body, "stream") === true

/** The messages of a request, one per line. */
export const sent = (request: ScriptedHttpClient.CapturedRequest | undefined): ReadonlyArray<string> => {
  const messages = member(request?.body, "messages")
  return Array.isArray(messages)
    ? messages.map((message) => `${String(member(message, "role"))}: ${String(member(message, "content"))}`)
    : []
}

/** Messages, one per line. Truncated answers are marked. */
export const lines = (messages: ReadonlyArray<ChatMessage.ChatMessage>): ReadonlyArray<string> =>
  messages.map((message) => {
    const content = typeof message.content === "string" ? message.content : JSON.stringify(message.content)
    const isCut = message.role === "assistant" && message.finishReason === "interrupted"
    return `${message.role}: ${content}${isCut ? " [interrupted]" : ""}`
  })

/** The answer of `echo` to a prompt. Earlier prompts without an answer are in the same message. */
export const echoOf = (history: ReadonlyArray<string>, prompt: string): string => {
  const prompts = [prompt]
  for (let at = history.length - 1; /^assistant: +(?:\[interrupted\])?$/.test(history[at] ?? ""); at -= 2) {
    prompts.unshift((history[at - 1] ?? "").replace("user: ", ""))
  }
  return `re ${prompts.join("\n\n")}`
}

/** The history, one message per line. */
export const transcript = (chat: LLMChat.Service): Effect.Effect<ReadonlyArray<string>, ChatError.ChatError> =>
  Effect.map(chat.history, lines)

/** The pending requests and open bodies of the script. All 0 if nothing leaks. */
export const held: Effect.Effect<
  { readonly open: number; readonly pending: number; readonly unread: number },
  never,
  ScriptedHttpClient.ScriptedHttpClient
> = Effect.flatMap(
  ScriptedHttpClient.ScriptedHttpClient,
  (script) => Effect.all({ open: script.openBodies, pending: script.pendingRequests, unread: script.unreadBodies })
)

/** The value of `held` if nothing leaks. */
export const nothing = { open: 0, pending: 0, unread: 0 }

/** All requests so far. */
export const requests: Effect.Effect<
  ReadonlyArray<ScriptedHttpClient.CapturedRequest>,
  never,
  ScriptedHttpClient.ScriptedHttpClient
> = Effect.flatMap(ScriptedHttpClient.ScriptedHttpClient, (script) => script.requests)

/** Runs a test's program with a scripted server. */
export const withScript = (script: ScriptedHttpClient.Script) =>
<A, E, R>(
  program: Effect.Effect<A, E, R>
): Effect.Effect<A, E, Exclude<R, HttpClient.HttpClient | ScriptedHttpClient.ScriptedHttpClient>> =>
  Effect.provide(program, ScriptedHttpClient.layer(script))
