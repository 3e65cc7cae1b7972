/**
 * Reads the fields of an error, with limits for the length of texts and lists.
 */
import { fieldsOf, firstDefined, itemsOf, type JsonRecord } from "../json.ts"

/** The maximum number of characters that are read of a text. */
export const maxTextLength = 2 ** 16

/** A text that is not blank, with its length limited. Undefined for other values. */
export const nonEmpty = (value: unknown): string | undefined => {
  const text = typeof value === "string" ? value.slice(0, maxTextLength) : ""
  return text.trim() === "" ? undefined : text
}

/** A finite number as text, or a text that is not blank. Servers send codes and statuses as either. */
export const label = (value: unknown): string | undefined => Number.isFinite(value) ? String(value) : nonEmpty(value)

/** The result of reading the first of these fields that has one. */
export const firstField = <A>(
  fields: JsonRecord,
  keys: ReadonlyArray<string>,
  read: (value: unknown) => A | undefined
): A | undefined => firstDefined(keys, (key) => read(fields[key]))

/** The first records of a list. Real errors have only a few details. */
export const recordsOf = (list: unknown): ReadonlyArray<JsonRecord> => itemsOf(list).slice(0, 20).map(fieldsOf)
