/**
 * MCP servers in memory, and turns with their tools.
 */
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { InMemoryTransport } from "@modelcontextprotocol/sdk/inMemory.js"
import { Server } from "@modelcontextprotocol/sdk/server/index.js"
import {
  CallToolRequestSchema,
  type CallToolResult,
  ListToolsRequestSchema,
  type Progress,
  type Tool as McpTool
} from "@modelcontextprotocol/sdk/types.js"
import { Effect } from "effect"
import { type ChatMessage, LLMChat, type ToolSet } from "effect-chat"
import { McpToolSet } from "effect-chat/mcp"
import { ScriptedHttpClient } from "effect-chat/testing"

export const tool = (name: string, more?: Partial<McpTool>): McpTool => ({
  name,
  description: `Does ${name}.`,
  inputSchema: { type: "object", properties: { at: { type: "string" } } },
  ...more
})

/** The signal of a call, and a function that sends its progress. */
export interface Call {
  readonly signal: AbortSignal
  readonly progress: (progress: Progress) => Promise<void>
}

export interface Fake {
  tools: ReadonlyArray<McpTool>
  pageSize: number
  readonly calls: Array<string>
  readonly cancelled: Array<string>
  answer: (name: string, call: Call) => Promise<CallToolResult>
}

/** A server in memory that lists its tools in pages, and records its calls. */
export const make = (tools: ReadonlyArray<McpTool>, options?: McpToolSet.Options) =>
  Effect.gen(function*() {
    const fake: Fake = {
      tools,
      pageSize: 2,
      calls: [],
      cancelled: [],
      answer: (name) => Promise.resolve({ content: [{ type: "text", text: `${name} is done` }] })
    }
    const connect = async () => {
      const server = new Server({ name: "fake", version: "1.0.0" }, { capabilities: { tools: { listChanged: true } } })
      server.setRequestHandler(ListToolsRequestSchema, ({ params }) => {
        const start = Number(params?.cursor ?? 0)
        const end = start + fake.pageSize
        return {
          tools: fake.tools.slice(start, end),
          ...(end < fake.tools.length ? { nextCursor: String(end) } : {})
        }
      })
      server.setRequestHandler(CallToolRequestSchema, ({ params }, { _meta, sendNotification, signal }) => {
        fake.calls.push(params.name)
        signal.addEventListener("abort", () => fake.cancelled.push(String(signal.reason)))
        const progressToken = _meta?.progressToken ?? "none"
        return fake.answer(params.name, {
          signal,
          progress: (progress) =>
            sendNotification({ method: "notifications/progress", params: { ...progress, progressToken } })
        })
      })
      const [mine, other] = InMemoryTransport.createLinkedPair()
      await server.connect(other)
      return { server, transport: mine }
    }
    const first = yield* Effect.promise(connect)
    const client = new Client({ name: "test", version: "1.0.0" })
    yield* Effect.promise(() => client.connect(first.transport))
    const toolSet = yield* McpToolSet.fromClient(client, {
      needsApproval: false,
      reconnect: Effect.map(Effect.promise(connect), ({ transport }) => transport),
      ...options
    })
    return { client, fake, server: first.server, toolSet }
  })

/** The JSON of an answer, or an error. */
export type Answer =
  | { readonly result: Record<string, unknown> }
  | { readonly error: { readonly code: number; readonly message: string } }

/** The tools of a server with arbitrary JSON answers, which can violate the protocol. */
export const odd = (answers: Readonly<Record<string, Answer>>, options?: McpToolSet.Options) =>
  Effect.gen(function*() {
    const [mine, other] = InMemoryTransport.createLinkedPair()
    const requests: Array<string> = []
    const initialize: Answer = {
      result: { protocolVersion: "2025-06-18", capabilities: {}, serverInfo: { name: "odd", version: "1" } }
    }
    other.onmessage = (message) => {
      if (!("id" in message) || !("method" in message)) return
      requests.push(message.method)
      const answer = { initialize, ...answers }[message.method] ?? { error: { code: -32601, message: "Unknown" } }
      mine.onmessage?.({ jsonrpc: "2.0", id: message.id, ...answer })
    }
    const client = new Client({ name: "test", version: "1.0.0" })
    yield* Effect.promise(() => client.connect(mine))
    return { requests, toolSet: yield* McpToolSet.fromClient(client, { needsApproval: false, ...options }) }
  })

export const names = (set: ToolSet.ToolSet) => Effect.map(set.current, (tools) => tools.map(({ name }) => name))

export const call = (name: string, args: object = {}) => ScriptedHttpClient.toolCalls([{ name, arguments: args }])

/** The result that the model receives for a call of this tool. */
export const resultOf = (
  toolSet: ToolSet.ToolSet,
  name: string,
  script = [call(name), ScriptedHttpClient.tokens(["ok"])]
) =>
  Effect.gen(function*() {
    const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m", maxRetries: 0 })
    yield* chat.chat("go", { toolSet })
    return (yield* chat.history).filter((message) => message.role === "tool")
  }).pipe(Effect.provide(ScriptedHttpClient.layer(script)))

export const textOf = (messages: ReadonlyArray<ChatMessage.ChatMessage>): string =>
  messages.map(({ content }) => typeof content === "string" ? content : JSON.stringify(content)).join("\n")

export const settle = Effect.sleep("20 millis")
