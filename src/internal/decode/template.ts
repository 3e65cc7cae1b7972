/**
 * A short cut for events that repeat an earlier one but for the piece of text in them.
 *
 * A server writes the same chunk for every token, word for word, around `delta.content`. What stands around it is read
 * once, by the full decoder; an event with the same around its text then says that text and nothing else. All other
 * events are the full decoder's.
 */
import { asString, isRecord, type JsonRecord, parseJson } from "../json.ts"

/** A text that replaces another one, to test whether the event has it as its text. */
const probe = "effect-chat"

/** An event of one line, up to the probable start of its text. */
const opening = /^(data:[^\r\n]+?"content" *: *")[^\r\n]*\n\n$/

/** The template of one answer. Mutable: one answer is read by one reader. */
export interface Template {
  /** Emits the text of every matching event from `at` on, and returns the index of the first that does not match. */
  readonly read: (text: string, at: number, tell: (piece: string) => void) => number
  /** Uses an event with one text as the pattern of later ones. If none of them matches, this is tried less and less often. */
  readonly learn: (event: string) => void
}

/** A template for one answer. `textOf` returns the text of a chunk that has only a text. */
export const make = (maxEventSize: number, textOf: (chunk: JsonRecord) => string | undefined): Template => {
  let before = ""
  let after = ""
  let hits = 0
  let patience = 0
  let pause = 0

  const read: Template["read"] = (text, at, tell) => {
    if (before === "") return at
    let next = at
    while (isAt(text, next, before)) {
      const begin = next + before.length
      const end = text.indexOf("\"", begin)
      if (end === -1 || end + after.length - next > maxEventSize || !isAt(text, end, after)) break
      const piece = pieceOf(text, begin, end)
      if (piece === undefined) break
      if (piece !== "") tell(piece)
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
    // The place is that of the text if a replacement there becomes the text of the chunk.
    const chunk = parseJson(start.slice("data:".length) + probe + event.slice(end))?.value
    if (event.slice(start.length, end) === probe || !isRecord(chunk) || textOf(chunk) !== probe) return
    before = copy(start)
    after = copy(event.slice(end))
  }

  return { read, learn }
}

/** The same as `startsWith`, and three times as fast. */
const isAt = (text: string, at: number, part: string): boolean => text.slice(at, at + part.length) === part

/** The same text, which holds no longer one in memory. */
const copy = (text: string): string => asString(parseJson(JSON.stringify(text))?.value) ?? ""

/** The text between two quotes of JSON. Undefined if it is not a JSON string. */
const pieceOf = (text: string, begin: number, end: number): string | undefined => {
  // Longer pieces are copied out of a chunk, lest they hold all of it in memory.
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
