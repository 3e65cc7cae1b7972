/**
 * Imports and exports conversations. Imports read this library's JSON and messages in the formats of OpenAI's APIs.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import { type ConflictError, type HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { ChatMessage } from "../../ChatMessage.ts"
import { ConversationData } from "../../ConversationData.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Service } from "../../StoredConversation.ts"
import { issueOf } from "../issue.ts"
import { asString, defined, fieldsOf, isRecord, type JsonRecord } from "../json.ts"
import * as ConversationSettings from "./conversationSettings.ts"
import { notStored } from "./errors.ts"
import { fromMessages } from "./turns.ts"

const decodeData = Schema.decodeUnknown(ConversationData)
const decodeMessages = Schema.decodeUnknown(Schema.Array(ChatMessage))

/** Converts a content part of OpenAI's APIs. Returns other parts unchanged. */
const toPart = (part: unknown): unknown => {
  const json = fieldsOf(part)
  const image = fieldsOf(json["image_url"])
  const file = fieldsOf(json["file"])
  switch (json["type"]) {
    case "image_url":
      return defined({ type: "image", url: image["url"], detail: image["detail"] })
    case "input_text":
    case "output_text":
      return { type: "text", text: json["text"] }
    case "input_image":
      return defined({ type: "image", url: json["image_url"], detail: json["detail"] })
    case "input_audio":
      return { type: "audio", ...fieldsOf(json["input_audio"]) }
    case "file":
      return "file" in json
        ? defined({ type: "file", fileId: file["file_id"], filename: file["filename"], data: file["file_data"] })
        : part
    default:
      return part
  }
}

/** Joins the texts of parts. Only user messages can have parts that are not text. */
const toText = (content: unknown): unknown =>
  Array.isArray(content)
    ? content.map((part) => asString(fieldsOf(part)["text"]) ?? "").join("")
    : content ?? ""

const toCall = (call: unknown): unknown => {
  const json = fieldsOf(call)
  const { arguments: args, name } = fieldsOf(json["function"])
  return { id: json["id"] ?? "", name, arguments: isRecord(args) ? JSON.stringify(args) : args ?? "" }
}

/** The calls of a message. In OpenAI's older format, a message has one call without an id: the function name is the id. */
const toCalls = (calls: unknown, call: unknown): unknown => {
  if (Array.isArray(calls)) return calls.map(toCall)
  return isRecord(call) ? [toCall({ id: call["name"], function: call })] : undefined
}

/** Converts a message of OpenAI's APIs. Keeps members that are already in this library's format. */
const toMessage = (message: unknown): unknown => {
  if (!isRecord(message)) return message
  const { content, function_call, reasoning_content, role, tool_call_id, tool_calls, ...rest } = message
  switch (role) {
    case "developer":
    case "system":
      return { role: "system", content: toText(content) }
    case "user":
      return { ...rest, role, content: Array.isArray(content) ? content.map(toPart) : content }
    case "assistant":
      return withoutNulls({
        ...rest,
        role,
        content: toText(content),
        reasoning: rest["reasoning"] ?? reasoning_content,
        toolCalls: toCalls(tool_calls, function_call) ?? rest["toolCalls"]
      })
    case "function":
      return { role: "tool", content: toText(content), toolCallId: rest["name"] }
    case "tool":
      return { ...rest, role, content: toText(content), toolCallId: rest["toolCallId"] ?? tool_call_id }
    default:
      return message
  }
}

const withoutNulls = (json: JsonRecord): JsonRecord =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null && value !== undefined))

/** Makes a conversation of messages. The system messages at the beginning become the system prompt. */
const conversationOf = (json: ReadonlyArray<unknown>) =>
  Effect.map(decodeMessages(json.map(toMessage)), (all): ConversationData => {
    const index = all.findIndex(({ role }) => role !== "system")
    const count = index === -1 ? all.length : index
    const prompt = all.slice(0, count).flatMap((message) => message.role === "system" ? [message.content] : []).join(
      "\n\n"
    )
    const messages = all.slice(count)
    const turns = fromMessages(messages)
    return {
      ...(count === 0 ? {} : { systemPrompt: prompt }),
      turns: turns.map(({ start }, index) => ({ messages: messages.slice(start, turns[index + 1]?.start) }))
    }
  })

/** Accepts this library's JSON, a list of messages, or an object with `messages`. */
const toData = (data: unknown) => {
  if (Array.isArray(data)) return conversationOf(data)
  const { messages } = fieldsOf(data)
  return Array.isArray(messages) ? conversationOf(messages) : decodeData(data)
}

/** Creates a conversation from imported data. Fails with `ConflictError` if the conversation exists. */
export const importData = (
  store: Service,
  id: string,
  json: unknown,
  defaults: LLMConfig
): Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError> =>
  Effect.gen(function*() {
    const data = yield* Effect.mapError(toData(json), (cause) => {
      const { message, path } = issueOf(cause)
      return notImported(`${path.length === 0 ? "" : `${path.map(String).join(".")}: `}${message}`, cause)
    })
    const { settings: imported = {}, systemPrompt = "", turns, ...rest } = data
    const seen = new Set<string>()
    const duplicate = turns.find(({ turnId }) => turnId !== undefined && seen.size === seen.add(turnId).size)?.turnId
    if (duplicate !== undefined) {
      return yield* notImported(`turns: ${JSON.stringify(duplicate)} is the id of more than one turn`, undefined)
    }
    const isEmpty = systemPrompt === "" && data.systemPrompt !== undefined
    const choices = ConversationSettings.fromStored({
      settings: isEmpty ? { ...imported, systemPrompt } : imported,
      systemPrompt
    })
    yield* Either.mapLeft(
      ConversationSettings.resolve(id, choices, { base: defaults, defaults }),
      (cause) => notImported("the settings are invalid", cause)
    )
    yield* store.commit({
      ...rest,
      id,
      expected: { version: 0 },
      turns: turns.filter(({ messages }) => messages.length > 0),
      systemPrompt: choices.ownPrompt,
      settings: choices.settings
    })
  })

const notImported = (message: string, cause: unknown): InvalidRequestError =>
  new InvalidRequestError({ message: `The conversation cannot be imported: ${message}`, cause })

export const exportData = (store: Service, id: string): Effect.Effect<ConversationData, HistoryStoreError> =>
  Effect.flatMap(store.load(id), (found) => {
    if (Option.isNone(found)) return Effect.fail(notStored(id))
    const { owner, summary, title, turns, usage, ...stored } = found.value
    const { ownPrompt, settings: { systemPrompt, ...settings } } = ConversationSettings.fromStored(stored)
    return Effect.succeed(defined<ConversationData>({
      turns: turns.map(({ createdAt, turnId, start }, index) => ({
        turnId,
        createdAt,
        messages: stored.messages.slice(start, turns[index + 1]?.start)
      })),
      systemPrompt: ownPrompt !== "" || systemPrompt === "" ? ownPrompt : undefined,
      settings,
      summary,
      usage,
      title,
      owner
    }))
  })
