/**
 * Helpers for the tests of turns with tools: tools, scripted answers, and the sent messages.
 */
import { Chunk, Effect, Option, Schema, Stream } from "effect"
import {
  type ChatError,
  type ChatEvent,
  type ChatMessage,
  type ChatResponse,
  LLMChat,
  type LLMConfig,
  Tool,
  ToolSet,
  type Turn
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"
import { options } from "./chats.ts"

/** A chat whose requests have calls and results unchanged. */
export const makeChat = (more?: Partial<LLMConfig.Options>, also?: LLMChat.Options) =>
  LLMChat.make(options({ wire: { toolHistory: "calls" }, ...more }), also)

/** A tool without parameters. */
export const tool = <A, E>(name: string, handler: Effect.Effect<A, E>) =>
  Tool.make({ name, parameters: {}, handler: () => handler })

/** A tool that repeats its input, and the inputs of its calls. */
export const echo = (calls: Array<string> = [], more: { readonly needsApproval?: boolean } = {}) =>
  Tool.make({
    name: "echo",
    parameters: { text: Schema.optional(Schema.String) },
    ...more,
    handler: ({ text = "" }, { callId }) =>
      Effect.sync(() => {
        calls.push(callId)
        return `echo ${text}`
      })
  })

/** A tool whose calls need an approval. */
export const pay = (calls: Array<string> = []) =>
  Tool.make({
    name: "pay",
    parameters: { amount: Schema.Number },
    needsApproval: true,
    handler: ({ amount }, { callId }) =>
      Effect.sync(() => {
        calls.push(callId)
        return `paid ${amount}`
      })
  })

/** A ToolSet of valid tools. */
export const setOf = (...tools: ReadonlyArray<Tool.Provided>): Effect.Effect<ToolSet.ToolSet> =>
  Effect.orDie(ToolSet.make(tools))

const { toolCalls, tokens } = ScriptedHttpClient

/** An answer that calls tools. */
export const calls = (
  ...list: ReadonlyArray<ScriptedHttpClient.ScriptedToolCall>
): ScriptedHttpClient.ScriptedResponse => toolCalls(list)

/** An answer that is a text. */
export const says = (text: string): ScriptedHttpClient.ScriptedResponse => tokens([text])

/** The events of a turn. */
export const eventsOf = (
  chat: LLMChat.Service,
  input: Turn.Input,
  options: Turn.Options
): Effect.Effect<ReadonlyArray<ChatEvent.ChatEvent>, ChatError.ChatError> =>
  Effect.map(Stream.runCollect(chat.chatEvents(input, options)), Chunk.toReadonlyArray)

/** The response of a turn, with or without a stream. */
export const respond = (
  chat: LLMChat.Service,
  form: "complete" | "streamed",
  input: Turn.Input,
  options: Turn.Options
): Effect.Effect<ChatResponse.ChatResponse, ChatError.ChatError> =>
  form === "complete" ? chat.chat(input, options) : Effect.flatMap(
    Stream.runLast(chat.chatEvents(input, options)),
    (last) =>
      Option.isSome(last) && last.value._tag === "Finish"
        ? Effect.succeed(last.value.response)
        : Effect.dieMessage("the stream ended without Finish")
  )

/** The tags of events, without deltas. */
export const tags = (events: ReadonlyArray<ChatEvent.ChatEvent>): ReadonlyArray<string> =>
  events.flatMap((event) => {
    switch (event._tag) {
      case "ToolStart":
      case "ApprovalRequest":
        return [`${event._tag} ${event.name}`]
      case "ToolResult":
        return [`ToolResult ${event.name} ${event.outcome}`]
      case "StepFinish":
        return [`StepFinish ${event.step}`]
      case "Finish":
        return [`Finish ${event.reason}`]
      default:
        return []
    }
  })

/** A member of a request's body. */
export const member = (request: ScriptedHttpClient.CapturedRequest | undefined, name: string): unknown => {
  const body: unknown = request?.body
  return typeof body === "object" && body !== null ? Reflect.get(body, name) : undefined
}

/** Whether each call of a history has one result, and each result a call before it. Calls at the end may be open. */
export const isPaired = (messages: ReadonlyArray<ChatMessage.ChatMessage>): boolean => {
  let open: ReadonlyArray<string> = []
  for (const message of messages) {
    if (message.role === "tool") {
      if (!open.includes(message.toolCallId)) return false
      open = open.filter((id) => id !== message.toolCallId)
    } else {
      if (open.length > 0) return false
      if (message.role === "assistant") open = (message.toolCalls ?? []).map(({ id }) => id)
    }
  }
  return open.length === 0
}
