/**
 * Converts any history to messages that the server accepts. Runs before each request, on histories that were stored,
 * imported, cut by a window or left by an interrupted turn.
 */
import type { AssistantMessage, ChatMessage, ContentPart, SystemMessage, UserMessage } from "../../ChatMessage.ts"
import type { Opaque, ToolCall } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Wire } from "../../Provider.ts"
import { callsAsText, pair } from "./pairing.ts"

/** The parts of a request that its messages are converted for. */
export interface Target {
  readonly config: Pick<LLMConfig, "baseUrl" | "model" | "wire">
  /** The names of the tools that the request offers. */
  readonly tools: ReadonlySet<string>
}

/**
 * The messages that can be sent. Calls and results are paired, blank messages are left out, neighbours of the same role are
 * merged, and opaque fields are kept only for the server and model that sent them.
 */
export const toAcceptable = (
  messages: ReadonlyArray<ChatMessage>,
  { config: { baseUrl, model, wire: configured }, tools }: Target
): ReadonlyArray<ChatMessage> => {
  const wire = Object.assign({}, configured, modelRequirements(model, configured))
  const paired = pair(messages, wire.toolCallIds, tools)
  const converted = tools.size === 0 && wire.toolHistory === "text" ? callsAsText(paired) : paired
  const { origin } = new URL(baseUrl)
  const isOwn = (opaque: Opaque) => opaque.origin === origin && opaque.model === model
  const cleaned = converted.flatMap((message) => clean(message, wire, isOwn))
  return merge(wire.systemMessages === "first" ? systemFirst(cleaned) : cleaned, wire)
}

/** The requirements of some models' chat templates, on any server. */
const modelRequirements = (model: string, { toolCallIds }: Wire): Partial<Wire> => {
  if (toolCallIds !== "any") return {}
  if (/(mis|magis|minis|codes|devs)tral|mixtral/i.test(model)) return { toolCallIds: "mistral", userAfterTool: false }
  return /claude/i.test(model) ? { toolCallIds: "anthropic" } : {}
}

/** The message without empty members and without opaque fields of other servers. */
const clean = (
  message: ChatMessage,
  wire: Wire,
  isOwn: (opaque: Opaque) => boolean
): ReadonlyArray<ChatMessage> => {
  switch (message.role) {
    case "system":
      if (isBlank(message.content)) return []
      return [wire.systemRole === "user" ? { role: "user", content: message.content } : message]
    case "user": {
      const content = typeof message.content === "string" ? message.content : message.content.filter(hasContent)
      if (typeof content === "string" ? isBlank(content) : content.length === 0) return []
      const user = { ...message, content }
      return [wire.userNames ? user : withNameLabel(user)]
    }
    case "assistant":
      return cleanAssistant(message, isOwn)
    case "tool":
      return [message]
  }
}

const isBlank = (text: string | undefined): boolean => text === undefined || text.trim() === ""

const hasContent = (part: ContentPart): boolean => part.type !== "text" || !isBlank(part.text)

const cleanAssistant = (
  message: AssistantMessage,
  isOwn: (opaque: Opaque) => boolean
): ReadonlyArray<AssistantMessage> => {
  const { content, opaque, reasoning, refusal, toolCalls } = message
  const ownOpaque = opaque !== undefined && isOwn(opaque) ? opaque : undefined
  const text = [content, refusal].filter((text) => !isBlank(text)).join("\n\n")
  if (text === "" && !toolCalls?.length && ownOpaque?.fields["audio"] === undefined) return []
  return [{
    role: "assistant",
    content: text,
    ...(reasoning === undefined ? {} : { reasoning }),
    ...(toolCalls?.length ? { toolCalls: ownOpaque === undefined ? toolCalls.map(withoutExtra) : toolCalls } : {}),
    ...(ownOpaque === undefined ? {} : { opaque: ownOpaque })
  }]
}

const withoutExtra = ({ extra: _extra, ...call }: ToolCall): ToolCall => call

/** Moves system messages to the front, because most servers accept only one, as the first message. */
const systemFirst = (messages: ReadonlyArray<ChatMessage>): ReadonlyArray<ChatMessage> => {
  const system = messages.filter(isSystem)
  return system.length === 0 ? messages : [...system, ...messages.filter((message) => !isSystem(message))]
}

const isSystem = (message: ChatMessage): message is SystemMessage => message.role === "system"

/** Merges neighbours of the same role. */
const merge = (messages: ReadonlyArray<ChatMessage>, wire: Wire): ReadonlyArray<ChatMessage> => {
  const runs: Array<[ChatMessage, ...Array<ChatMessage>]> = []
  for (const message of messages) {
    const run = runs.at(-1)
    if (run !== undefined && canMerge(run[0], message)) run.push(message)
    else {
      if (!wire.userAfterTool && run?.[0].role === "tool" && message.role === "user") runs.push([acknowledgement])
      runs.push([message])
    }
  }
  return runs.map(([first, ...rest]) => rest.length === 0 ? first : mergeAll([first, ...rest]))
}

const acknowledgement: ChatMessage = { role: "assistant", content: "OK." }

/** Whether two messages may be merged. Results belong to one call each, and opaque fields to one answer. */
const canMerge = (previous: ChatMessage, next: ChatMessage): boolean =>
  previous.role === next.role && previous.role !== "tool" && !("opaque" in previous) && !("opaque" in next)

const mergeAll = (run: ReadonlyArray<ChatMessage>): ChatMessage => {
  const users = run.filter((message) => message.role === "user")
  if (users.length > 0) return mergeUsers(users)
  const content = join(run.map((message) => typeof message.content === "string" ? message.content : ""))
  const answers = run.filter((message) => message.role === "assistant")
  if (answers.length === 0) return { role: "system", content }
  const reasoning = join(answers.map((answer) => answer.reasoning ?? ""))
  return { ...answers.at(-1), role: "assistant", content, ...(reasoning === "" ? {} : { reasoning }) }
}

const join = (texts: ReadonlyArray<string>): string => texts.filter((text) => text !== "").join("\n\n")

/** Merges user messages. If they have different names, the names become labels in the text. */
const mergeUsers = (users: ReadonlyArray<UserMessage>): UserMessage => {
  const names = new Set(users.map(({ name }) => name))
  const contents = (names.size === 1 ? users : users.map(withNameLabel)).map(({ content }) => content)
  const texts = contents.filter((content) => typeof content === "string")
  const content = texts.length === contents.length ? join(texts) : contents.flatMap(toParts)
  const [name] = names
  return { role: "user", content, ...(names.size === 1 && name !== undefined ? { name } : {}) }
}

/** The message with the speaker's name in its text. */
const withNameLabel = ({ content, name }: UserMessage): UserMessage => {
  if (isBlank(name)) return { role: "user", content }
  const label = `${name}: `
  if (typeof content === "string") return { role: "user", content: label + content }
  const [first, ...rest] = content
  return {
    role: "user",
    content: first?.type === "text"
      ? [{ type: "text", text: label + first.text }, ...rest]
      : [{ type: "text", text: label.trim() }, ...content]
  }
}

const toParts = (content: UserMessage["content"]): ReadonlyArray<ContentPart> =>
  typeof content === "string" ? [{ type: "text", text: content }] : content
