/**
 * A fast path for events that differ from an earlier one only in their text.
 *
 * Servers repeat the same chunk for every token and change only `delta.content`. The full decoder reads the first of these
 * events. If a later event has the same characters before and after its text, only its text is read. The full decoder reads
 * all other events.
 */
import { asString, isRecord, type JsonRecord, parseJson } from "../json.ts"

/** Replaces the probable text of an event, to test whether it is the text. */
const probe = "effect-chat"

/** Matches an event of one line. The group ends at the probable start of its text. */
const eventPattern = /^(data:[^\r\n]+?"content" *: *")[^\r\n]*\n\n$/

/** The template of one answer. Mutable: one answer has one reader. */
export interface Template {
  /** Emits the text of every matching event from `at` on, and returns the index of the first that does not match. */
  readonly read: (text: string, at: number, emit: (content: string) => void) => number
  /** Uses an event as the pattern for later ones. Patterns that never match are tried less and less often. */
  readonly learn: (event: string) => void
}

/** A template for one answer. `textOf` returns the text of a chunk that has only a text. */
export const make = (maxEventSize: number, textOf: (chunk: JsonRecord) => string | undefined): Template => {
  let prefix = ""
  let suffix = ""
  let matchCount = 0
  let pauseLength = 0
  let pauseLeft = 0

  const read: Template["read"] = (text, at, emit) => {
    if (prefix === "") return at
    let next = at
    while (isAt(text, next, prefix)) {
      const start = next + prefix.length
      const end = text.indexOf("\"", start)
      if (end === -1 || end + suffix.length - next > maxEventSize || !isAt(text, end, suffix)) break
      const content = parseString(text, start, end)
      if (content === undefined) break
      if (content !== "") emit(content)
      next = end + suffix.length
      matchCount++
    }
    return next
  }

  const learn: Template["learn"] = (event) => {
    const maxPatternLength = 4096
    const maxPause = 1024
    if (prefix !== "" && event.startsWith(prefix) && event.endsWith(suffix)) return
    prefix = ""
    if (pauseLeft-- > 0) return
    pauseLength = matchCount === 0 ? Math.min(maxPause, pauseLength * 2 + 1) : 0
    pauseLeft = pauseLength
    matchCount = 0
    const start = event.length > maxPatternLength ? undefined : eventPattern.exec(event)?.[1]
    if (start === undefined) return
    const end = event.indexOf("\"", start.length)
    // This is the text of the chunk if `textOf` returns what replaces it.
    const chunk = parseJson(start.slice("data:".length) + probe + event.slice(end))?.value
    if (event.slice(start.length, end) === probe || !isRecord(chunk) || textOf(chunk) !== probe) return
    prefix = copy(start)
    suffix = copy(event.slice(end))
  }

  return { read, learn }
}

/** Like `startsWith`, but three times as fast. */
const isAt = (text: string, at: number, part: string): boolean => text.slice(at, at + part.length) === part

/** A copy, which does not keep a longer text in memory. */
const copy = (text: string): string => asString(parseJson(JSON.stringify(text))?.value) ?? ""

/** The text between two quotes of JSON. Undefined if it is not a JSON string. */
const parseString = (text: string, start: number, end: number): string | undefined => {
  // Longer strings are parsed, which copies them: a slice would keep the complete network chunk in memory.
  const minParsedLength = 13
  return end - start < minParsedLength && isPlainText(text, start, end)
    ? text.slice(start, end)
    : asString(parseJson(text.slice(start - 1, end + 1))?.value)
}

const isPlainText = (text: string, start: number, end: number): boolean => {
  for (let at = start; at < end; at++) {
    const code = text.charCodeAt(at)
    // A control character or a backslash.
    if (code < 0x20 || code === 0x5c) return false
  }
  return true
}
