/**
 * Reads when a server's used-up limits reset, from headers such as `x-ratelimit-reset-requests`.
 */
import type { JsonRecord } from "../json.ts"

/** The maximum wait, in milliseconds. Finite, because JSON has no infinity. */
const maxWait = Number.MAX_SAFE_INTEGER

/** Rounds milliseconds up to an integer from 0 to the maximum wait. */
export const toWait = (millis: number): number => Math.min(Math.max(0, Math.ceil(millis)), maxWait)

/** Parses a decimal number without sign or exponent. */
export const parseDecimal = (text = ""): number | undefined =>
  /^\s*(?:\d+(?:\.\d*)?|\.\d+)\s*$/.test(text) ? Number(text) : undefined

/** Parses a date to milliseconds since 1970. The obsolete asctime form and ISO dates without a zone mean GMT. */
export const parseDateMillis = (text = ""): number | undefined => {
  if (text.length > 64 || !/\d:\d\d/.test(text)) return undefined
  const zoned = /(?:GMT|UTC|Z|[+-]\d{2}:?\d{2})\s*$/i.test(text)
    ? text
    : `${text.trim()}${isoDate.test(text) ? "Z" : " GMT"}`
  const at = Date.parse(zoned)
  return Number.isNaN(at) ? undefined : at
}

const isoDate = /^\s*\d{4}-\d\d-\d\d[T ]/

/** Milliseconds per unit, by the start of the unit's name. */
const units: ReadonlyArray<readonly [RegExp, number]> = [
  [/^(?:ms|milli|毫)/, 1],
  [/^(?:[uµμ]s|micro)/, 0.001],
  [/^(?:ns|nano)/, 0.000_001],
  [/^(?:m|分)/, 60_000],
  [/^(?:h|小)/, 3_600_000],
  [/^d/, 86_400_000]
]

const unitOf = (name: string): number => units.find(([start]) => start.test(name.toLowerCase()))?.[1] ?? 1_000

/** Whether a text is a duration with units and nothing else: `1m30s`. */
export const isDuration = (text: string): boolean =>
  text.length <= 64 && /^\s*(?:\d+(?:\.\d+)?\s*[a-zµμ]+\s*)+$/i.test(text)

/** Parses a duration to milliseconds: a number of seconds, numbers with units such as `6m0s`, or `00:06:00`. */
export const parseDurationMillis = (text: string): number | undefined => {
  const seconds = parseDecimal(text)
  if (seconds !== undefined) return toWait(seconds * 1_000)
  const [, ...clock] = /^\s*(\d{1,4}):([0-5]\d):([0-5]\d)\s*$/.exec(text) ?? []
  if (clock.length > 0) return toWait(clock.reduce((total, part) => total * 60 + Number(part), 0) * 1_000)
  const parts = [...text.slice(0, 128).matchAll(/(\d+(?:\.\d+)?)\s*(\p{L}+)/gu)]
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * unitOf(unit ?? "s"), 0)
  // Rounded to the microsecond first: 2.007 * 1000 is slightly more than 2007, and must not become 2008.
  return parts.length === 0 ? undefined : toWait(Number(total.toFixed(3)))
}

/** For each unit of epoch times, the smallest number that is one, and the milliseconds per unit. */
const epochs = [[1e17, 1e-6], [1e14, 1e-3], [1e11, 1], [1e9, 1_000]] as const

/** The wait in milliseconds until a reset: an epoch in seconds or smaller units, a date, or a duration. */
export const resetMillis = (text: string, nowMillis: number): number | undefined => {
  const number = parseDecimal(text)
  const epoch = number === undefined ? undefined : epochs.find(([min]) => number >= min)
  if (number !== undefined && epoch !== undefined) return toWait(number * epoch[1] - nowMillis)
  const at = parseDateMillis(text)
  return at === undefined ? parseDurationMillis(text) : toWait(at - nowMillis)
}

/**
 * The resets of used-up limits in headers or in an object of a body. Other limits are ignored: many servers send them with
 * every response.
 */
export const resetsIn = (fields: JsonRecord): ReadonlyArray<string> => {
  const maxFields = 200
  const values = new Map<string, string>()
  for (const name in fields) {
    if (values.size === maxFields) break
    const value = fields[name]
    const text = typeof value === "number" || typeof value === "string" ? String(value) : ""
    if (text !== "" && text.length <= 400) values.set(name.toLowerCase(), text)
  }
  return [...values].flatMap(([name, value]) => {
    if (name === "ratelimit") return resetOfRateLimit(value)
    const at = name.indexOf("reset")
    if (at === -1) return []
    // `x-ratelimit-reset-after` belongs to `x-ratelimit-remaining`.
    const remaining = values.get(name.replace("reset", "remaining")) ?? values.get(`${name.slice(0, at)}remaining`)
    const isMillis = /[-_]ms$/.test(name) && parseDecimal(value) !== undefined
    return isUsedUp(remaining) ? [isMillis ? `${value}ms` : value] : []
  })
}

/** Whether the remaining amount is zero. Some gateways count below zero. */
const isUsedUp = (remaining = ""): boolean => /^\s*-\d/.test(remaining) || parseDecimal(remaining) === 0

/** The header of the IETF's drafts: `limit=10, remaining=0, reset=5`, later `"default";r=0;t=5`. */
const resetOfRateLimit = (value: string): ReadonlyArray<string> =>
  value.split(",").some((part) => /(?:remaining|\br)\s?=\s?0(?![.\d])/.test(part))
    ? (/(?:reset|\bt)\s?=\s?(\d{1,12})/.exec(value)?.slice(1) ?? [])
    : []
