/**
 * Converts names and descriptions of MCP tools to names and descriptions that model servers accept.
 */
import * as Hash from "effect/Hash"

const maxNameLength = 64

/**
 * A name of 1 to 64 letters, digits, `_` or `-`. If the original name is not allowed, the new one ends with its hash, so that
 * different tools have different names and every run uses the same names. It contains the end of a long name, because long
 * names often begin with the same words.
 */
export const toToolName = (prefix: string | undefined, name: string): string => {
  const full = prefix === undefined || prefix === "" ? name : `${prefix}_${name}`
  const allowed = full.replace(/[^A-Za-z0-9_-]/g, "_")
  if (allowed === full && full.length > 0 && full.length <= maxNameLength) return full
  const hash = (Hash.string(full) >>> 0).toString(16).padStart(8, "0")
  return `${allowed.slice(-(maxNameLength - hash.length - 1))}_${hash}`
}

const maxDescriptionLength = 2_000

/** Truncates a description and removes invisible characters, which can hide instructions to the model. */
export const toDescription = (text: string): string => {
  const visible = text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Variation_Selector}]/gu,
    (character) => character === "\n" || character === "\t" ? character : ""
  )
  return visible.length <= maxDescriptionLength ? visible : `${visible.slice(0, maxDescriptionLength)}…`
}
