/**
 * A model that reads a folder through an MCP server, the file system server of npm, over stdio. The program is asked before
 * a file is written, and says no.
 */
import { FileSystem } from "@effect/platform"
import { NodeContext, NodeHttpClient, NodeRuntime } from "@effect/platform-node"
import { Client } from "@modelcontextprotocol/sdk/client/index.js"
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js"
import { Console, Effect, Layer } from "effect"
import { LLMChat } from "effect-chat"
import { McpToolSet } from "effect-chat/mcp"
import { createRequire } from "node:module"
import * as Server from "./internal/server.ts"

/** A client of the server that serves this folder. The server is started without a wrapper, so that it ends with us. */
const connect = (directory: string) =>
  Effect.promise(async () => {
    const server = createRequire(import.meta.url).resolve("@modelcontextprotocol/server-filesystem/dist/index.js")
    const client = new Client({ name: "effect-chat-example", version: "1.0.0" })
    await client.connect(
      new StdioClientTransport({ command: process.execPath, args: [server, directory], stderr: "ignore" })
    )
    return client
  })

const program = Effect.gen(function*() {
  const { about, config } = yield* Server.Server
  yield* Console.log(about)
  const fs = yield* FileSystem.FileSystem
  const directory = yield* fs.makeTempDirectoryScoped()
  yield* fs.writeFileString(`${directory}/note.txt`, "The meeting is at noon.")

  const toolSet = yield* McpToolSet.fromClient(yield* connect(directory), {
    isTrusted: true,
    include: ["list_allowed_directories", "read_text_file", "write_file"]
  })
  const chat = yield* LLMChat.make(config)
  for (const tool of ["list_allowed_directories", "write_file"]) {
    const { steps = [], text } = yield* chat.chat(`Use ${tool}, and tell me what came of it.`, {
      toolSet,
      approve: ({ name }) =>
        Effect.as(Console.log(`  May ${name} run? No.`), { approved: false, reason: "The user said no." })
    })
    for (const call of steps.flatMap((step) => step.toolCalls)) {
      yield* Console.log(`  [${call.name}: ${call.outcome}]`)
    }
    yield* Console.log(text)
  }
})

const Main = Layer.mergeAll(Server.layer(), NodeHttpClient.layer, NodeContext.layer)

program.pipe(Effect.scoped, Effect.provide(Main), NodeRuntime.runMain)
