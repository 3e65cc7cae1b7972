import { FileSystem } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js"
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js"
import type { Transport } from "@modelcontextprotocol/sdk/shared/transport.js"
import { Effect } from "effect"
import { LLMChat, type ToolSet } from "effect-chat"
import { McpToolSet } from "effect-chat/mcp"
import { ScriptedHttpClient } from "effect-chat/testing"
import { createServer } from "node:http"
import { createRequire } from "node:module"
import { fileURLToPath } from "node:url"

const connected = (transport: Transport) =>
  Effect.promise(async () => {
    const client = new Client({ name: "test", version: "1.0.0" })
    await client.connect(transport)
    return client
  })

const node = (...args: ReadonlyArray<string>) =>
  new StdioClientTransport({ command: process.execPath, args: [...args], stderr: "ignore" })

const own = () => node("--import", "tsx", fileURLToPath(new URL("../support/mcp/stdioServer.ts", import.meta.url)))

const published = (file: string, ...args: ReadonlyArray<string>) =>
  node(createRequire(import.meta.url).resolve(file), ...args)

const filesystem = (directory: string) => published("@modelcontextprotocol/server-filesystem/dist/index.js", directory)

const everything = () => published("@modelcontextprotocol/server-everything/dist/index.js", "stdio")

/** Servers of other authors, one with an SDK that is a year older. */
const thinking = () => published("mcp-sequentialthinking-tools/dist/index.js")

/** The result that the model receives for a call. */
const resultOf = (toolSet: ToolSet.ToolSet, name: string, args: object = {}) =>
  Effect.gen(function*() {
    const chat = yield* LLMChat.make({ baseUrl: "http://server/v1", model: "m" })
    yield* chat.chat("go", { toolSet })
    return String((yield* chat.history).find((message) => message.role === "tool")?.content)
  }).pipe(
    Effect.provide(ScriptedHttpClient.layer([
      ScriptedHttpClient.toolCalls([{ name, arguments: args }]),
      ScriptedHttpClient.tokens(["ok"])
    ]))
  )

const isRunning = (pid: number): boolean => {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

describe("A server over stdio", () => {
  it.live("ends with the scope", () =>
    Effect.gen(function*() {
      const pid = yield* Effect.scoped(Effect.gen(function*() {
        const toolSet = yield* McpToolSet.fromClient(yield* connected(own()), { needsApproval: false })
        const pid = Number(yield* resultOf(toolSet, "pid"))
        assert.isTrue(isRunning(pid))
        return pid
      }))

      assert.isFalse(isRunning(pid))
    }), 60_000)

  it.scopedLive("is restarted by the next call after it exits", () =>
    Effect.gen(function*() {
      const toolSet = yield* McpToolSet.fromClient(yield* connected(own()), {
        needsApproval: false,
        reconnect: Effect.sync(own)
      })
      const first = Number(yield* resultOf(toolSet, "pid"))
      process.kill(first, "SIGKILL")
      yield* Effect.repeat(Effect.sleep("20 millis"), { until: () => !isRunning(first) })
      const second = Number(yield* resultOf(toolSet, "pid"))

      assert.isAbove(second, 0)
      assert.notStrictEqual(second, first)
    }), 60_000)

  it.scopedLive("of another author reads files in its folder, and refuses others", () =>
    Effect.gen(function*() {
      const fs = yield* FileSystem.FileSystem
      const directory = yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-mcp-" })
      yield* fs.writeFileString(`${directory}/note.txt`, "The key is under the mat.")
      const client = yield* connected(filesystem(directory))
      const toolSet = yield* McpToolSet.fromClient(client, { prefix: "fs", needsApproval: false })
      const names = (yield* toolSet.current).map(({ name }) => name)

      assert.include(names, "fs_read_text_file")
      assert.include(
        yield* resultOf(toolSet, "fs_read_text_file", { path: `${directory}/note.txt` }),
        "The key is under the mat."
      )
      assert.include(yield* resultOf(toolSet, "fs_read_text_file", { path: "/etc/passwd" }), "The tool failed with")
    }).pipe(Effect.provide(NodeContext.layer)), 60_000)
})

describe("The reference server with all features", () => {
  const make = (options?: McpToolSet.Options) =>
    Effect.flatMap(
      connected(everything()),
      (client) => McpToolSet.fromClient(client, { needsApproval: false, ...options })
    )

  it.scopedLive("offers its tools, except those that can only run as a task", () =>
    Effect.gen(function*() {
      const toolSet = yield* make()
      const names = (yield* toolSet.current).map(({ name }) => name)

      assert.includeMembers(names, ["echo", "get-sum", "get-structured-content", "get-tiny-image"])
      assert.notInclude(names, "simulate-research-query")
    }), 60_000)

  it.scopedLive("returns each type of content", () =>
    Effect.gen(function*() {
      const toolSet = yield* make()
      const results = yield* Effect.forEach(
        [
          ["echo", { message: "Hello" }],
          ["get-sum", { a: 2, b: 3 }],
          ["get-structured-content", { location: "Chicago" }],
          ["get-resource-reference", { resourceType: "Text", resourceId: 1 }],
          ["get-resource-links", { count: 1 }],
          ["get-tiny-image", {}],
          ["get-sum", { a: "two" }]
        ] as const,
        ([name, args]) => resultOf(toolSet, name, args)
      )
      const [echo, sum, structured, embedded, links, image, wrong] = results

      assert.include(echo, "Hello")
      assert.include(sum, "5")
      assert.include(structured, "temperature")
      assert.include(embedded, "[resource demo://")
      assert.include(links, "[resource ")
      assert.isBelow(image?.length ?? 0, 1000)
      assert.include(wrong, "The tool failed with")
    }), 60_000)

  it.scopedLive(
    "sends the progress of a long call, which may exceed the timeout without progress",
    () =>
      Effect.gen(function*() {
        const received: Array<McpToolSet.Progress> = []
        const toolSet = yield* make({
          timeout: "1 second",
          onProgress: (progress) => Effect.sync(() => void received.push(progress))
        })
        const result = yield* resultOf(toolSet, "trigger-long-running-operation", { duration: 2, steps: 4 })

        assert.include(result, "completed")
        // The SDK may lose the last one, which arrives together with the result.
        assert.deepStrictEqual(received.slice(0, 3).map(({ progress, total }) => [progress, total]), [[1, 4], [2, 4], [
          3,
          4
        ]])
      }),
    60_000
  )
})

describe("A server of another author with an older SDK", () => {
  it.scopedLive("answers calls", () =>
    Effect.gen(function*() {
      const client = yield* connected(thinking())
      const toolSet = yield* McpToolSet.fromClient(client, { needsApproval: false })
      const result = yield* resultOf(toolSet, "sequentialthinking_tools", {
        available_mcp_tools: ["search"],
        thought: "Look first",
        thought_number: 1,
        total_thoughts: 1,
        next_thought_needed: false
      })

      assert.include(result, "\"thought_number\": 1")
    }), 60_000)
})

/** A server that can forget its sessions. Requests of forgotten sessions receive a status. */
const httpServer = (status = 404, body = "") =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const sessions = new Map<string, StreamableHTTPServerTransport>()
      const calls: Array<string> = []
      const ended: Array<string> = []
      const begin = async () => {
        const transport: StreamableHTTPServerTransport = new StreamableHTTPServerTransport({
          sessionIdGenerator: () => crypto.randomUUID(),
          onsessioninitialized: (id) => void sessions.set(id, transport),
          onsessionclosed: (id) => void ended.push(id)
        })
        const server = new McpServer({ name: "http", version: "1.0.0" })
        server.registerTool("look", { description: "Looks." }, () => {
          calls.push("look")
          return { content: [{ type: "text", text: "seen" }] }
        })
        // The types of the SDK are incompatible with `exactOptionalPropertyTypes`.
        await server.connect(transport as Transport)
        return transport
      }
      const http = createServer((request, response) => {
        const id = request.headers["mcp-session-id"]
        if (typeof id === "string") {
          const transport = sessions.get(id)
          if (transport === undefined) response.writeHead(status).end(body)
          else void transport.handleRequest(request, response)
          return
        }
        void begin().then((transport) => transport.handleRequest(request, response))
      })
      await new Promise<void>((resolve) => http.listen(0, "127.0.0.1", resolve))
      const address = http.address()
      const port = typeof address === "object" && address !== null ? address.port : 0
      return { calls, ended, http, sessions, url: new URL(`http://127.0.0.1:${port}/mcp`) }
    }),
    ({ http }) =>
      Effect.sync(() => {
        http.closeAllConnections()
        http.close()
      })
  )

describe("A server over streamable HTTP", () => {
  const forgetful: ReadonlyArray<readonly [status: number, body: string]> = [
    [404, ""],
    [
      400,
      "{\"jsonrpc\":\"2.0\",\"error\":{\"code\":-32000,\"message\":\"Bad Request: No valid session ID provided\"},\"id\":null}"
    ],
    [503, "Unknown mcp-session-id"]
  ]
  it.scopedLive.each(forgetful)(
    "that forgot the session gets a new session, and the call is not retried (%s)",
    ([status, body]) =>
      Effect.gen(function*() {
        const server = yield* httpServer(status, body)
        const transport = () => new StreamableHTTPClientTransport(server.url) as Transport
        const client = yield* connected(transport())
        const toolSet = yield* McpToolSet.fromClient(client, {
          needsApproval: false,
          reconnect: Effect.sync(transport)
        })
        assert.strictEqual(yield* resultOf(toolSet, "look"), "seen")
        server.sessions.clear()

        const lost = yield* resultOf(toolSet, "look")

        assert.include(lost, "The connection was renewed.")
        assert.lengthOf(server.calls, 1)
        assert.strictEqual(yield* resultOf(toolSet, "look"), "seen")
      }),
    60_000
  )

  it.live("receives the end of the session when the scope closes", () =>
    Effect.scoped(Effect.gen(function*() {
      const server = yield* httpServer()
      yield* Effect.scoped(Effect.gen(function*() {
        const client = yield* connected(new StreamableHTTPClientTransport(server.url) as Transport)
        yield* McpToolSet.fromClient(client)
      }))

      assert.lengthOf(server.ended, 1)
    })), 60_000)
})
