/**
 * Splits a text that begins with inline reasoning, such as `<think>…</think>answer`, however it is chunked.
 *
 * Only the start of an answer is looked at: a tag within a text is text. Some chat templates open the tag themselves, so
 * an answer may also have a closing tag alone. By then the reasoning was emitted as text, and it stays.
 */

/** A stretch of text, and whether it is reasoning. Never empty. */
export interface Piece {
  readonly isReasoning: boolean
  readonly text: string
}

/** An incremental splitter for one answer. */
export interface ThinkTags {
  readonly push: (text: string) => ReadonlyArray<Piece>
  readonly end: () => ReadonlyArray<Piece>
}

/** What opens reasoning, and what closes it. */
const tags = [
  ...["think", "thinking", "reasoning", "thought", "seed:think"].map((name) => [`<${name}>`, `</${name}>`] as const),
  ["[think]", "[/think]"], // Magistral
  ["\u25c1think\u25b7", "\u25c1/think\u25b7"], // Kimi-VL
  ["<|begin_of_thought|>", "<|end_of_thought|>"] // Sky-T1, OpenThinker
] as const

const longestTag = Math.max(...tags.flat().map((tag) => tag.length))

/** Letters of ASCII alone: others can change the length of the text. */
const lower = (text: string): string => text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase())

/**
 * The tag that a text begins with: its length, and what closes it, which is nothing for a closing tag. Undefined where
 * there may be one, null where there is none.
 */
const tagAt = (text: string): { readonly length: number; readonly close: string } | undefined | null => {
  const start = lower(text.slice(0, longestTag))
  const found = tags.find((pair) => pair.some((tag) => start.startsWith(tag)))
  if (found === undefined) return tags.flat().some((tag) => tag.startsWith(start)) ? undefined : null
  const [open, close] = found
  return start.startsWith(open) ? { length: open.length, close } : { length: close.length, close: "" }
}

/** Where a closing tag begins in a text, or may begin at its end. */
const placeOf = (tag: string, text: string): number => {
  const at = text.search(new RegExp(tag.replace(/[^\w\s]/g, "\\$&"), "i"))
  if (at !== -1) return at
  let place = Math.max(0, text.length - tag.length)
  while (!tag.startsWith(lower(text.slice(place)))) place++
  return place
}

const saying = (...pieces: ReadonlyArray<Piece>): ReadonlyArray<Piece> => pieces.filter(({ text }) => text !== "")

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

  /** Takes what is reasoning from what is held. */
  const takeReasoning = (): string => {
    const end = placeOf(close, held)
    const reasoning = held.slice(0, end)
    held = held.slice(end)
    if (held.length >= close.length) {
      held = held.slice(close.length)
      state = "gap"
    }
    return reasoning
  }

  /** Reads the tag that may stand here. Returns whether what is held can be read on. */
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
      // A closing tag alone ends reasoning that came in a field of its own.
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
    return saying(...pieces)
  }

  const end = (): ReadonlyArray<Piece> => {
    const text = blank.join("") + take()
    blank = []
    return saying({ isReasoning: state === "reasoning", text })
  }

  return { push, end }
}
