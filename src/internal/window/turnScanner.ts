/**
 * Reads a history from the newest to the oldest message, and finds the starts of turns.
 */
import type { ChatMessage } from "../../ChatMessage.ts"
import type { Input } from "../../HistorySelection.ts"

/** A history, or the end of a history, and the new messages after it. */
export type History = Pick<Input, "messages" | "newMessages" | "offset" | "turnStarts">

/**
 * Finds the messages at which a request can start. These are the first message of the conversation, and each user message
 * after which every tool result has its call.
 */
export class TurnScanner {
  /** The index of the oldest turn start found so far. */
  start: number
  /** The number of turns read so far, without the turn that the new messages continue. */
  turns = 0
  /** The start of the turn that the new messages continue. It must be sent. The history's length if they start a turn. */
  required: number
  /** Whether the start of the turn that the new messages continue was not read yet. */
  isIncomplete: boolean

  readonly #messages: ReadonlyArray<ChatMessage>
  readonly #floor: number
  readonly #isTail: boolean
  #index: number
  /** The ids of tool results without a call so far. Ids can repeat from turn to turn. */
  readonly #openResults = new Set<string>()

  /** `floor` is the index of the oldest message to read. */
  constructor({ messages, offset = 0, newMessages }: History, floor = 0) {
    this.#messages = messages
    this.#floor = floor
    this.#isTail = offset > 0
    this.#index = this.start = this.required = messages.length
    for (const message of [...newMessages].reverse()) this.#pair(message)
    this.isIncomplete = this.#openResults.size > 0 || !newMessages.some((message) => message.role === "user")
  }

  /** Reads the next older message. Undefined if there is none. */
  readonly read = (): ChatMessage | undefined => {
    const message = this.#index > this.#floor ? this.#messages[--this.#index] : undefined
    if (message === undefined) return undefined
    this.#pair(message)
    const isOldest = this.#index === this.#floor
    const canStart = message.role === "user" || (isOldest && !this.#isTail)
    if ((canStart && this.#openResults.size === 0) || (isOldest && this.isIncomplete)) this.#addTurn()
    return message
  }

  #pair(message: ChatMessage): void {
    if (message.role === "tool") this.#openResults.add(message.toolCallId)
    if (message.role === "assistant") { for (const call of message.toolCalls ?? []) this.#openResults.delete(call.id) }
  }

  #addTurn(): void {
    this.start = this.#index
    if (!this.isIncomplete) {
      this.turns++
      return
    }
    this.required = this.#index
    this.isIncomplete = false
  }
}
