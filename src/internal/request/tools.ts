/**
 * What a request says of tools, and of the form of its answer.
 */
import type { CallOptions, ResponseFormat, Tool } from "../../CallOptions.ts"
import type { Wire } from "../../Provider.ts"
import type { JsonRecord } from "../json.ts"
import { toParameters, withoutDialect } from "./toolSchema.ts"

/** The tools and the choice between them. */
export const toolMembers = ({ toolChoice, tools = [] }: CallOptions, wire: Wire): JsonRecord => {
  if (typeof toolChoice !== "object") return { tools: tools.map(toTool), tool_choice: toolChoice }
  const { name } = toolChoice
  const chosen = tools.filter((tool) => tool.name === name)
  return wire.namedToolChoice === "required" && chosen.length > 0
    ? { tools: chosen.map(toTool), tool_choice: "required" }
    : { tools: tools.map(toTool), tool_choice: { type: "function", function: { name } } }
}

const toTool = (tool: Tool): JsonRecord => ({
  type: "function",
  function: {
    name: tool.name,
    description: tool.description,
    parameters: toParameters(tool.parameters ?? none),
    strict: tool.strict
  }
})

const none = { type: "object", properties: {} }

/** The form of the answer. */
export const toResponseFormat = (format: ResponseFormat): JsonRecord => {
  if (format.type !== "json_schema") return { type: format.type }
  const { type, ...more } = format
  const name = format.name.replace(/[^\w-]/g, "_").slice(0, 64)
  return { type, json_schema: { ...more, name, schema: withoutDialect(format.schema) } }
}
