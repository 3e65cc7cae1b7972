/**
 * Reads the tools in the tool list of an MCP server.
 */
import { type Tool as McpTool, ToolSchema } from "@modelcontextprotocol/sdk/types.js"
import { asText, defined, fieldsOf, isRecord, type JsonRecord } from "../json.ts"

/**
 * Reads one tool. Returns undefined if it has no name. Repairs or drops members that violate the protocol, because the SDK
 * refuses the complete list for one invalid member.
 */
export const readTool = (entry: unknown): McpTool | undefined => {
  const tool = fieldsOf(entry)
  const required = defined({
    name: tool["name"],
    description: asText(tool["description"]),
    inputSchema: toObjectSchema(tool["inputSchema"])
  })
  for (const candidate of [{ ...tool, ...required }, { ...tool, ...required, outputSchema: undefined }, required]) {
    const read = ToolSchema.safeParse(candidate)
    if (read.success && read.data.name !== "") return read.data
  }
  return undefined
}

/** Makes the schema describe an object, because models send objects only. */
const toObjectSchema = (schema: unknown): JsonRecord => {
  const { properties, required, ...rest } = fieldsOf(schema)
  const entries = Object.entries(fieldsOf(properties)).map(([name, property]) => [name, toSchema(property)])
  const names = Array.isArray(required) ? required.filter((name) => typeof name === "string") : undefined
  return defined({ ...rest, type: "object", properties: Object.fromEntries(entries), required: names })
}

/** Converts the schemas `true` and `false`, which the SDK does not accept. */
const toSchema = (schema: unknown): JsonRecord => {
  if (isRecord(schema)) return schema
  return schema === false ? { not: {} } : {}
}
