/**
 * The tools in a server's list.
 */
import { type Tool as McpTool, ToolSchema } from "@modelcontextprotocol/sdk/types.js"
import { asText, defined, fieldsOf, isRecord, type JsonRecord } from "../json.ts"

/**
 * A tool of a list, undefined if it has no name. What breaks the protocol's rules is repaired or dropped: the SDK refuses
 * the whole list for one member of one tool.
 */
export const readTool = (listed: unknown): McpTool | undefined => {
  const tool = fieldsOf(listed)
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

/** The same schema for an object: models send nothing else. */
const toObjectSchema = (schema: unknown): JsonRecord => {
  const { properties, required, ...rest } = fieldsOf(schema)
  const named = Object.entries(fieldsOf(properties)).map(([name, property]) => [name, toSchema(property)])
  const names = Array.isArray(required) ? required.filter((name) => typeof name === "string") : undefined
  return defined({ ...rest, type: "object", properties: Object.fromEntries(named), required: names })
}

/** `true` and `false` are schemas too, which the SDK does not know. */
const toSchema = (schema: unknown): JsonRecord => {
  if (isRecord(schema)) return schema
  return schema === false ? { not: {} } : {}
}
