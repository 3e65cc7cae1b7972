/**
 * An MCP server over stdio with one tool, which returns the id of its process.
 */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js"
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js"

const server = new McpServer({ name: "stdio", version: "1.0.0" })
server.registerTool("pid", { description: "The id of the process." }, () => ({
  content: [{ type: "text", text: String(process.pid) }]
}))
await server.connect(new StdioServerTransport())
