/**
 * Measures the nesting and the number of values of JSON without parsing it, so that limits apply before the parser runs.
 */

const quote = 0x22
const comma = 0x2c
const colon = 0x3a
const backslash = 0x5c
// Braces differ from brackets by one bit.
const open = 0x7b
const close = 0x7d
const braceBit = 0x20

/** The nesting of the members of a chunk, of its choice and of the message. */
const memberDepth = 4

/** The maximum nesting of the JSON of an answer. Parsers and Schemas recurse, and a stack is finite. */
const maxDepth = 256

const indexOf = (text: string, character: string, from: number): number => {
  const at = text.indexOf(character, from)
  return at === -1 ? text.length : at
}

/** Scans one text, in one or more parts. Takes linear time, however the text is split. */
export class JsonScanner {
  #isString = false
  #isEscaped = false
  /** The number of open brackets. */
  depth = 0
  /** The maximum of {@link depth} so far. */
  deepest = 0
  /** The number of opening brackets, commas and colons: approximately the number of keys and values. */
  count = 0
  /** Whether an object or a list has been opened and closed. */
  hasValue = false

  readonly #maxCount: number
  readonly #memberCount: number

  /** `limit` is in characters. A key or a value costs a parser as much time as 100 characters. A few are always allowed. */
  constructor(limit = Infinity, memberCount = 1) {
    this.#memberCount = memberCount
    this.#maxCount = Math.max(2 ** 13, Math.floor(limit / 100))
  }

  /** Reads from `from` to the end of a value or of the text. Returns the index after it. */
  readValue(text: string, from = 0): number {
    return this.#read(text, from, true)
  }

  /** Why the text should not be parsed: it is nested too deeply, or has too many values. Undefined if it may be parsed. */
  get excess(): string | undefined {
    if (this.deepest > maxDepth) return "is nested too deeply"
    return this.count > this.#maxCount ? `has more than ${this.#maxCount} keys and values` : undefined
  }

  /** Reads the text until its end or until it exceeds a limit. */
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

  /** Reads every character of an answer, so the state is in local variables, which are several times faster than members. */
  #read(text: string, from: number, stopsAfterValue: boolean): number {
    const maxCount = this.#maxCount
    let isString = this.#isString
    let { count, deepest, depth, hasValue } = this
    let nextQuote = -1
    let nextBackslash = -1
    let at = this.#isEscaped && from < text.length ? from + 1 : from
    for (; at < text.length && count <= maxCount; at++) {
      const code = text.charCodeAt(at)
      if (isString) {
        if (code === quote) isString = false
        else if (code === backslash) at++
        // Skips the rest of a long string: long answers are mostly long strings.
        else if (at % 64 === 0) {
          if (nextQuote < at) nextQuote = indexOf(text, "\"", at)
          if (nextBackslash < at) nextBackslash = indexOf(text, "\\", at)
          at = Math.min(nextQuote, nextBackslash) - 1
        }
      } else if (code === quote) isString = true
      else if (code === comma) count++
      else if (code === colon) count += depth > memberDepth ? 1 : this.#memberCount
      else if ((code | braceBit) === open) {
        count++
        hasValue = true
        if (++depth > deepest) deepest = depth
        if (depth > maxDepth && !stopsAfterValue) break
      } else if ((code | braceBit) === close) {
        depth--
        if (stopsAfterValue && depth === 0) {
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
  /** The closed objects and lists in order. They need not be valid JSON. */
  readonly values: ReadonlyArray<string>
  /** The text before, between and after them. */
  readonly outside: string
  /** An object or a list at the end that is not closed. Empty if there is none. */
  readonly unclosed: string
}

/** Finds the objects and lists in a text, up to a maximum number. */
export const valuesIn = (text: string): Values => {
  const maxValues = 2 ** 14
  const values: Array<string> = []
  let outside = ""
  let at = 0
  while (at < text.length) {
    const start = indexOfBracket(text, at)
    outside += text.slice(at, start)
    if (start === text.length) break
    const scanner = new JsonScanner()
    at = scanner.readValue(text, start)
    if (!scanner.isClosed || values.length === maxValues) return { values, outside, unclosed: text.slice(start) }
    values.push(text.slice(start, at))
  }
  return { values, outside, unclosed: "" }
}

/** The index of the first opening bracket, or the end of the text. */
const indexOfBracket = (text: string, from: number): number => {
  let at = from
  while (at < text.length && (text.charCodeAt(at) | braceBit) !== open) at++
  return at
}

const escapes: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" }

/** Escapes line breaks and tabs within strings, as JSON requires. Some models do not escape them. */
export const escapeLineBreaks = (text: string): string => {
  const maxLength = 2 ** 18
  const scanner = new JsonScanner()
  let at = 0
  return text.length > maxLength ? text : text.replace(/[\n\r\t]/g, (character, index: number) => {
    scanner.read(text.slice(at, index))
    at = index
    return scanner.isInString ? escapes[character] ?? character : character
  })
}
