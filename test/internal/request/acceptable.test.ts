/**
 * Properties of every request, for any stored history.
 */
import { assert, describe, it } from "@effect/vitest"
import { type CallOptions, type ChatMessage, LLMConfig, Provider } from "effect-chat"
import { toJsonText } from "../../../src/internal/json.ts"
import { toAcceptable } from "../../../src/internal/request/acceptable.ts"
import { toBody } from "../../../src/internal/request/body.ts"
import { history, model, origin } from "../../support/histories.ts"
import { runs } from "../../support/runs.ts"

interface Sent {
  readonly role: string
  readonly content: unknown
  readonly name?: string
  readonly tool_call_id?: string
  readonly tool_calls?: ReadonlyArray<
    { readonly id: string; readonly function: { readonly name: string; readonly arguments: string } }
  >
}

const wires: Readonly<Record<string, Provider.Wire>> = {
  "no preset": Provider.Wire.make({}),
  "no preset, without a system role": Provider.Wire.make({ systemRole: "user", toolCallIds: "anthropic" }),
  azure: Provider.azure({ resource: "r", deployment: "d" }).wire,
  ...Object.fromEntries(Object.entries(Provider.presets).map(([name, { wire }]) => [name, wire]))
}

const tools: CallOptions.CallOptions = { tools: [{ name: "f" }, { name: "mcp.tool/x" }] }

const toRequest = (
  wire: Provider.Wire,
  messages: ReadonlyArray<ChatMessage.ChatMessage>,
  options: CallOptions.CallOptions
): { readonly text: string; readonly messages: ReadonlyArray<Sent> } => {
  const config = LLMConfig.make({ baseUrl: `${origin}/v1`, model, wire })
  const text = toJsonText(toBody(config, messages, options, true))
  return { text, messages: JSON.parse(text).messages }
}

/** All texts in a value, including the names of members. */
const textsIn = (value: unknown): ReadonlyArray<string> => {
  if (typeof value === "string") return [value]
  return typeof value === "object" && value !== null
    ? Object.entries(value).flatMap(([key, member]) => [key, ...textsIn(member)])
    : []
}

const loneSurrogate = /\p{Surrogate}/u

const isBlank = (content: unknown) =>
  (typeof content === "string" && content.trim() === "") || (Array.isArray(content) && content.length === 0)

const callsOf = (messages: ReadonlyArray<Sent>) => messages.flatMap((message) => message.tool_calls ?? [])

const forms = { any: /^[^]+$/, openai: /^[^]{1,40}$/, anthropic: /^[\w-]{1,64}$/, mistral: /^[A-Za-z0-9]{9}$/ }

/** The properties of each request, by their titles. */
const laws: Readonly<
  Record<string, (sent: ReturnType<typeof toRequest>, wire: Provider.Wire, hasTools: boolean) => void>
> = {
  "has the result of each call after it, and a call for each result": ({ messages }) => {
    const awaited: Array<string | undefined> = []
    for (const message of messages) {
      if (message.role === "tool") assert.strictEqual(message.tool_call_id, awaited.shift())
      else {
        assert.lengthOf(awaited, 0)
        awaited.push(...(message.tool_calls ?? []).map(({ id }) => id))
      }
    }
    assert.lengthOf(awaited, 0)
  },
  "has unique ids of calls in the server's form": ({ messages }, wire) => {
    const ids = callsOf(messages).map(({ id }) => id)
    assert.lengthOf(new Set(ids), ids.length)
    for (const id of ids) assert.match(id, forms[wire.toolCallIds])
  },
  "has calls with valid or offered names, and with well-formed JSON objects as arguments": ({ messages }) => {
    for (const { function: { arguments: text, name } } of callsOf(messages)) {
      if (name !== "mcp.tool/x") assert.match(name, /^[\w-]{1,64}$/)
      const value: unknown = JSON.parse(text)
      assert.isTrue(typeof value === "object" && value !== null && !Array.isArray(value), text)
      for (const inner of textsIn(value)) assert.notMatch(inner, loneSurrogate, text)
    }
  },
  "has only well-formed Unicode": ({ text }) => {
    for (const inner of textsIn(JSON.parse(text))) assert.notMatch(inner, loneSurrogate)
  },
  "has no blank text, and null as content only with calls": ({ messages }) => {
    for (const { content, tool_calls } of messages) {
      assert.isFalse(isBlank(content))
      if (Array.isArray(content)) { for (const part of content) assert.isFalse(isBlank(part.text), "a blank part") }
      if (content === null) assert.isAbove(tool_calls?.length ?? 0, 0)
    }
  },
  "has no two user or system messages in a row, and a system message only where the server accepts it": (
    { messages },
    wire
  ) => {
    for (const [index, { role }] of messages.entries()) {
      if (role !== "tool" && role !== "assistant") assert.notStrictEqual(role, messages[index - 1]?.role)
      if (role === wire.systemRole && role !== "user" && wire.systemMessages === "first") assert.strictEqual(index, 0)
      if (!wire.userAfterTool && role === "user") assert.notStrictEqual(messages[index - 1]?.role, "tool")
      if (wire.systemRole === "user") assert.notStrictEqual(role, "system")
    }
  },
  "has reasoning only under the name that the server requires, even if it is empty": ({ messages }, wire) => {
    for (const message of messages.filter(({ role }) => role === "assistant")) {
      for (const name of ["reasoning_content", "reasoning"]) {
        if (wire.reasoningEcho === name) assert.isString(Reflect.get(message, name))
        else assert.notProperty(message, name)
      }
    }
  },
  "has no calls and results without tools if the server would refuse them": ({ messages }, wire, hasTools) => {
    if (hasTools || wire.toolHistory === "calls") return
    for (const message of messages) {
      assert.notStrictEqual(message.role, "tool")
      assert.notProperty(message, "tool_calls")
    }
  },
  "has names only in results for servers that require them, and in user messages for servers that accept them": (
    { messages },
    wire
  ) => {
    const names = new Map(callsOf(messages).map((call) => [call.id, call.function.name]))
    for (const { name, role, tool_call_id } of messages) {
      if (role === "tool" && wire.toolResultName) assert.strictEqual(name, names.get(tool_call_id ?? ""))
      else if (role === "user" && wire.userNames && name !== undefined) assert.match(name, /^[^\s<|\\/>]{1,64}$/)
      else assert.isUndefined(name)
    }
  },
  "has no members that only the library uses": ({ messages }) => {
    for (const message of messages) {
      for (const name of ["opaque", "toolCalls", "refusal", "finishReason", "usage"]) assert.notProperty(message, name)
    }
  }
}

const signatures = (value: unknown) => textsIn(value).filter((text) => text.endsWith("-signature")).length

const moreRuns = { fastCheck: { numRuns: runs(15, 40) } }

describe("A request, for any history and every preset,", () => {
  for (const [title, law] of Object.entries(laws)) {
    it.prop(title, [history], ([messages]) => {
      for (const wire of Object.values(wires)) {
        law(toRequest(wire, messages, tools), wire, true)
        law(toRequest(wire, messages, {}), wire, false)
      }
    }, moreRuns)
  }

  it.prop("is not changed if it is converted again", [history], ([messages]) => {
    for (const wire of Object.values(wires)) {
      for (const names of [new Set<string>(), new Set(["f"])]) {
        const target = { config: LLMConfig.make({ baseUrl: origin, model, wire }), tools: names }
        const once = toAcceptable(messages, target)
        assert.deepStrictEqual(toAcceptable(once, target), once)
      }
    }
  }, moreRuns)

  it.prop("has only the opaque fields of its server and model", [history], ([messages]) => {
    const wire = Provider.Wire.make({})
    const isOwn = (message: ChatMessage.ChatMessage) =>
      message.role === "assistant" && message.opaque?.origin === origin && message.opaque.model === model
    assert.strictEqual(
      signatures(toRequest(wire, messages.filter(isOwn), tools).messages),
      signatures(toRequest(wire, messages, tools).messages)
    )
    assert.strictEqual(signatures(toRequest(wire, messages.filter((message) => !isOwn(message)), tools)), 0)
  })

  /** The history with a different text in each message. */
  const marked = (messages: ReadonlyArray<ChatMessage.ChatMessage>): ReadonlyArray<ChatMessage.ChatMessage> =>
    messages.map((message, index) => {
      // Long enough not to occur in arbitrary arguments by chance.
      const content = `<said ${index}>`
      switch (message.role) {
        case "system":
        case "tool":
          return { ...message, content }
        case "user":
          return { ...message, content: index % 2 === 0 ? content : [{ type: "text", text: content }] }
        case "assistant":
          return { role: "assistant", content, toolCalls: message.toolCalls, refusal: `<refusal ${index}>` }
      }
    })

  it.prop("has every text of the history once", [history], ([messages]) => {
    for (const wire of Object.values(wires)) {
      for (const options of [tools, {}]) {
        const markedHistory = marked(messages)
        const text = JSON.stringify(toRequest(wire, markedHistory, options).messages)
        for (const [index, { role }] of markedHistory.entries()) {
          assert.lengthOf(text.split(`<said ${index}>`), 2, text)
          if (role === "assistant") assert.lengthOf(text.split(`<refusal ${index}>`), 2, text)
        }
      }
    }
  }, moreRuns)

  it.prop("keeps the order of questions and answers", [history], ([messages]) => {
    for (const wire of Object.values(wires)) {
      const markedHistory = marked(messages.filter(({ role }) => role === "user" || role === "assistant"))
      const text = JSON.stringify(toRequest(wire, markedHistory, tools).messages)
      const positions = markedHistory.map((_, index) => text.indexOf(`<said ${index}>`))
      assert.deepStrictEqual(positions, [...positions].sort((a, b) => a - b))
    }
  }, moreRuns)

  it.prop("starts with the messages of the request before it, for the server's cache", [history], ([messages]) => {
    const conversation = messages.filter(({ role }) => role !== "system")
    for (const wire of Object.values(wires)) {
      const before = toRequest(wire, conversation, tools).messages.map((message) => JSON.stringify(message))
      const after = toRequest(wire, [...conversation, { role: "user", content: "more" }], tools).messages
      // The last message may be merged with the new one.
      assert.deepStrictEqual(
        after.slice(0, before.length - 1).map((message) => JSON.stringify(message)),
        before.slice(0, -1)
      )
    }
  }, moreRuns)
})
