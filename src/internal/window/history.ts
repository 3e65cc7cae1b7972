/**
 * The parts of a window's input, for the modules that the window is made of.
 */
import type { ChatMessage, SystemMessage, ToolMessage, UserMessage } from "../../ChatMessage.ts"

/** What the oldest messages of a history came to, and how many they are. */
export interface Summary {
  readonly text: string
  readonly replaces: number
}

/** A history, and the messages that come after it. */
export interface Path {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly opening: ReadonlyArray<UserMessage | ToolMessage>
}

/** A history with its system message and its summary. */
export interface History extends Path {
  readonly system: SystemMessage | undefined
  readonly summary?: Summary | undefined
}
