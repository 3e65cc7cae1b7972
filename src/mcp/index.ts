/**
 * Tool sets from the tools of MCP servers.
 *
 * @since 0.1.0
 */

/**
 * The tools of MCP servers.
 *
 * @since 0.1.0
 */
export * as McpToolSet from "./McpToolSet.ts"
