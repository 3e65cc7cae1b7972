/**
 * A scanner that follows the brackets of JSON, piece by piece and without parsing it.
 */

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const backslash = 0x5c
// Braces differ from brackets by one bit.
const open = 0x7b
const close = 0x7d
const bit = 0x20

/** How deeply the members of a chunk, of its choice and of the message are nested. */
const outer = 4

/** How deeply the JSON of an answer may be nested. Parsers and Schemas recurse, and a stack is finite. */
const maxDepth = 256

const indexOf = (text: string, character: string, from: number): number => {
  const at = text.indexOf(character, from)
  return at === -1 ? text.length : at
}

/** Follows the brackets of one text. Its work is linear in the text, however the text is cut into pieces. */
export class JsonScanner {
  #isString = false
  #isEscaped = false
  /** How many brackets are open. */
  depth = 0
  /** The most brackets that were open at a time. */
  deepest = 0
  /** How many brackets were opened, and how many commas and colons there are: about the number of keys and values. */
  count = 0
  /** Whether an object or a list has been opened and closed. */
  hasValue = false

  readonly #most: number
  readonly #memberCount: number

  /** For a limit in characters. Parsers take as long for a key or a value as for a hundred. A few are always allowed. */
  constructor(limit = Infinity, memberCount = 1) {
    this.#memberCount = memberCount
    this.#most = Math.max(2 ** 13, Math.floor(limit / 100))
  }

  /** Reads the text from `from` on, up to the end of a value or of the text. Returns the place after that. */
  readValue(text: string, from = 0): number {
    return this.#read(text, from, true)
  }

  /** Why the text should not be parsed, if it is JSON: it is nested too deeply, or has too many values. */
  get excess(): string | undefined {
    if (this.deepest > maxDepth) return "is nested too deeply"
    return this.count > this.#most ? `has more than ${this.#most} keys and values` : undefined
  }

  /** Reads all of the text, up to where it has too much. */
  read(text: string): void {
    this.#read(text, 0, false)
  }

  /** Whether the text so far is one closed object or list, if it is JSON at all. */
  get isClosed(): boolean {
    return this.hasValue && this.depth === 0
  }

  /** Whether the text so far ends within a string. */
  get isInString(): boolean {
    return this.#isString
  }

  /** Every character of an answer passes here: state in variables is read several times faster than in members. */
  #read(text: string, from: number, stops: boolean): number {
    const most = this.#most
    let isString = this.#isString
    let { count, deepest, depth, hasValue } = this
    let nextQuote = -1
    let nextBackslash = -1
    let at = this.#isEscaped && from < text.length ? from + 1 : from
    for (; at < text.length && count <= most; at++) {
      const code = text.charCodeAt(at)
      if (isString) {
        if (code === quote) isString = false
        else if (code === backslash) at++
        // Now and then, what is left of a string is skipped: most of a long answer is long strings.
        else if (at % 64 === 0) {
          if (nextQuote < at) nextQuote = indexOf(text, "\"", at)
          if (nextBackslash < at) nextBackslash = indexOf(text, "\\", at)
          at = Math.min(nextQuote, nextBackslash) - 1
        }
      } else if (code === quote) isString = true
      else if (code === comma) count++
      else if (code === colon) count += depth > outer ? 1 : this.#memberCount
      else if ((code | bit) === open) {
        count++
        hasValue = true
        if (++depth > deepest) deepest = depth
        if (depth > maxDepth && !stops) break
      } else if ((code | bit) === close) {
        depth--
        if (stops && depth === 0) {
          at++
          break
        }
      }
    }
    this.#isString = isString
    this.#isEscaped = at > text.length || (this.#isEscaped && from >= text.length)
    Object.assign(this, { depth, deepest, count, hasValue })
    return Math.min(at, text.length)
  }
}

/** A scanner that has read the text, for a limit in characters. */
export const scan = (text: string, limit: number, memberCount = 1): JsonScanner => {
  const scanner = new JsonScanner(limit, memberCount)
  scanner.read(text)
  return scanner
}

/** A text with objects and lists in it. */
export interface Values {
  /** The closed objects and lists, in their order. Each may be JSON or not. */
  readonly values: ReadonlyArray<string>
  /** What stands before, between and behind them. */
  readonly outside: string
  /** An object or a list at the end that is not closed. */
  readonly open: string
}

/** Finds the objects and lists that stand in a text, as long as there are not very many. */
export const valuesIn = (text: string): Values => {
  const most = 2 ** 14
  const values: Array<string> = []
  let outside = ""
  let at = 0
  while (at < text.length) {
    const start = firstBracket(text, at)
    outside += text.slice(at, start)
    if (start === text.length) break
    const scanner = new JsonScanner()
    at = scanner.readValue(text, start)
    if (!scanner.isClosed || values.length === most) return { values, outside, open: text.slice(start) }
    values.push(text.slice(start, at))
  }
  return { values, outside, open: "" }
}

/** The place of the first opening bracket, or the end of the text. */
const firstBracket = (text: string, from: number): number => {
  let at = from
  while (at < text.length && (text.charCodeAt(at) | bit) !== open) at++
  return at
}

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

/** The text with the line breaks and tabs within strings escaped, as JSON demands it. Models can leave them as they are. */
export const withEscapes = (text: string): string => {
  const longest = 2 ** 18
  const scanner = new JsonScanner()
  let at = 0
  return text.length > longest ? text : text.replace(/[\n\r\t]/g, (character, place: number) => {
    scanner.read(text.slice(at, place))
    at = place
    return scanner.isInString ? escapes[character] ?? character : character
  })
}
