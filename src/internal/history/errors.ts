/**
 * What can go wrong with a stored conversation.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import { ConflictError, HistoryStoreError } from "../../ChatError.ts"

/** An id as an error shows it: whatever text it is, and never pages of it. */
const shown = (id: string): string => JSON.stringify(clipped(id, 64))

/** A ParseError computes its message from the value, whose nesting can exceed the stack. */
const messageOf = Option.liftThrowable((error: Error): string => error.message)

/** What an error says, and what the one beneath it does. Never pages of either: they can quote what is stored. */
const told = (cause: unknown): string => {
  const message = cause instanceof Error
    ? Option.getOrElse(messageOf(cause), () => "it is nested too deeply")
    : String(cause)
  const beneath = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : ""
  return clipped(message + beneath, 512)
}

const clipped = (text: string, length: number): string => text.length > length ? `${text.slice(0, length)}…` : text

/** The store did not do its part. */
export const storeFailed = (conversationId: string, what: string, cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversation ${shown(conversationId)} could not be ${what}: ${told(cause)}`,
    conversationId,
    cause
  })

/** The store did not answer in time. */
export const noAnswer = (conversationId: string, timeout: Duration.Duration): HistoryStoreError =>
  new HistoryStoreError({
    message: `The store of the conversation ${shown(conversationId)} did not answer within ${Duration.format(timeout)}`,
    conversationId
  })

/** The store could not tell its conversations. */
export const listFailed = (cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversations could not be listed: ${told(cause)}`,
    conversationId: "",
    cause
  })

/** What is stored is no conversation. */
export const notDecodable = (conversationId: string, cause: ParseResult.ParseError): HistoryStoreError =>
  new HistoryStoreError({
    message: `What is stored of the conversation ${shown(conversationId)} does not decode: ${told(cause)}`,
    conversationId,
    cause
  })

/** The stored version is not a whole number. */
export const notVersion = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `The stored version of the conversation ${shown(conversationId)} is not a whole number`,
    conversationId
  })

/** What is stored under the conversation's name is another one, such as a file that was renamed by hand. */
export const notOf = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `What is stored of the conversation ${shown(conversationId)} is another conversation`,
    conversationId
  })

/** The write was made for another version than the stored one. */
export const conflict = (conversationId: string, expectedVersion: number, actualVersion: number): ConflictError =>
  new ConflictError({
    message: `The conversation ${
      shown(conversationId)
    } was changed by somebody else: version ${expectedVersion} was expected, ${actualVersion} is stored`,
    conversationId,
    expectedVersion,
    actualVersion
  })

/** There is no such conversation to copy. */
export const notStored = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({ message: `The conversation ${shown(conversationId)} is not stored`, conversationId })

export const turnNotStored = (conversationId: string, turnId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversation ${shown(conversationId)} has no turn with the id ${shown(turnId)}`,
    conversationId
  })
