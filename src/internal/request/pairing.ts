/**
 * Pairs tool calls with their results: each call is followed by one result, and each result has a call.
 */
import {
  type AssistantMessage,
  type ChatMessage,
  type ContentPart,
  text,
  type ToolMessage,
  user
} from "../../ChatMessage.ts"
import type { ToolCall } from "../../ChatResponse.ts"
import type { Wire } from "../../Provider.ts"
import { isRecord, parseJson, toJsonText, wellFormed } from "../json.ts"
import * as CallIds from "./callIds.ts"

/** The result for a call without one. */
const notRun = "This tool call was not run."

/** Replaces a blank result, which servers refuse. */
const noOutput = "(no output)"

/** A call and its result, if it has one. */
interface Pair {
  readonly call: ToolCall
  result?: ToolMessage
}

interface CallingMessage {
  readonly message: AssistantMessage
  readonly pairs: ReadonlyArray<Pair>
}

const isCallingMessage = (item: ChatMessage | CallingMessage): item is CallingMessage => "pairs" in item

/**
 * The messages with the results after their calls, in the order of the calls. A call without a result gets the result
 * {@link notRun}; a result without a call becomes a user message. Ids are unique, and names and arguments are valid. The
 * media of the results follow in one user message, because servers accept no media in a result.
 */
export const pair = (
  messages: ReadonlyArray<ChatMessage>,
  form: Wire["toolCallIds"],
  offered: ReadonlySet<string>
): ReadonlyArray<ChatMessage> => {
  const uniqueId = CallIds.make(form)
  return pairCalls(messages).flatMap((item): ReadonlyArray<ChatMessage> => {
    if (!isCallingMessage(item)) return [item]
    const results: Array<ToolMessage> = []
    const media: Array<ContentPart> = []
    const toolCalls = item.pairs.map(({ call, result }) => {
      const id = uniqueId(call.id)
      const content = result?.content ?? notRun
      results.push({ role: "tool", toolCallId: id, content: content.trim() === "" ? noOutput : content })
      if (result?.media?.length) media.push(text(`The media of the result of ${call.name} (${id}):`), ...result.media)
      return { ...call, id, name: acceptedName(call.name, offered), arguments: toArguments(call.arguments) }
    })
    return [{ ...item.message, toolCalls }, ...results, ...(media.length === 0 ? [] : [user(media)])]
  })
}

/** The calls of one message that share an id. Their results are in the same order. */
interface CallGroup {
  readonly pairs: Array<Pair>
  readonly results: Set<string>
  answered: number
}

/** Adds results to their calls. A result belongs to the last message that has a call with its id: ids may be used again. */
const pairCalls = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage | CallingMessage> => {
  const items: Array<ChatMessage | CallingMessage> = []
  const groups = new Map<string, CallGroup>()
  for (const message of messages) {
    if (message.role === "assistant" && message.toolCalls?.length) {
      const pairs = message.toolCalls.map((call): Pair => ({ call }))
      for (const { call } of pairs) groups.delete(call.id)
      for (const pair of pairs) {
        const group = groups.get(pair.call.id)
        if (group === undefined) groups.set(pair.call.id, { pairs: [pair], results: new Set(), answered: 0 })
        else group.pairs.push(pair)
      }
      items.push({ message, pairs })
    } else if (message.role === "tool") {
      const result = addResult(groups.get(message.toolCallId), message)
      if (result !== undefined) items.push(result)
    } else items.push(message)
  }
  return items
}

/** Adds a result to the next call without one. Returns a user message if there is none, unless the result is repeated. */
const addResult = (group: CallGroup | undefined, message: ToolMessage): ChatMessage | undefined => {
  const { content } = message
  const unanswered = group?.pairs[group.answered]
  if (group === undefined || (unanswered === undefined && !group.results.has(content))) {
    return { role: "user", content: resultText(group?.pairs[0]?.call.name, content) }
  }
  if (unanswered !== undefined) {
    unanswered.result = message
    group.answered++
    group.results.add(content)
  }
  return undefined
}

const resultText = (name: string | undefined, content: string): string =>
  `The result of ${name ? `the tool ${name}` : "a tool"}: ${content}`

/** A name that servers accept. Models can call a tool by any name; names of offered tools are kept. */
const acceptedName = (name: string, offered: ReadonlySet<string>): string =>
  offered.has(name) ? name : name.trim().replace(/[^\w-]/g, "_").slice(0, 64) || "unknown"

/** Arguments as a JSON object, because servers parse them. Other values are wrapped in an object. */
const toArguments = (text: string): string => {
  const parsed = text.trim() === "" ? { value: {} } : parseJson(text)
  if (parsed === undefined) return toJsonText({ arguments: text })
  const { value } = parsed
  if (isRecord(value)) return text.trim() === "" ? "{}" : wellFormed(text)
  return typeof value === "string" ? toArguments(value) : toJsonText(value === null ? {} : { arguments: value })
}

/** The messages with calls and results as text, for servers that refuse them in a request without tools. */
export const callsAsText = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> => {
  const names = new Map<string, string>()
  return messages.map((message): ChatMessage => {
    if (message.role === "tool") {
      return { role: "user", content: resultText(names.get(message.toolCallId), message.content) }
    }
    if (message.role !== "assistant" || !message.toolCalls?.length) return message
    const { opaque: _opaque, toolCalls, ...rest } = message
    const lines = toolCalls.map((call) => {
      names.set(call.id, call.name)
      return `Called the tool ${call.name} with ${call.arguments}`
    })
    return { ...rest, content: [message.content, ...lines].filter((text) => text.trim() !== "").join("\n\n") }
  })
}
