/**
 * Prints an answer on a terminal: its text as it arrives, its reasoning dimmed, and a note if it did not end normally.
 */
import type { ChatEvent, ChatResponse } from "effect-chat"
import * as Visible from "./visible.ts"

const dim = "\x1b[2m"
const undim = "\x1b[22m"

const notes: Partial<Record<ChatResponse.FinishReason, string>> = {
  length: "cut: the limit of tokens is reached",
  "content-filter": "cut by the provider's filter",
  error: "the server says that it failed",
  interrupted: "stopped"
}

/** Prints one answer. */
export class Printer {
  private readonly showReasoning: boolean
  private kind: "nothing" | "reasoning" | "text" = "nothing"
  private held = ""
  private atLineStart = true

  constructor(options: { readonly showReasoning: boolean }) {
    this.showReasoning = options.showReasoning
  }

  /** What to print for these events. */
  add(events: Iterable<ChatEvent.ChatEvent>): string {
    let text = ""
    for (const event of events) text += this.show(event)
    return text
  }

  /** What to print when nothing more comes. */
  end(): string {
    const text = this.leave()
    const newline = this.atLineStart ? "" : "\n"
    this.atLineStart = true
    return text + newline
  }

  private show(event: ChatEvent.ChatEvent): string {
    switch (event._tag) {
      case "TextDelta":
      case "RefusalDelta":
        return this.enter("text") + this.next(event.text)
      case "ReasoningDelta":
        return this.showReasoning ? this.enter("reasoning") + this.next(event.text) : ""
      case "Finish": {
        const { reason, response } = event
        const note = notes[reason] ?? (response.text + response.refusal === "" ? "no answer" : "")
        return this.end() + (note === "" ? "" : `[${note}]\n`)
      }
      default:
        return ""
    }
  }

  private enter(kind: "reasoning" | "text"): string {
    if (kind === this.kind) return ""
    const text = this.leave() + (this.kind === "nothing" ? "" : "\n\n") + (kind === "reasoning" ? dim : "")
    this.kind = kind
    return text
  }

  private leave(): string {
    const text = Visible.visible(this.held)
    this.held = ""
    if (text !== "") this.atLineStart = false
    return text + (this.kind === "reasoning" ? undim : "")
  }

  private next(piece: string): string {
    const [held, shown] = Visible.next(this.held, piece)
    this.held = held
    if (shown !== "") this.atLineStart = shown.endsWith("\n")
    return shown
  }
}
