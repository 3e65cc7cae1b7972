/**
 * What can go wrong with a stored conversation.
 */
import type * as ParseResult from "effect/ParseResult"
import { ConflictError, HistoryStoreError } from "../../ChatError.ts"

/** An id as an error shows it: any text, and never pages of it. */
const shown = (id: string): string => JSON.stringify(id.length > 64 ? `${id.slice(0, 64)}…` : id)

/** The store did not do its part. */
export const storeFailed = (conversationId: string, what: string, cause: unknown): HistoryStoreError =>
  new HistoryStoreError({
    message: `The conversation ${shown(conversationId)} could not be ${what}: ${
      cause instanceof Error ? cause.message : String(cause)
    }`,
    conversationId,
    cause
  })

/** What is stored is no conversation. */
export const notDecodable = (conversationId: string, cause: ParseResult.ParseError): HistoryStoreError =>
  new HistoryStoreError({
    message: `What is stored of the conversation ${shown(conversationId)} does not decode: ${cause.message}`,
    conversationId,
    cause
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
