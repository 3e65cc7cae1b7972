/**
 * Reads waits and reset dates from the fields of an error's body.
 */
import { asCount, fieldsOf, firstDefined, isRecord, type JsonRecord } from "../json.ts"
import { firstField, label, nonEmpty, recordsOf } from "./fields.ts"
import { resetsIn } from "./resets.ts"

const splitWords = (words: string): ReadonlyArray<string> => words.split(/\s+/)

const millisKeys = splitWords("retry_after_ms retryAfterMs retry-after-ms")
const secondsKeys = splitWords(
  `retryDelay retry_delay retry_after retry-after retry_after_seconds retryAfter retryAfterSeconds retry_in retryIn
   wait_time waitTime wait_seconds backoff_seconds resets_in_seconds reset_in_seconds reset_in`
)
const dateKeys = splitWords("resets_at reset_at resetsAt resetAt reset_time resetTime retry_at retryAt")

const timeReader = (unit: "ms" | "s") => (value: unknown): string | undefined => {
  if (typeof value === "number" && value >= 0) return `${value}${unit}`
  if (unit === "ms") return undefined
  // Google's `Duration` as an object.
  return isRecord(value) ? secondsOf(value) : nonEmpty(value)
}

const secondsOf = ({ nanos, seconds }: JsonRecord): string | undefined => {
  const integerSeconds = asCount(seconds)
  return integerSeconds === undefined ? undefined : `${integerSeconds + (asCount(nanos) ?? 0) / 1e9}s`
}

/** The wait as a duration: `34s`, `1200ms`. */
export const retryDelayIn = (fields: JsonRecord): string | undefined =>
  firstDefined(
    [fields, ...[fields.metadata, fields.retryInfo, fields.retry_info].map(fieldsOf), ...recordsOf(fields.details)],
    (source) => firstField(source, millisKeys, timeReader("ms")) ?? firstField(source, secondsKeys, timeReader("s"))
  )

/** The dates from which a request can succeed, and the resets of limits that are used up. */
export const datesIn = (fields: JsonRecord): ReadonlyArray<string> => {
  const metadata = fieldsOf(fields.metadata)
  const date = firstDefined([fields, metadata], (source) => firstField(source, dateKeys, label))
  const sources = [metadata, metadata.headers, fields.headers, fields.rate_limit, fields.rateLimit]
  return [...date === undefined ? [] : [date], ...sources.flatMap((source) => resetsIn(fieldsOf(source)))]
}
