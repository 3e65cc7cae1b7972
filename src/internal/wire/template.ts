/**
 * A short cut for events that repeat an earlier one but for the piece of text in them.
 *
 * A server writes the same chunk for every token, word for word, around `delta.content`. What stands around it is read
 * once, by the full decoder; an event with the same around its text then says that text and nothing else. All other
 * events are the full decoder's.
 */
import { asString, isRecord, type JsonRecord, parseJson } from "../json.ts"

/** A text that is put in the place of another to see whether it is told. */
const probe = "effect-chat"

/** An event of one line, up to where the text of its chunk begins, most probably. */
const opening = /^(data:[^\r\n]+?"content" *: *")[^\r\n]*\n\n$/

/** The template of one answer. Mutable: one answer is read by one reader. */
export class Template {
  readonly #textOf: (chunk: JsonRecord) => string | undefined
  readonly #maxEventSize: number
  #before = ""
  #after = ""
  #hits = 0
  #patience = 0
  #pause = 0

  /** `textOf` gives the text of a chunk that says a text and nothing else. */
  constructor(maxEventSize: number, textOf: (chunk: JsonRecord) => string | undefined) {
    this.#maxEventSize = maxEventSize
    this.#textOf = textOf
  }

  /** Tells the text of every event from `at` on that fits, and gives the place of the first that does not. */
  read(text: string, at: number, tell: (piece: string) => void): number {
    const after = this.#after
    const before = this.#before
    if (before === "") return at
    let next = at
    while (isAt(text, next, before)) {
      const begin = next + before.length
      const end = text.indexOf("\"", begin)
      if (end === -1 || end + after.length - next > this.#maxEventSize || !isAt(text, end, after)) break
      const piece = pieceOf(text, begin, end)
      if (piece === undefined) break
      if (piece !== "") tell(piece)
      next = end + after.length
      this.#hits++
    }
    return next
  }

  /** Takes an event of one text as the pattern of those to come. Where none of them fits, this is tried ever less often. */
  learn(event: string): void {
    const longestPattern = 4096
    const longestPause = 1024
    if (this.#before !== "" && event.startsWith(this.#before) && event.endsWith(this.#after)) return
    this.#before = ""
    if (this.#pause-- > 0) return
    this.#patience = this.#hits === 0 ? Math.min(longestPause, this.#patience * 2 + 1) : 0
    this.#pause = this.#patience
    this.#hits = 0
    const before = event.length > longestPattern ? undefined : opening.exec(event)?.[1]
    if (before === undefined) return
    const begin = before.length
    const end = event.indexOf("\"", begin)
    // The place is the text's if another text there is what the chunk says then.
    const chunk = parseJson(before.slice("data:".length) + probe + event.slice(end))?.value
    if (event.slice(begin, end) === probe || !isRecord(chunk) || this.#textOf(chunk) !== probe) return
    this.#before = copy(before)
    this.#after = copy(event.slice(end))
  }
}

/** The same as `startsWith`, and three times as fast. */
const isAt = (text: string, at: number, part: string): boolean => text.slice(at, at + part.length) === part

/** The same text, which holds no longer one in memory. */
const copy = (text: string): string => asString(parseJson(JSON.stringify(text))?.value) ?? ""

/** The text between two quotes of JSON, undefined where it is none. */
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
