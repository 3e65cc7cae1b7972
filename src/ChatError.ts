/**
 * Every error that a chat can meet, told apart by what the caller does next.
 *
 * All carry the same fields (see {@link Details}), so a handler can match on `_tag` and report alike. No field holds the
 * API key: what a server echoes of it is replaced by `<redacted>`.
 *
 * @since 0.1.0
 */
import * as Duration from "effect/Duration"
import * as Schema from "effect/Schema"
import { ChatResponse } from "./ChatResponse.ts"

/**
 * What every error of this module can say beside its message.
 *
 * @since 0.1.0
 * @category models
 */
export interface Details {
  /** What went wrong, in the server's words where it has any. */
  readonly message: string
  /** The HTTP status, where there was an answer. */
  readonly status?: number | undefined
  /** The provider's own code, such as `model_not_found`. */
  readonly code?: string | undefined
  /** The provider's own type, such as `invalid_request_error`. */
  readonly type?: string | undefined
  /** The provider's id of the request, for its support. */
  readonly requestId?: string | undefined
  /** The answer's body as it came, capped at 8 192 characters. */
  readonly body?: string | undefined
  /** How long the server asks to wait before the next try. */
  readonly retryAfter?: Duration.Duration | undefined
  /** What had arrived of the answer, with its usage. */
  readonly partial?: ChatResponse | undefined
  /** The error beneath, such as a socket's. */
  readonly cause?: unknown
}

/** Milliseconds. JSON has no number for the infinite duration, which becomes the longest one that it has. */
const Millis = Schema.transform(Schema.Number, Schema.DurationFromSelf, {
  strict: true,
  decode: (millis) => Duration.millis(millis),
  encode: (duration) => Math.min(Duration.toMillis(duration), Number.MAX_SAFE_INTEGER)
})

const details = {
  message: Schema.String,
  status: Schema.optional(Schema.Int),
  code: Schema.optional(Schema.String),
  type: Schema.optional(Schema.String),
  requestId: Schema.optional(Schema.String),
  body: Schema.optional(Schema.String),
  retryAfter: Schema.optional(Millis),
  partial: Schema.optional(ChatResponse),
  cause: Schema.optional(Schema.Defect)
}

/** A function, lest a bundle has the errors with further fields that it does not need. */
const detailsAnd = <Fields extends Schema.Struct.Fields>(fields: Fields): typeof details & Fields => ({
  ...details,
  ...fields
})

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
 * The key is good, but not for this (403).
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
 * The server refuses the request as it is (400, 422 and their kin).
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
    limit: Millis
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

/** A function, lest a bundle that needs only some errors has them all. */
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
    BusyError
  )

/**
 * The Schema of {@link ChatError}, for programs that carry errors over a wire of their own.
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

/** What may be shown to anyone, by tag. */
const publicSentences: Readonly<Record<ChatError["_tag"], string>> = {
  AuthenticationError: "The chat service is not set up correctly.",
  PermissionError: "The chat service is not allowed to do this.",
  NotFoundError: "The model is not available.",
  InvalidRequestError: "The request could not be processed.",
  ContextLengthError: "The conversation is too long.",
  ContentFilterError: "The request was refused by the content filter.",
  RateLimitError: "There are too many requests right now. Try again later.",
  QuotaError: "The chat service has reached its usage limit.",
  ServerError: "The chat service failed. Try again later.",
  TransportError: "The chat service could not be reached. Try again later.",
  TimeoutError: "The answer took too long. Try again later.",
  TruncatedError: "The answer was cut off. Try again.",
  MalformedResponseError: "The chat service sent an invalid answer.",
  HistoryStoreError: "The conversation could not be loaded or saved. Try again later.",
  ConflictError: "The conversation was changed elsewhere. Try again.",
  BusyError: "The conversation is busy with another message."
}

/**
 * A sentence about an error that anyone may see, such as the users of a web page.
 *
 * It depends on the tag alone: it has no text of the server, no address and no secret, which an error's `message` and
 * `body` may have.
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
