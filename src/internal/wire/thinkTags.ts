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

const tags = ["<think>", "<thinking>", "<reasoning>", "<thought>"]

/** The tag that opens a text, undefined for none yet, null for none at all. */
const opening = (text: string): string | null | undefined => {
  const rest = text.trimStart()
  return tags.find((tag) => rest.startsWith(tag)) ?? (tags.some((tag) => tag.startsWith(rest)) ? undefined : null)
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

  const take = (): string => {
    const text = held
    held = ""
    return text
  }

  /** Takes what is reasoning from what is held. */
  const takeReasoning = (): string => {
    const at = held.indexOf(close)
    const end = at === -1 ? held.length - heldBack(held, close) : at
    const reasoning = held.slice(0, end)
    held = held.slice(at === -1 ? end : at + close.length)
    if (at !== -1) state = "gap"
    return reasoning
  }

  const push = (chunk: string): ReadonlyArray<Piece> => {
    held += chunk
    if (state === "start") {
      const tag = opening(held)
      if (tag === undefined) return []
      state = tag === null ? "text" : "reasoning"
      if (tag !== null) {
        close = tag.replace("<", "</")
        held = held.trimStart().slice(tag.length)
      }
    }
    const reasoning = state === "reasoning" ? takeReasoning() : ""
    if (state === "gap") {
      // The blank lines between the reasoning and the answer belong to neither.
      held = held.trimStart()
      if (held !== "") state = "text"
    }
    return pieces(reasoning, state === "text" ? take() : "")
  }

  return { push, end: () => state === "reasoning" ? pieces(take(), "") : pieces("", take()) }
}
