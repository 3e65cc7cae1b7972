/**
 * A history read from its newest message back, turn by turn.
 */
import type { ChatMessage } from "../../ChatMessage.ts"
import type { Path } from "./history.ts"

/**
 * Finds where what is sent of a history may begin: at a user message whose later tool results all have their calls after
 * it too, or at the oldest message of all.
 */
export class Walk {
  /** Where the oldest whole turn begins that was read. */
  start: number
  /** How many whole turns were read, beside the one that the opening goes on with. */
  turns = 0
  /** Where the turn begins that the opening goes on with, once it was read: that one must be sent. */
  needed: number
  /** Whether what was read so far must be sent, and more. */
  isBound: boolean

  private readonly messages: ReadonlyArray<ChatMessage>
  private readonly floor: number
  private index: number
  /** The calls of the tool results that were read, as long as they were not. Ids may repeat from turn to turn. */
  private readonly awaited = new Set<string>()

  constructor({ messages, opening }: Path, floor = 0) {
    this.messages = messages
    this.floor = floor
    this.index = this.start = this.needed = messages.length
    for (const message of opening) if (message.role === "tool") this.awaited.add(message.toolCallId)
    this.isBound = this.awaited.size > 0 || !opening.some((message) => message.role === "user")
  }

  /** The next older message. Undefined at the floor. */
  readonly read = (): ChatMessage | undefined => {
    const message = this.index > this.floor ? this.messages[--this.index] : undefined
    if (message === undefined) return undefined
    if (message.role === "tool") this.awaited.add(message.toolCallId)
    if (message.role === "assistant") { for (const call of message.toolCalls ?? []) this.awaited.delete(call.id) }
    const isOldest = this.index === this.floor
    if (this.awaited.size === 0 && (message.role === "user" || isOldest)) this.arrive()
    else if (isOldest && this.isBound) this.arrive()
    return message
  }

  private arrive(): void {
    this.start = this.index
    if (!this.isBound) {
      this.turns++
      return
    }
    this.needed = this.index
    this.isBound = false
  }
}
