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

/** Where a mark begins in a text, or may begin at its end. */
const placeOf = (mark: string, text: string): number => {
  const at = text.indexOf(mark)
  if (at !== -1) return at
  let place = Math.max(0, text.length - mark.length)
  while (!mark.startsWith(text.slice(place))) place++
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
    if (held.startsWith(close)) {
      held = held.slice(close.length)
      state = "gap"
    }
    return reasoning
  }

  const push = (chunk: string): ReadonlyArray<Piece> => {
    if (state === "start" && held === "" && chunk.trim() === "") {
      blank.push(chunk)
      return []
    }
    held += chunk
    if (state === "start") {
      const tag = opening(held)
      if (tag === undefined) return []
      state = tag === null ? "text" : "reasoning"
      if (tag === null) {
        held = blank.join("") + held
      } else {
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
    const text = state === "text" ? take() : ""
    return saying({ isReasoning: true, text: reasoning }, { isReasoning: false, text })
  }

  const end = (): ReadonlyArray<Piece> => {
    const text = state === "start" ? blank.join("") + take() : take()
    blank = []
    return saying({ isReasoning: state === "reasoning", text })
  }

  return { push, end }
}
