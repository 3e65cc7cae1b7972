/**
 * Reads parsed JSON of unknown shape: absent values, null and values of other types become undefined. Also makes JSON text
 * that strict parsers accept.
 */

/** A JSON object. */
export type JsonRecord = Readonly<Record<string, unknown>>

export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const asRecord = (value: unknown): JsonRecord | undefined => isRecord(value) ? value : undefined

export const asArray = (value: unknown): ReadonlyArray<unknown> | undefined => Array.isArray(value) ? value : undefined

export const asString = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** A text that is not empty. Some servers send `""` for null. */
export const asText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined

/** The fields of an object. Other values have none. */
export const fieldsOf = (value: unknown): JsonRecord => isRecord(value) ? value : {}

/** The items of a list. Other values have none. */
export const itemsOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : none

const none: ReadonlyArray<unknown> = []

/** The first value that the reader returns for one of the items. */
export const firstDefined = <A, B>(items: ReadonlyArray<A>, read: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = read(item)
    if (found !== undefined) return found
  }
  return undefined
}

/** A count of zero or more, from a number or a text. */
export const asCount = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && Number.isFinite(number) ? Math.max(0, number) : undefined
}

/** Removes the fields that are undefined. */
export function defined<A extends object>(fields: A): A
export function defined(fields: JsonRecord): JsonRecord {
  const rest: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) rest[key] = value
  return rest
}

/** Parses JSON. Undefined if the text is not JSON. */
export const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** Matches an escaped surrogate pair, an escaped lone surrogate, or any other escape. */
const escapes = /\\(?:(ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|(ud[89a-f][0-9a-f]{2})|[^])/gi

/** Replaces lone surrogates, which `JSON.stringify` escapes, by the replacement character. */
export const wellFormed = (json: string): string =>
  /\\ud[89a-f]/i.test(json)
    ? json.replace(escapes, (escape, _pair, lone) => lone === undefined ? escape : "\ufffd")
    : json

/** Encodes a value as JSON in well-formed Unicode, including its keys. Throws if `JSON.stringify` does. */
export const toJsonText = (value: object): string => wellFormed(JSON.stringify(value))

/** The JSON of a value with the members of its objects sorted by name. Undefined for a value without JSON. */
export const sortedJson = (value: unknown): string | undefined =>
  JSON.stringify(
    value,
    (_name, member: unknown) =>
      isRecord(member) ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => a < b ? -1 : 1)) : member
  )
