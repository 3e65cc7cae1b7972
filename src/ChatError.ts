/**
 * The errors of this library, one class for each way to handle them. All have the fields of {@link Details}.
 *
 * No field contains the API key or the value of a header whose name marks it as a secret: they are replaced by
 * `<redacted>`, even if a server sends them back encoded. {@link toPublic} returns a sentence for users.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import type { ChatResponse } from "./ChatResponse.ts"
import { details, withDetails } from "./internal/errors/details.ts"
import { otherSentence, publicSentences } from "./internal/errors/publicSentences.ts"
import { FiniteMillis } from "./internal/settingSchemas.ts"
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
  /** The provider's own code, such as `model_not_found`. `call_unknown` and `call_settled` are this library's. */
  readonly code?: string | undefined
  /** The provider's own type, such as `invalid_request_error`. */
  readonly type?: string | undefined
  /** The provider's id of the request, for its support. */
  readonly requestId?: string | undefined
  /** The body of the answer, at most 8192 characters. */
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
 * There are too many requests or tokens at the moment (429). `retryAfter` is the wait that the server asks for, if any.
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
 * The server failed before or during its answer (408, 409, 5xx, or an error event in a stream).
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
 * The server could not be reached, or the connection broke.
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
 * The answer took too long. `phase` is the time limit of the config that was exceeded: `firstToken`, `idle` or `total`.
 *
 * @since 0.1.0
 * @category errors
 */
export class TimeoutError extends Schema.TaggedError<TimeoutError>(
  "effect-chat/ChatError/TimeoutError"
)(
  "TimeoutError",
  withDetails({
    phase: Schema.Literal("firstToken", "idle", "total"),
    /** The limit that was exceeded. */
    limit: FiniteMillis
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * The answer ended without a finish reason or `[DONE]`. `partial` is the part of the answer that arrived.
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
 * The server sent something other than a completion, or more than the config's size limits allow.
 *
 * @since 0.1.0
 * @category errors
 */
export class MalformedResponseError extends Schema.TaggedError<MalformedResponseError>(
  "effect-chat/ChatError/MalformedResponseError"
)(
  "MalformedResponseError",
  withDetails({
    /** The path of the member that does not match the Schema, in an answer that should be a value. */
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
)("HistoryStoreError", withDetails({ conversationId: Schema.String })) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * Another program changed the stored conversation since it was read. `partial` is the answer, which is not stored.
 *
 * @since 0.1.0
 * @category errors
 */
export class ConflictError extends Schema.TaggedError<ConflictError>(
  "effect-chat/ChatError/ConflictError"
)(
  "ConflictError",
  withDetails({
    conversationId: Schema.String,
    /** The version that the write expected. */
    expectedVersion: Schema.Int,
    /** The version that is stored, 0 if none is. */
    actualVersion: Schema.Int
  })
) {
  /** Whether the same call can succeed later, unchanged. */
  get isRetryable(): boolean {
    return true
  }
}

/**
 * Another turn is running and the policy is `reject`, or a newer turn replaced this one (`replace`).
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
 * The Schema of {@link ChatError}, for programs that send errors to other programs.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ChatError: ReturnType<typeof union> = union()

/**
 * Whether a value is an error of this library.
 *
 * @example
 * import { ChatError } from "effect-chat"
 *
 * assert.strictEqual(ChatError.isChatError(new ChatError.BusyError({ message: "Another turn is running" })), true)
 *
 * @since 0.1.0
 * @category guards
 */
export const isChatError: (u: unknown) => u is ChatError = Schema.is(ChatError)

/**
 * A sentence about an error that users may see. It depends only on the tag and contains no text of the server. Every value
 * that is no `ChatError`, such as a defect or an error of the program, has the same sentence.
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
export const toPublic = (error: unknown): string => isChatError(error) ? publicSentences[error._tag] : otherSentence
