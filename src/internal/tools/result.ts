/**
 * The text and the media of a result.
 */
import type { ContentPart } from "../../ChatMessage.ts"
import { Content, type Result } from "./model.ts"

/** The result that a value stands for. */
export const resultOf = (value: unknown): Result => {
  if (!(value instanceof Content)) return { text: textOf(value), media: [] }
  const media = value.parts.filter((part) => part.type !== "text")
  return { text: withoutMedia(value.parts.map(labelOf).join("\n")), media }
}

const labelOf = (part: ContentPart): string => part.type === "text" ? part.text : `[${part.type}]`

/** A value as text: a string as it is, anything else as JSON. */
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

/** Base64 costs the model many tokens and tells it nothing. */
const withoutMedia = (text: string): string =>
  text.replace(
    /data:([\w.+-]+\/[\w.+-]+)[^,\s"]{0,200};base64,([A-Za-z0-9+/]{64,}={0,2})/g,
    (_match, type: string, data: string) => `[${type}, ${Math.floor(data.length * 3 / 4)} bytes]`
  )

const loneSurrogates = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g

/** Well-formed text of at most `max` characters and the mark that says what is left out. Never empty. */
export const truncateResult = (text: string, max: number): string => {
  const whole = text.trim() === "" ? "The tool returned nothing." : text.replace(loneSurrogates, "\uFFFD")
  if (whole.length <= max) return whole
  const head = Math.ceil(max * 2 / 3)
  const start = whole.slice(0, head).replace(/[\uD800-\uDBFF]$/, "")
  const end = whole.slice(whole.length - (max - head)).replace(/^[\uDC00-\uDFFF]/, "")
  const omitted = whole.length - start.length - (max === head ? 0 : end.length)
  const mark = `[${omitted} of ${whole.length} characters were left out]`
  return max === head ? `${start}\n${mark}` : `${start}\n${mark}\n${end}`
}
