/**
 * Separates reasoning in tags at the start of an answer from its text: `<think>…</think>answer`.
 *
 * A tag within the text is text. Some chat templates contain the opening tag, so an answer may have only a closing tag.
 * The reasoning before it was already emitted as text and stays text.
 */

/** A part of the text, and whether it is reasoning. Never empty. */
export interface Segment {
  readonly isReasoning: boolean
  readonly text: string
}

/** An incremental splitter for one answer. */
export interface ThinkTags {
  readonly push: (text: string) => ReadonlyArray<Segment>
  readonly end: () => ReadonlyArray<Segment>
}

/** The opening and closing tags. */
const tags = [
  ...["think", "thinking", "reasoning", "thought", "seed:think"].map((name) => [`<${name}>`, `</${name}>`] as const),
  ["[think]", "[/think]"], // Magistral
  ["\u25c1think\u25b7", "\u25c1/think\u25b7"], // Kimi-VL
  ["<|begin_of_thought|>", "<|end_of_thought|>"] // Sky-T1, OpenThinker
] as const

/** The maximum number of spaces before the last character of a tag: `<think >`. */
const maxSpaces = 16

const maxTagLength = Math.max(...tags.flat().map((tag) => tag.length)) + maxSpaces

/** A pattern for a tag, ignoring case. */
const tagPattern = (tag: string, before = ""): RegExp => {
  const escaped = tag.replace(/[^\w\s]/g, "\\$&")
  return new RegExp(`${before}${escaped.slice(0, -2)}\\s{0,${maxSpaces}}${escaped.slice(-2)}`, "i")
}

const startPatterns = tags.map(([open, close]) => [tagPattern(open, "^"), tagPattern(close, "^"), close] as const)

/** Whether a text can be the start of a tag. */
const isTagPrefix = (tag: string, text: string): boolean => {
  // Only ASCII letters: others can change the length of the text.
  const start = text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  const name = start.trimEnd()
  return tag.startsWith(start) || (name === tag.slice(0, -1) && start.length - name.length <= maxSpaces)
}

/**
 * The tag at the start of a text: its length, and its closing tag, which is empty for a closing tag. Undefined if the text
 * may be the start of a tag, null if there is none.
 */
const tagAt = (text: string): { readonly length: number; readonly close: string } | undefined | null => {
  const start = text.slice(0, maxTagLength)
  for (const [openPattern, closePattern, close] of startPatterns) {
    const opening = openPattern.exec(start)
    const match = opening ?? closePattern.exec(start)
    if (match !== null) return { length: match[0].length, close: opening === null ? "" : close }
  }
  return tags.flat().some((tag) => isTagPrefix(tag, start)) ? undefined : null
}

/** The index of a closing tag, which may be incomplete at the end of the text. The length is 0 if it is not complete. */
const findClosingTag = (tag: string, text: string): { readonly at: number; readonly length: number } => {
  const match = tagPattern(tag).exec(text)
  if (match !== null) return { at: match.index, length: match[0].length }
  let at = Math.max(0, text.length - tag.length - maxSpaces)
  while (!isTagPrefix(tag, text.slice(at))) at++
  return { at, length: 0 }
}

const nonEmpty = (...segments: ReadonlyArray<Segment>): ReadonlyArray<Segment> =>
  segments.filter(({ text }) => text !== "")

/** A splitter for one answer. */
export const make = (): ThinkTags => {
  let state: "start" | "reasoning" | "gap" | "text" = "start"
  let close = ""
  let buffered = ""
  /** The chunks of white space before the first word. */
  let leadingSpace: Array<string> = []

  const takeBuffered = (): string => {
    const text = buffered
    buffered = ""
    return text
  }

  /** Removes and returns the reasoning at the start of the buffered text. */
  const takeReasoning = (): string => {
    const { at, length } = findClosingTag(close, buffered)
    const reasoning = buffered.slice(0, at)
    buffered = buffered.slice(at + length)
    if (length > 0) state = "gap"
    return reasoning
  }

  /** Reads a tag at the start of the buffered text, if there is one. Returns false if more text is needed. */
  const readTag = (): boolean => {
    // The blank lines around reasoning belong to neither it nor the answer.
    const rest = buffered.trimStart()
    if (state === "gap") buffered = rest
    if (rest === "") return false
    const tag = tagAt(rest)
    if (tag === undefined) return false
    if (tag === null) {
      buffered = leadingSpace.join("") + buffered
      state = "text"
    } else {
      buffered = rest.slice(tag.length)
      close = tag.close
      // A closing tag alone ends reasoning that arrived in its own field.
      state = close === "" ? "gap" : "reasoning"
    }
    leadingSpace = []
    return true
  }

  const push = (chunk: string): ReadonlyArray<Segment> => {
    if (state === "start" && buffered === "" && chunk.trim() === "") {
      leadingSpace.push(chunk)
      return []
    }
    buffered += chunk
    const segments: Array<Segment> = []
    while (state === "text" || state === "reasoning" || readTag()) {
      if (state === "reasoning") {
        segments.push({ isReasoning: true, text: takeReasoning() })
        if (state === "reasoning") break
      } else if (state === "text") {
        segments.push({ isReasoning: false, text: takeBuffered() })
        break
      }
    }
    return nonEmpty(...segments)
  }

  const end = (): ReadonlyArray<Segment> => {
    const text = leadingSpace.join("") + takeBuffered()
    leadingSpace = []
    return nonEmpty({ isReasoning: state === "reasoning", text })
  }

  return { push, end }
}
