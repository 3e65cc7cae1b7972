/**
 * Readers of parsed JSON of unknown shape: absent values, null and values of other types read as undefined. Also JSON text
 * that strict parsers accept.
 */

/** An object of JSON. */
export type JsonRecord = Readonly<Record<string, unknown>>

export const isRecord = (value: unknown): value is JsonRecord =>
  typeof value === "object" && value !== null && !Array.isArray(value)

export const asRecord = (value: unknown): JsonRecord | undefined => isRecord(value) ? value : undefined

export const asArray = (value: unknown): ReadonlyArray<unknown> | undefined => Array.isArray(value) ? value : undefined

export const asString = (value: unknown): string | undefined => typeof value === "string" ? value : undefined

/** A text that is not empty. Servers send `""` in place of null. */
export const asText = (value: unknown): string | undefined =>
  typeof value === "string" && value !== "" ? value : undefined

/** The fields of an object. Empty for other values. */
export const fieldsOf = (value: unknown): JsonRecord => isRecord(value) ? value : {}

/** The items of a list. Empty for other values. */
export const itemsOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : none

const none: ReadonlyArray<unknown> = []

/** The first value that the reader returns for one of the items. */
export const first = <A, B>(items: ReadonlyArray<A>, read: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = read(item)
    if (found !== undefined) return found
  }
  return undefined
}

/** A count: zero or more, as a number or a text. */
export const asCount = (value: unknown): number | undefined => {
  const number = typeof value === "string" && value.trim() !== "" ? Number(value) : value
  return typeof number === "number" && Number.isFinite(number) ? Math.max(0, number) : undefined
}

/** The same without the fields that are undefined. */
export function defined<A extends object>(fields: A): A
export function defined(fields: JsonRecord): JsonRecord {
  const rest: Record<string, unknown> = {}
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) rest[key] = value
  return rest
}

/** Parses JSON. Undefined for other text. */
export const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

/** A pair of escaped surrogates, a lone one, or any other escape. */
const escapes = /\\(?:(ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|(ud[89a-f][0-9a-f]{2})|[^])/gi

/** JSON text whose lone surrogates, which `JSON.stringify` escapes, are replacement characters. */
export const wellFormed = (json: string): string =>
  /\\ud[89a-f]/i.test(json)
    ? json.replace(escapes, (escape, _pair, lone) => lone === undefined ? escape : "\ufffd")
    : json

/** The JSON of a value as well-formed Unicode, keys included. Throws as `JSON.stringify` does. */
export const toJsonText = (value: object): string => wellFormed(JSON.stringify(value))
