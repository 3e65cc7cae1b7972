/**
 * Converts the result of a handler to text and media.
 */
import type { ContentPart } from "../../ChatMessage.ts"
import { Content, type Result } from "./model.ts"

/** Splits a value into its text and its media. */
export const resultOf = (value: unknown): Result => {
  if (!(value instanceof Content)) return { text: textOf(value), media: [] }
  const media = value.parts.filter((part) => part.type !== "text")
  return { text: withoutMedia(value.parts.map(labelOf).join("\n")), media }
}

const labelOf = (part: ContentPart): string => part.type === "text" ? part.text : `[${part.type}]`

/** Converts a value to text: a string stays unchanged, and any other value becomes JSON. */
export const textOf = (value: unknown): string => {
  if (typeof value === "string") return withoutMedia(value)
  const json = JSON.stringify(value, (_key, member: unknown) =>
    member instanceof Uint8Array
      ? `[${member.length} bytes]`
      : typeof member === "bigint"
      ? String(member)
      : member)
  return json === undefined ? "" : withoutMedia(json)
}

/** Replaces base64 data by its type and size, because it takes many tokens and the model cannot read it. */
const withoutMedia = (text: string): string =>
  text.replace(
    /data:([\w.+-]+\/[\w.+-]+)[^,\s"]{0,200};base64,([A-Za-z0-9+/]{64,}={0,2})/g,
    (_match, type: string, data: string) => `[${type}, ${Math.floor(data.length * 3 / 4)} bytes]`
  )

const loneSurrogates = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g

/** The default of `maxResultLength`, in characters. */
export const defaultMaxLength = 50_000

/** Truncates text to `max` characters and a note about the omitted ones. The result is well-formed and never empty. */
export const truncateResult = (text: string, max = defaultMaxLength): string => {
  const full = text.trim() === "" ? "The tool returned nothing." : text.replace(loneSurrogates, "\uFFFD")
  if (full.length <= max) return full
  const head = Math.ceil(max * 2 / 3)
  const start = full.slice(0, head).replace(/[\uD800-\uDBFF]$/, "")
  const end = full.slice(full.length - (max - head)).replace(/^[\uDC00-\uDFFF]/, "")
  const omitted = full.length - start.length - (max === head ? 0 : end.length)
  const note = `[${omitted} of ${full.length} characters were left out]`
  return max === head ? `${start}\n${note}` : `${start}\n${note}\n${end}`
}
