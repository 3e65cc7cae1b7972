/**
 * Constructors of the errors of history stores.
 */
import * as Duration from "effect/Duration"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import { ConflictError, HistoryStoreError } from "../../ChatError.ts"

/** Quotes an id for a message. Ids can have any text and any length. */
const quote = (id: string): string => JSON.stringify(truncate(id, 64))

/** A `ParseError` computes its message from the value. Deep nesting of the value can overflow the stack. */
const messageOf = Option.liftThrowable((error: Error): string => error.message)

/** The message of the error and of its cause. Truncated, because it can contain the stored text. */
const describe = (cause: unknown): string => {
  const message = cause instanceof Error
    ? Option.getOrElse(messageOf(cause), () => "the value is nested too deeply")
    : String(cause)
  const inner = cause instanceof Error && cause.cause instanceof Error ? `: ${cause.cause.message}` : ""
  return truncate(message + inner, 512)
}

const truncate = (text: string, length: number): string => text.length > length ? `${text.slice(0, length)}…` : text

/** An operation failed. `done` is its past participle, such as `written`. */
export const storeFailed = (conversationId: string, done: string, cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversation ${quote(conversationId)} could not be ${done}: ${describe(cause)}`,
    conversationId,
    cause
  })

export const storeTimedOut = (conversationId: string, timeout: Duration.Duration): HistoryStoreError =>
  new HistoryStoreError({
    message: `The store of the conversation ${quote(conversationId)} did not answer within ${Duration.format(timeout)}`,
    conversationId
  })

export const listTimedOut = (timeout: Duration.Duration): HistoryStoreError =>
  new HistoryStoreError({
    message: `The store did not list its conversations within ${Duration.format(timeout)}`,
    conversationId: ""
  })

export const listFailed = (cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversations could not be listed: ${describe(cause)}`,
    conversationId: "",
    cause
  })

export const notDecodable = (conversationId: string, cause: ParseResult.ParseError): HistoryStoreError =>
  new HistoryStoreError({
    message: `The stored conversation ${quote(conversationId)} does not decode: ${describe(cause)}`,
    conversationId,
    cause
  })

export const notVersion = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `The stored version of the conversation ${quote(conversationId)} is not a whole number`,
    conversationId
  })

/** The document with the name of this conversation contains another one, for example because a file was renamed. */
export const wrongConversation = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `The document of the conversation ${quote(conversationId)} contains another conversation`,
    conversationId
  })

export const conflict = (conversationId: string, expectedVersion: number, actualVersion: number): ConflictError =>
  new ConflictError({
    message: expectedVersion === 0
      ? `The conversation ${quote(conversationId)} already exists`
      : `The conversation ${
        quote(conversationId)
      } was changed by another writer: the write expected version ${expectedVersion}, but version ${actualVersion} is stored`,
    conversationId,
    expectedVersion,
    actualVersion
  })

export const notStored = (conversationId: string): HistoryStoreError =>
  new HistoryStoreError({ message: `The conversation ${quote(conversationId)} is not stored`, conversationId })

export const folderNotCreated = (directory: string, cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The folder ${quote(directory)} could not be created: ${describe(cause)}`,
    conversationId: directory,
    cause
  })

export const turnNotStored = (conversationId: string, turnId: string): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversation ${quote(conversationId)} has no turn with the id ${quote(turnId)}`,
    conversationId
  })
