/**
 * What an MCP server returns, as the result of a tool.
 */
import type { CallToolResult } from "@modelcontextprotocol/sdk/types.js"
import type { ContentPart } from "../../ChatMessage.ts"

type Block = CallToolResult["content"][number]

const text = (text: string): ContentPart => ({ type: "text", text })

/** A block as a part. What no model takes becomes a short note. */
const toPart = (block: Block): ContentPart => {
  switch (block.type) {
    case "text":
      return text(block.text)
    case "image":
      return { type: "image", url: `data:${block.mimeType};base64,${block.data}` }
    case "audio": {
      const format = formats.get(block.mimeType)
      return format === undefined
        ? text(`[audio, ${block.mimeType}, left out]`)
        : { type: "audio", data: block.data, format }
    }
    case "resource":
      return "text" in block.resource
        ? text(block.resource.text)
        : text(`[resource ${block.resource.uri}, ${block.resource.mimeType ?? "binary"}, left out]`)
    case "resource_link":
      return text(`[resource ${block.name}: ${block.uri}]`)
    default:
      return text("[content of an unknown kind, left out]")
  }
}

const formats = new Map<string, "mp3" | "wav">([
  ["audio/mpeg", "mp3"],
  ["audio/mp3", "mp3"],
  ["audio/wav", "wav"],
  ["audio/x-wav", "wav"]
])

/**
 * The parts of a result. Structured content is sent as JSON if there is no text, and also with a failure, whose text often
 * says less.
 */
export const toParts = ({ content, isError, structuredContent }: CallToolResult): ReadonlyArray<ContentPart> => {
  const parts = content.map(toPart)
  const hasText = parts.some((part) => part.type === "text" && part.text.trim() !== "")
  return structuredContent === undefined || (hasText && isError !== true)
    ? parts
    : [...parts, text(JSON.stringify(structuredContent))]
}

/** The text of parts. */
export const textOf = (parts: ReadonlyArray<ContentPart>): string =>
  parts.map((part) => part.type === "text" ? part.text : `[${part.type}]`).join("\n")
