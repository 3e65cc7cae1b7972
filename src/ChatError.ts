/**
 * The errors of a chat, one class for each thing that a caller can do about it.
 *
 * All have the same fields (see {@link Details}), so that a handler can match on `_tag` and report all of them alike. No
 * field holds the API key, or the value of a header that is named as a secret: `<redacted>` stands in its place, also
 * where a server sends it back in an encoded form. {@link toPublic} gives a sentence for users.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ChatResponse } from "./ChatResponse.ts"
import { details, detailsAnd } from "./internal/errors/details.ts"
import { publicSentences } from "./internal/errors/publicSentences.ts"
import { FiniteMillis } from "./internal/settings.ts"
import { ToolError } from "./internal/tools/toolError.ts"

/**
 * The error of a tool.
 *
 * @since 0.1.0
 */
export * from "./internal/tools/toolError.ts"

/**
 * The fields of every error of this module.
 *
 * @since 0.1.0
 * @category models
 */
export interface Details {
  /** What went wrong, in the server's words if it sent any. */
  readonly message: string
  /** The HTTP status, if the server answered. */
  readonly status?: number | undefined
  /** The provider's own code, such as `model_not_found`. */
  readonly code?: string | undefined
  /** The provider's own type, such as `invalid_request_error`. */
  readonly type?: string | undefined
  /** The provider's id of the request, for its support. */
  readonly requestId?: string | undefined
  /** The answer's body as it came, capped at 8 192 characters. */
  readonly body?: string | undefined
  /** How long the server asks to wait before the next attempt. */
  readonly retryAfter?: Duration.Duration | undefined
  /** The part of the answer that had arrived, with its usage. */
  readonly partial?: ChatResponse | undefined
  /** The underlying error, such as that of a socket. */
  readonly cause?: unknown
}

/**
 * The key is missing, wrong or expired (401).
 *
 * @since 0.1.0
 * @category errors
 */
export class AuthenticationError extends Schema.TaggedError<AuthenticationError>(
  "effect-chat/ChatError/AuthenticationError"
)("AuthenticationError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The key is valid, but not allowed to do this (403).
 *
 * @since 0.1.0
 * @category errors
 */
export class PermissionError extends Schema.TaggedError<PermissionError>(
  "effect-chat/ChatError/PermissionError"
)("PermissionError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The model, or the address, does not exist (404).
 *
 * @since 0.1.0
 * @category errors
 */
export class NotFoundError extends Schema.TaggedError<NotFoundError>(
  "effect-chat/ChatError/NotFoundError"
)("NotFoundError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The server refuses the request as it is (400, 422 and similar).
 *
 * @since 0.1.0
 * @category errors
 */
export class InvalidRequestError extends Schema.TaggedError<InvalidRequestError>(
  "effect-chat/ChatError/InvalidRequestError"
)("InvalidRequestError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The messages are longer than the model's context: send fewer.
 *
 * @since 0.1.0
 * @category errors
 */
export class ContextLengthError extends Schema.TaggedError<ContextLengthError>(
  "effect-chat/ChatError/ContextLengthError"
)("ContextLengthError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The provider's moderation refuses the prompt or the answer.
 *
 * @since 0.1.0
 * @category errors
 */
export class ContentFilterError extends Schema.TaggedError<ContentFilterError>(
  "effect-chat/ChatError/ContentFilterError"
)("ContentFilterError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * Too many requests or tokens for now (429). `retryAfter` is the server's wait, where it named one.
 *
 * @since 0.1.0
 * @category errors
 */
export class RateLimitError extends Schema.TaggedError<RateLimitError>(
  "effect-chat/ChatError/RateLimitError"
)("RateLimitError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The account has no credit or quota left (402, or 429 with such a code). Waiting does not help.
 *
 * @since 0.1.0
 * @category errors
 */
export class QuotaError extends Schema.TaggedError<QuotaError>(
  "effect-chat/ChatError/QuotaError"
)("QuotaError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The server failed, before or within its answer (408, 409, 5xx, an error event in a stream).
 *
 * @since 0.1.0
 * @category errors
 */
export class ServerError extends Schema.TaggedError<ServerError>(
  "effect-chat/ChatError/ServerError"
)("ServerError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The server was not reached, or the connection broke.
 *
 * @since 0.1.0
 * @category errors
 */
export class TransportError extends Schema.TaggedError<TransportError>(
  "effect-chat/ChatError/TransportError"
)("TransportError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The answer took too long. `phase` tells which limit of the config was passed: `firstToken`, `idle` or `total`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TimeoutError extends Schema.TaggedError<TimeoutError>(
  "effect-chat/ChatError/TimeoutError"
)(
  "TimeoutError",
  detailsAnd({
    phase: Schema.Literal("firstToken", "idle", "total"),
    /** The limit that was passed. */
    limit: FiniteMillis
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The answer ended without saying that it was whole: neither a finish reason nor `[DONE]`. `partial` is what came.
 *
 * @since 0.1.0
 * @category errors
 */
export class TruncatedError extends Schema.TaggedError<TruncatedError>(
  "effect-chat/ChatError/TruncatedError"
)("TruncatedError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The server sent what no OpenAI-compatible server may: no JSON, no completion, or more than the config's limits.
 *
 * @since 0.1.0
 * @category errors
 */
export class MalformedResponseError extends Schema.TaggedError<MalformedResponseError>(
  "effect-chat/ChatError/MalformedResponseError"
)(
  "MalformedResponseError",
  detailsAnd({
    /** Where in an answer that was to be a value the Schema and the answer part. */
    path: Schema.optional(Schema.Array(Schema.Union(Schema.String, Schema.Number)))
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return false
  }
}

/**
 * The conversation could not be read from, or written to, its store.
 *
 * @since 0.1.0
 * @category errors
 */
export class HistoryStoreError extends Schema.TaggedError<HistoryStoreError>(
  "effect-chat/ChatError/HistoryStoreError"
)("HistoryStoreError", detailsAnd({ conversationId: Schema.String })) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * Somebody else wrote to the stored conversation since it was read: the turn is not stored. `partial` is its answer. The
 * conversation is read anew with its next use.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConflictError extends Schema.TaggedError<ConflictError>(
  "effect-chat/ChatError/ConflictError"
)(
  "ConflictError",
  detailsAnd({
    conversationId: Schema.String,
    /** The version that the write was made for. */
    expectedVersion: Schema.Int,
    /** The version that is stored; 0 where none is. */
    actualVersion: Schema.Int
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The conversation is in a turn and its policy is `reject`, or the turn was put off by a newer one (`replace`).
 *
 * @since 0.1.0
 * @category errors
 */
export class BusyError extends Schema.TaggedError<BusyError>(
  "effect-chat/ChatError/BusyError"
)("BusyError", details) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * Any error of this library.
 *
 * @since 0.1.0
 * @category errors
 */
export type ChatError =
  | AuthenticationError
  | PermissionError
  | NotFoundError
  | InvalidRequestError
  | ContextLengthError
  | ContentFilterError
  | RateLimitError
  | QuotaError
  | ServerError
  | TransportError
  | TimeoutError
  | TruncatedError
  | MalformedResponseError
  | HistoryStoreError
  | ConflictError
  | BusyError
  | ToolError

/** A function, so that bundlers can drop the errors that a program does not use. */
const union = () =>
  Schema.Union(
    AuthenticationError,
    PermissionError,
    NotFoundError,
    InvalidRequestError,
    ContextLengthError,
    ContentFilterError,
    RateLimitError,
    QuotaError,
    ServerError,
    TransportError,
    TimeoutError,
    TruncatedError,
    MalformedResponseError,
    HistoryStoreError,
    ConflictError,
    BusyError,
    ToolError
  )

/**
 * The Schema of {@link ChatError}, for programs that send errors to others.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ChatError: ReturnType<typeof union> = union()

const is = Schema.is(ChatError)

/**
 * Whether a value is an error of this library.
 *
 * @since 0.1.0
 * @category guards
 */
export const isChatError = (u: unknown): u is ChatError => is(u)

/**
 * A sentence about an error that anyone may see. It depends on the tag alone, and has no text of the server.
 *
 * @example
 * import { ChatError } from "effect-chat"
 *
 * const error = new ChatError.RateLimitError({ message: "org-123 is over its limit of 20 requests" })
 * assert.strictEqual(ChatError.toPublic(error), "There are too many requests right now. Try again later.")
 *
 * @since 0.1.0
 * @category conversions
 */
export const toPublic = (error: ChatError): string => publicSentences[error._tag]
