/**
 * Converts results of MCP servers to content parts for the model.
 *
 * Results of many servers violate the protocol. Such a result is not an error, because the call was run: the model receives
 * the data of the result in whatever form it has.
 */
import { type CallToolResult, ContentBlockSchema } from "@modelcontextprotocol/sdk/types.js"
import type { ContentPart } from "../../ChatMessage.ts"
import { audioFormats } from "../audioFormats.ts"
import { isRecord, itemsOf, type JsonRecord } from "../json.ts"

type Block = CallToolResult["content"][number]

const text = (text: string): ContentPart => ({ type: "text", text })

/** Converts a block. A block that models do not accept becomes a short text. */
const toPart = (block: Block): ContentPart => {
  switch (block.type) {
    case "text":
      return text(block.text)
    case "image":
      return { type: "image", url: `data:${block.mimeType};base64,${block.data}` }
    case "audio": {
      const format = audioFormats.get(block.mimeType)
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

/** Reads a block. A block of an unknown kind becomes a text with its JSON. */
const readBlock = (block: unknown): ContentPart => {
  const known = ContentBlockSchema.safeParse(block)
  if (known.success) return toPart(known.data)
  return text(typeof block === "string" ? block : toJson(block))
}

const toJson = (value: unknown): string =>
  JSON.stringify(value, (_key, member) => isBase64(member) ? "[left out]" : member)

/** Whether the value is a long base64 text. A model cannot read it, and it has many tokens. */
const isBase64 = (value: unknown): boolean =>
  typeof value === "string" && value.length > 200 && /^(?:data:[^,]*,)?[\w+/=-]+$/.test(value)

const readContent = ({ _meta, content, isError: _isError, structuredContent, ...rest }: JsonRecord) => {
  // Some servers send a single block or a text instead of a list.
  if (content !== undefined && content !== null) return Array.isArray(content) ? content : [content]
  // `toolResult` of the first protocol version can be any value. Some servers send only that value, without the object.
  const value = rest["toolResult"] ?? rest
  if (isRecord(value) && Array.isArray(value["content"])) return value["content"]
  return structuredContent !== undefined || (isRecord(value) && Object.keys(value).length === 0) ? [] : [value]
}

/**
 * Converts a result. Structured content is added as JSON if there is no text, or if the result is an error, because the text
 * of an error often has less information.
 */
export const toParts = (result: JsonRecord): ReadonlyArray<ContentPart> => {
  const { isError, structuredContent } = result
  const parts = itemsOf(readContent(result)).map(readBlock)
  const hasText = parts.some((part) => part.type === "text" && part.text.trim() !== "")
  return structuredContent === undefined || structuredContent === null || (hasText && isError !== true)
    ? parts
    : [...parts, text(JSON.stringify(structuredContent))]
}

/** The texts of the parts. Other parts become a short text. */
export const textOf = (parts: ReadonlyArray<ContentPart>): string =>
  parts.map((part) => part.type === "text" ? part.text : `[${part.type}]`).join("\n")
