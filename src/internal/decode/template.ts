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
const opening = /^(data:[^\r\n]+?"content" *: *")[^\r\n]*\n\n$/

/** The template of one answer. Mutable: one answer has one reader. */
export interface Template {
  /** Emits the text of every matching event from `at` on, and returns the index of the first that does not match. */
  readonly read: (text: string, at: number, emit: (piece: string) => void) => number
  /** Uses an event as the pattern for later ones. Patterns that never match are tried less and less often. */
  readonly learn: (event: string) => void
}

/** A template for one answer. `textOf` returns the text of a chunk that has only a text. */
export const make = (maxEventSize: number, textOf: (chunk: JsonRecord) => string | undefined): Template => {
  let before = ""
  let after = ""
  let hits = 0
  let patience = 0
  let pause = 0

  const read: Template["read"] = (text, at, emit) => {
    if (before === "") return at
    let next = at
    while (isAt(text, next, before)) {
      const begin = next + before.length
      const end = text.indexOf("\"", begin)
      if (end === -1 || end + after.length - next > maxEventSize || !isAt(text, end, after)) break
      const piece = pieceOf(text, begin, end)
      if (piece === undefined) break
      if (piece !== "") emit(piece)
      next = end + after.length
      hits++
    }
    return next
  }

  const learn: Template["learn"] = (event) => {
    const longestPattern = 4096
    const longestPause = 1024
    if (before !== "" && event.startsWith(before) && event.endsWith(after)) return
    before = ""
    if (pause-- > 0) return
    patience = hits === 0 ? Math.min(longestPause, patience * 2 + 1) : 0
    pause = patience
    hits = 0
    const start = event.length > longestPattern ? undefined : opening.exec(event)?.[1]
    if (start === undefined) return
    const end = event.indexOf("\"", start.length)
    // This is the text of the chunk if `textOf` returns what replaces it.
    const chunk = parseJson(start.slice("data:".length) + probe + event.slice(end))?.value
    if (event.slice(start.length, end) === probe || !isRecord(chunk) || textOf(chunk) !== probe) return
    before = copy(start)
    after = copy(event.slice(end))
  }

  return { read, learn }
}

/** Like `startsWith`, but three times as fast. */
const isAt = (text: string, at: number, part: string): boolean => text.slice(at, at + part.length) === part

/** A copy, which does not keep a longer text in memory. */
const copy = (text: string): string => asString(parseJson(JSON.stringify(text))?.value) ?? ""

/** The text between two quotes of JSON. Undefined if it is not a JSON string. */
const pieceOf = (text: string, begin: number, end: number): string | undefined => {
  // Longer pieces are copied, because a slice of them keeps the complete chunk in memory.
  const shortest = 13
  return end - begin < shortest && isPlainText(text, begin, end)
    ? text.slice(begin, end)
    : asString(parseJson(text.slice(begin - 1, end + 1))?.value)
}

const isPlainText = (text: string, begin: number, end: number): boolean => {
  for (let at = begin; at < end; at++) {
    const code = text.charCodeAt(at)
    // A control character or a backslash.
    if (code < 0x20 || code === 0x5c) return false
  }
  return true
}
