/**
 * Decides whether the loaded end of a history is enough for a window.
 */
import type { AtMost } from "../../HistorySelection.ts"
import { make } from "../../tokens/TokenCounter.ts"
import { withoutMedia } from "./media.ts"
import { type History, TurnScanner } from "./turnScanner.ts"

/** Counts only the parts of a message that every window sends, without media and reasoning. */
const textCounter = make({ reasoning: false })

/**
 * Whether the window chooses the same messages from this tail as from the complete history. The conversation loads
 * more of the history until this is true or the history is complete.
 */
export const isTailEnough = ({ tokens = 0, turns = 0 }: AtMost, tail: History): boolean => {
  const { messages, offset = 0 } = tail
  const scanner = new TurnScanner(tail)
  let counted = 0
  while (scanner.isIncomplete || scanner.turns < turns || counted < tokens) {
    const message = scanner.read()
    if (message === undefined) return false
    counted += textCounter.count(withoutMedia(message))
  }
  // If the tail starts in the middle of the turn that the new messages continue, the scanner ends there too.
  return scanner.start > 0 || offset === 0 || messages[0]?.role === "user"
}
