/**
 * Separates reasoning in tags at the start of an answer from its text: `<think>…</think>answer`.
 *
 * A tag within the text is text. Some chat templates contain the opening tag, so an answer may have only a closing tag.
 * The reasoning before it was already emitted as text and stays text.
 */

/** A piece of text, and whether it is reasoning. Never empty. */
export interface Piece {
  readonly isReasoning: boolean
  readonly text: string
}

/** An incremental splitter for one answer. */
export interface ThinkTags {
  readonly push: (text: string) => ReadonlyArray<Piece>
  readonly end: () => ReadonlyArray<Piece>
}

/** The opening and closing tags. */
const tags = [
  ...["think", "thinking", "reasoning", "thought", "seed:think"].map((name) => [`<${name}>`, `</${name}>`] as const),
  ["[think]", "[/think]"], // Magistral
  ["\u25c1think\u25b7", "\u25c1/think\u25b7"], // Kimi-VL
  ["<|begin_of_thought|>", "<|end_of_thought|>"] // Sky-T1, OpenThinker
] as const

/** The maximum white space before the last character of a tag: `<think >`. */
const mostSpace = 16

const longestTag = Math.max(...tags.flat().map((tag) => tag.length)) + mostSpace

/** Matches a tag, ignoring case. */
const patternOf = (tag: string, before = ""): RegExp => {
  const escaped = tag.replace(/[^\w\s]/g, "\\$&")
  return new RegExp(`${before}${escaped.slice(0, -2)}\\s{0,${mostSpace}}${escaped.slice(-2)}`, "i")
}

const openings = tags.map(([open, close]) => [patternOf(open, "^"), patternOf(close, "^"), close] as const)

/** Whether a text may be the start of a tag. */
const isCutTag = (tag: string, text: string): boolean => {
  // Only ASCII letters: others can change the length of the text.
  const start = text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())
  const name = start.trimEnd()
  return tag.startsWith(start) || (name === tag.slice(0, -1) && start.length - name.length <= mostSpace)
}

/**
 * The tag at the start of a text: its length, and its closing tag, which is empty for a closing tag. Undefined if the text
 * may be the start of a tag, null if there is none.
 */
const tagAt = (text: string): { readonly length: number; readonly close: string } | undefined | null => {
  const start = text.slice(0, longestTag)
  for (const [open, end, close] of openings) {
    const opened = open.exec(start)
    const found = opened ?? end.exec(start)
    if (found !== null) return { length: found[0].length, close: opened === null ? "" : close }
  }
  return tags.flat().some((tag) => isCutTag(tag, start)) ? undefined : null
}

/** The index of a closing tag, which may be incomplete at the end of the text. The length is 0 if it is not complete. */
const placeOf = (tag: string, text: string): { readonly at: number; readonly length: number } => {
  const found = patternOf(tag).exec(text)
  if (found !== null) return { at: found.index, length: found[0].length }
  let at = Math.max(0, text.length - tag.length - mostSpace)
  while (!isCutTag(tag, text.slice(at))) at++
  return { at, length: 0 }
}

const nonEmpty = (...pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => pieces.filter(({ text }) => text !== "")

/** A splitter for one answer. */
export const make = (): ThinkTags => {
  let state: "start" | "reasoning" | "gap" | "text" = "start"
  let close = ""
  let held = ""
  /** White space before the first word, in pieces. */
  let blank: Array<string> = []

  const take = (): string => {
    const text = held
    held = ""
    return text
  }

  /** Removes and returns the reasoning at the start of the held text. */
  const takeReasoning = (): string => {
    const { at, length } = placeOf(close, held)
    const reasoning = held.slice(0, at)
    held = held.slice(at + length)
    if (length > 0) state = "gap"
    return reasoning
  }

  /** Reads a tag at the start of the held text, if there is one. Returns false if more text is needed. */
  const readTag = (): boolean => {
    // The blank lines around reasoning belong to neither it nor the answer.
    const rest = held.trimStart()
    if (state === "gap") held = rest
    if (rest === "") return false
    const tag = tagAt(rest)
    if (tag === undefined) return false
    if (tag === null) {
      held = blank.join("") + held
      state = "text"
    } else {
      held = rest.slice(tag.length)
      close = tag.close
      // A closing tag alone ends reasoning that arrived in its own field.
      state = close === "" ? "gap" : "reasoning"
    }
    blank = []
    return true
  }

  const push = (chunk: string): ReadonlyArray<Piece> => {
    if (state === "start" && held === "" && chunk.trim() === "") {
      blank.push(chunk)
      return []
    }
    held += chunk
    const pieces: Array<Piece> = []
    while (state === "text" || state === "reasoning" || readTag()) {
      if (state === "reasoning") {
        pieces.push({ isReasoning: true, text: takeReasoning() })
        if (state === "reasoning") break
      } else if (state === "text") {
        pieces.push({ isReasoning: false, text: take() })
        break
      }
    }
    return nonEmpty(...pieces)
  }

  const end = (): ReadonlyArray<Piece> => {
    const text = blank.join("") + take()
    blank = []
    return nonEmpty({ isReasoning: state === "reasoning", text })
  }

  return { push, end }
}
