/**
 * What an MCP server returns, as the result of a tool.
 *
 * Servers break the protocol's rules for results more often than those for anything else. A call that has happened is
 * never a failure for that: the model gets what there is.
 */
import { type CallToolResult, ContentBlockSchema } from "@modelcontextprotocol/sdk/types.js"
import type { ContentPart } from "../../ChatMessage.ts"
import { isRecord, itemsOf, type JsonRecord } from "../json.ts"

type Block = CallToolResult["content"][number]

const text = (text: string): ContentPart => ({ type: "text", text })

/** A block as parts. What no model takes becomes a short note. */
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
        ? text(`[resource ${block.resource.uri}]\n${block.resource.text}`)
        : text(`[resource ${block.resource.uri}, ${block.resource.mimeType ?? "binary"}, left out]`)
    case "resource_link": {
      const about = [block.uri, block.mimeType, block.description].filter((member) => member !== undefined)
      return text(`[resource ${block.name}: ${about.join(", ")}]`)
    }
  }
}

const formats = new Map<string, "mp3" | "wav">([
  ["audio/mpeg", "mp3"],
  ["audio/mp3", "mp3"],
  ["audio/wav", "wav"],
  ["audio/x-wav", "wav"]
])

/** A block of a kind that the SDK knows, any other as its JSON. */
const readBlock = (block: unknown): ContentPart => {
  const known = ContentBlockSchema.safeParse(block)
  if (known.success) return toPart(known.data)
  return text(typeof block === "string" ? block : toJson(block))
}

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, member) => isData(member) ? "[left out]" : member)

/** Whether it is data in base64, and long: a model cannot read it, and it costs as much as a book. */
const isData = (value: unknown): boolean =>
  typeof value === "string" && value.length > 200 && /^(?:data:[^,]*,)?[\w+/=-]+$/.test(value)

const readContent = ({ _meta, content, isError: _isError, structuredContent, ...rest }: JsonRecord) => {
  // A single block or a text in place of a list.
  if (content !== undefined && content !== null) return Array.isArray(content) ? content : [content]
  // The form of the protocol's first version, where any value could stand, and results without any form.
  const bare = rest["toolResult"] ?? rest
  if (isRecord(bare) && Array.isArray(bare["content"])) return bare["content"]
  return structuredContent !== undefined || (isRecord(bare) && Object.keys(bare).length === 0) ? [] : [bare]
}

/**
 * The parts of a result. Structured content is sent as JSON if there is no text, and also with a failure, whose text often
 * says less.
 */
export const toParts = (result: JsonRecord): ReadonlyArray<ContentPart> => {
  const { isError, structuredContent } = result
  const parts = itemsOf(readContent(result)).map(readBlock)
  const hasText = parts.some((part) => part.type === "text" && part.text.trim() !== "")
  return structuredContent === undefined || structuredContent === null || (hasText && isError !== true)
    ? parts
    : [...parts, text(JSON.stringify(structuredContent))]
}

/** The text of parts. */
export const textOf = (parts: ReadonlyArray<ContentPart>): string =>
  parts.map((part) => part.type === "text" ? part.text : `[${part.type}]`).join("\n")
