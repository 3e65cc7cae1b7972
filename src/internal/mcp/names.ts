/**
 * Names and descriptions of an MCP server's tools, as model servers take them.
 */
import * as Hash from "effect/Hash"

const longest = 64

/**
 * A name of 1 to 64 letters, digits, `_` or `-`. A name that has to change gets a hash of the whole, so that two tools keep
 * different names, and the same ones in every run. The end of a long name stays: it tells tools apart.
 */
export const legalName = (prefix: string | undefined, name: string): string => {
  const whole = prefix === undefined || prefix === "" ? name : `${prefix}_${name}`
  const legal = whole.replace(/[^A-Za-z0-9_-]/g, "_")
  if (legal === whole && whole.length > 0 && whole.length <= longest) return whole
  const hash = (Hash.string(whole) >>> 0).toString(16).padStart(8, "0")
  return `${legal.slice(-(longest - hash.length - 1))}_${hash}`
}

const longestDescription = 2_000

/** A text without invisible characters, which can hide orders to the model, and not too long. */
export const visible = (text: string): string => {
  const shown = text.replace(
    /[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Variation_Selector}]/gu,
    (character) => character === "\n" || character === "\t" ? character : ""
  )
  return shown.length <= longestDescription ? shown : `${shown.slice(0, longestDescription)}…`
}
