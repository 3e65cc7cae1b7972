/**
 * Conversations in and out of a store: this library's JSON, and messages as OpenAI's API has them.
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
import { notStored } from "./errors.ts"
import * as Settings from "./settings.ts"
import { fromMessages } from "./turns.ts"

const decodeData = Schema.decodeUnknown(ConversationData)
const decodeMessages = Schema.decodeUnknown(Schema.Array(ChatMessage))

/** A part of OpenAI's as this library has it. Other parts stay as they are. */
const toPart = (part: unknown): unknown => {
  const json = fieldsOf(part)
  const image = fieldsOf(json["image_url"])
  const file = fieldsOf(json["file"])
  switch (json["type"]) {
    case "image_url":
      return defined({ type: "image", url: image["url"], detail: image["detail"] })
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

/** The texts of parts: only a user's message has others. */
const toText = (content: unknown): unknown =>
  Array.isArray(content)
    ? content.map((part) => asString(fieldsOf(part)["text"]) ?? "").join("")
    : content ?? ""

const toCall = (call: unknown): unknown => {
  const json = fieldsOf(call)
  const { arguments: args, name } = fieldsOf(json["function"])
  return { id: json["id"] ?? "", name, arguments: args ?? "" }
}

/** A message of OpenAI's as this library has it. One that has this library's members already keeps them. */
const toMessage = (message: unknown): unknown => {
  if (!isRecord(message)) return message
  const { content, reasoning_content, role, tool_call_id, tool_calls, ...rest } = message
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
        toolCalls: Array.isArray(tool_calls) ? tool_calls.map(toCall) : rest["toolCalls"]
      })
    case "tool":
      return { ...rest, role, content: toText(content), toolCallId: rest["toolCallId"] ?? tool_call_id }
    default:
      return message
  }
}

const withoutNulls = (json: JsonRecord): JsonRecord =>
  Object.fromEntries(Object.entries(json).filter(([, value]) => value !== null && value !== undefined))

/** A conversation of these messages. The system messages in front are its prompt. */
const ofMessages = (json: ReadonlyArray<unknown>) =>
  Effect.map(decodeMessages(json.map(toMessage)), (all): ConversationData => {
    const found = all.findIndex(({ role }) => role !== "system")
    const count = found === -1 ? all.length : found
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

/** This library's JSON, a list of messages, or an object that has one. */
const toData = (data: unknown) => {
  if (Array.isArray(data)) return ofMessages(data)
  const { messages } = fieldsOf(data)
  return Array.isArray(messages) ? ofMessages(messages) : decodeData(data)
}

/** Creates a conversation from the data of another program or store. Fails with `ConflictError` if it is stored. */
export const importData = (
  store: Service,
  id: string,
  json: unknown,
  defaults: LLMConfig
): Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError> =>
  Effect.gen(function*() {
    const data = yield* Effect.mapError(toData(json), (cause) => {
      const { message, path } = issueOf(cause)
      return refused(`${path.length === 0 ? "" : `${path.map(String).join(".")}: `}${message}`, cause)
    })
    const { settings: given = {}, systemPrompt = "", turns, ...rest } = data
    const isEmpty = systemPrompt === "" && data.systemPrompt !== undefined
    const choices = Settings.fromStored({ settings: isEmpty ? { ...given, systemPrompt } : given, systemPrompt })
    yield* Either.mapLeft(
      Settings.resolve(id, choices, { base: defaults, defaults }),
      (cause) => refused("the settings break their rules", cause)
    )
    yield* store.commit({
      ...rest,
      id,
      expected: { version: 0 },
      turns: turns.filter(({ messages }) => messages.length > 0),
      systemPrompt: choices.prompt,
      settings: choices.settings
    })
  })

const refused = (message: string, cause: unknown): InvalidRequestError =>
  new InvalidRequestError({ message: `The conversation cannot be imported: ${message}`, cause })

/** The stored conversation as JSON. */
export const exportData = (store: Service, id: string): Effect.Effect<ConversationData, HistoryStoreError> =>
  Effect.flatMap(store.load(id), (found) => {
    if (Option.isNone(found)) return Effect.fail(notStored(id))
    const { owner, summary, title, turns, usage, ...stored } = found.value
    const { prompt, settings: { systemPrompt, ...settings } } = Settings.fromStored(stored)
    return Effect.succeed(defined<ConversationData>({
      turns: turns.map(({ createdAt, turnId, start }, index) => ({
        turnId,
        createdAt,
        messages: stored.messages.slice(start, turns[index + 1]?.start)
      })),
      systemPrompt: prompt !== "" || systemPrompt === "" ? prompt : undefined,
      settings,
      summary,
      usage,
      title,
      owner
    }))
  })
