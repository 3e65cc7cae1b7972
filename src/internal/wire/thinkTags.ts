/**
 * Splits a text that begins with inline reasoning, such as `<think>…</think>answer`, however it is chunked.
 *
 * Only the start of an answer is looked at: a tag in the midst of a text is text. Some chat templates open the tag
 * themselves, so an answer may also hold a closing tag alone; by then the reasoning has been told as text, and it stays.
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

const tags = ["think", "thinking", "reasoning", "thought"]

/** The tag that opens a text, undefined for none yet, null for none at all. */
const opening = (text: string): string | null | undefined => {
  const rest = text.trimStart()
  for (const tag of tags) {
    if (rest.startsWith(`<${tag}>`)) return tag
  }
  return tags.some((tag) => `<${tag}>`.startsWith(rest)) ? undefined : null
}

/** How many characters at the end of a text may be the beginning of the mark. */
const heldBack = (text: string, mark: string): number => {
  for (let length = Math.min(mark.length - 1, text.length); length > 0; length--) {
    if (mark.startsWith(text.slice(text.length - length))) return length
  }
  return 0
}

const pieces = (reasoning: string, text: string): ReadonlyArray<Piece> => [
  ...(reasoning === "" ? [] : [{ isReasoning: true, text: reasoning }]),
  ...(text === "" ? [] : [{ isReasoning: false, text }])
]

/** A splitter for one answer. */
export const make = (): ThinkTags => {
  let state: "start" | "reasoning" | "gap" | "text" = "start"
  let close = ""
  let held = ""

  const push = (chunk: string): ReadonlyArray<Piece> => {
    if (state === "text") return pieces("", chunk)
    held += chunk
    if (state === "start") {
      const tag = opening(held)
      if (tag === undefined) return []
      if (tag === null) return release("text")
      state = "reasoning"
      close = `</${tag}>`
      held = held.trimStart().slice(tag.length + 2)
    }
    return state === "gap" ? afterGap("") : inReasoning()
  }

  const inReasoning = (): ReadonlyArray<Piece> => {
    const at = held.indexOf(close)
    if (at === -1) {
      const keep = heldBack(held, close)
      const reasoning = held.slice(0, held.length - keep)
      held = held.slice(held.length - keep)
      return pieces(reasoning, "")
    }
    const reasoning = held.slice(0, at)
    held = held.slice(at + close.length)
    state = "gap"
    return afterGap(reasoning)
  }

  /** The blank lines between the reasoning and the answer belong to neither. */
  const afterGap = (reasoning: string): ReadonlyArray<Piece> => {
    held = held.trimStart()
    if (held === "") return pieces(reasoning, "")
    const text = held
    held = ""
    state = "text"
    return pieces(reasoning, text)
  }

  const release = (next: "text"): ReadonlyArray<Piece> => {
    const text = held
    held = ""
    state = next
    return pieces("", text)
  }

  return {
    push,
    end: () => {
      const rest = held
      held = ""
      return state === "reasoning" ? pieces(rest, "") : pieces("", rest)
    }
  }
}
