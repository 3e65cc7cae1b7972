/**
 * A scanner that follows the brackets of JSON, piece by piece and without parsing it.
 */

const quote = 0x22
const backslash = 0x5c
const openBrace = 0x7b
const closeBrace = 0x7d
const openBracket = 0x5b
const closeBracket = 0x5d

/** Follows the brackets of one text. Its work is linear in the text, however the text is cut into pieces. */
export class JsonScanner {
  #isString = false
  #isEscaped = false
  /** How many brackets are open. */
  depth = 0
  /** The most brackets that were open at a time. */
  deepest = 0
  /** Whether an object or a list has been opened and closed. */
  hasValue = false

  /** Reads the text from `from` on, up to the end of a value or of the text. Returns the place after that. */
  readValue(text: string, from = 0): number {
    let at = from
    while (at < text.length) {
      this.#read(text.charCodeAt(at++))
      if (this.hasValue && this.depth === 0) break
    }
    return at
  }

  /** Reads all of the text. */
  read(text: string): void {
    for (let at = 0; at < text.length; at++) this.#read(text.charCodeAt(at))
  }

  /** Whether the text so far is one closed object or list, if it is JSON at all. */
  get isClosed(): boolean {
    return this.hasValue && this.depth === 0
  }

  /** Whether the text so far ends within a string. */
  get isInString(): boolean {
    return this.#isString
  }

  #read(code: number): void {
    if (this.#isString) {
      if (this.#isEscaped) this.#isEscaped = false
      else if (code === backslash) this.#isEscaped = true
      else if (code === quote) this.#isString = false
    } else if (code === quote) {
      this.#isString = true
    } else if (code === openBrace || code === openBracket) {
      this.hasValue = true
      this.depth++
      if (this.depth > this.deepest) this.deepest = this.depth
    } else if (code === closeBrace || code === closeBracket) {
      this.depth--
    }
  }
}

/** How deeply the JSON of an answer may be nested. Parsers and Schemas recurse, and a stack is finite. */
const maxDepth = 256

/** Whether a JSON text is nested more deeply than an answer may be. */
export const isTooDeep = (text: string): boolean => {
  if (text.length <= 2 * maxDepth) return false
  const scanner = new JsonScanner()
  scanner.read(text)
  return scanner.deepest > maxDepth
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

/** Finds the objects and lists that stand in a text. */
export const valuesIn = (text: string): Values => {
  const values: Array<string> = []
  let outside = ""
  let at = 0
  while (at < text.length) {
    const start = firstBracket(text, at)
    outside += text.slice(at, start)
    if (start === text.length) break
    const scanner = new JsonScanner()
    at = scanner.readValue(text, start)
    if (!scanner.isClosed) return { values, outside, open: text.slice(start) }
    values.push(text.slice(start, at))
  }
  return { values, outside, open: "" }
}

/** The place of the first opening bracket, or the end of the text. */
const firstBracket = (text: string, from: number): number => {
  let at = from
  while (at < text.length && text.charCodeAt(at) !== openBrace && text.charCodeAt(at) !== openBracket) at++
  return at
}

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

/** The text with the line breaks and tabs within strings escaped, as JSON demands it. Models can leave them as they are. */
export const withEscapes = (text: string): string => {
  const scanner = new JsonScanner()
  let at = 0
  return text.replace(/[\n\r\t]/g, (character, place: number) => {
    scanner.read(text.slice(at, place))
    at = place
    return scanner.isInString ? escapes[character] ?? character : character
  })
}
