/**
 * Reads waits and reset dates from the fields of an error's body.
 */
import { asCount, fieldsOf, first, isRecord, type JsonRecord } from "../json.ts"
import { firstOf, label, nonEmpty, recordsOf } from "./fields.ts"
import { resetsIn } from "./resets.ts"

const split = (words: string): ReadonlyArray<string> => words.split(/\s+/)

const millisKeys = split("retry_after_ms retryAfterMs retry-after-ms")
const secondsKeys = split(
  `retryDelay retry_delay retry_after retry-after retry_after_seconds retryAfter retryAfterSeconds retry_in retryIn
   wait_time waitTime wait_seconds backoff_seconds resets_in_seconds reset_in_seconds reset_in`
)
const dateKeys = split("resets_at reset_at resetsAt resetAt reset_time resetTime retry_at retryAt")

const timeIn = (unit: "ms" | "s") => (value: unknown): string | undefined => {
  if (typeof value === "number" && value >= 0) return `${value}${unit}`
  if (unit === "ms") return undefined
  // Google's `Duration` as an object.
  return isRecord(value) ? secondsOf(value) : nonEmpty(value)
}

const secondsOf = ({ nanos, seconds }: JsonRecord): string | undefined => {
  const whole = asCount(seconds)
  return whole === undefined ? undefined : `${whole + (asCount(nanos) ?? 0) / 1e9}s`
}

/** The wait as a duration: `34s`, `1200ms`. */
export const retryDelayIn = (fields: JsonRecord): string | undefined =>
  first(
    [fields, ...[fields.metadata, fields.retryInfo, fields.retry_info].map(fieldsOf), ...recordsOf(fields.details)],
    (place) => firstOf(place, millisKeys, timeIn("ms")) ?? firstOf(place, secondsKeys, timeIn("s"))
  )

/** The dates from which a request can succeed, and the resets of limits that are used up. */
export const datesIn = (fields: JsonRecord): ReadonlyArray<string> => {
  const metadata = fieldsOf(fields.metadata)
  const stated = first([fields, metadata], (place) => firstOf(place, dateKeys, label))
  const places = [metadata, metadata.headers, fields.headers, fields.rate_limit, fields.rateLimit]
  return [...stated === undefined ? [] : [stated], ...places.flatMap((place) => resetsIn(fieldsOf(place)))]
}
