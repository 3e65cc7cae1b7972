/**
 * The models of stored conversations, and the operations that every store implements. `HistoryStore` exports all of this
 * module.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "./ChatError.ts"
import { ChatMessage } from "./ChatMessage.ts"
import { Usage } from "./ChatResponse.ts"
import { Summary } from "./HistorySelection.ts"
import * as Turns from "./internal/history/turns.ts"

/**
 * A conversation in a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredConversation {
  readonly id: string
  /** Changes if the conversation is removed and created again. Empty if an older release created it. */
  readonly incarnation: string
  /** 1 after the first write. Each write adds 1. */
  readonly version: number
  readonly systemPrompt: string
  /** Complete turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** Where each turn begins in `messages`. */
  readonly turns: ReadonlyArray<StoredTurn>
  /** The summary of the oldest messages, if a `HistoryWindow` made one. The messages stay stored. */
  readonly summary?: Summary | undefined
  /** The tokens of all turns. */
  readonly usage: Usage
  /** The settings that the program set for the conversation, as JSON without secrets. */
  readonly settings: Settings
  readonly title?: string | undefined
  readonly owner?: string | undefined
  /** Times are milliseconds since 1970, or 0 if an older release did not store them. */
  readonly createdAt: number
  readonly updatedAt: number
}

/**
 * A turn in a store.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredTurn {
  /** 0 for the first turn. */
  readonly index: number
  readonly turnId: string
  /** Milliseconds since 1970, or 0 if an older release stored the turn. */
  readonly createdAt: number
  /** The index of its first message. The turn ends where the next one begins. */
  readonly start: number
}

/**
 * Settings of a config as JSON, without the key and without headers.
 *
 * @since 0.1.0
 * @category models
 */
export type Settings = Readonly<Record<string, unknown>>

/**
 * Types of {@link StoredConversation}.
 *
 * @since 0.1.0
 * @category models
 */
export declare namespace StoredConversation {
  /**
   * A conversation as JSON. Members that older releases did not write may be absent.
   * @since 0.1.0
   * @category models
   */
  export interface Encoded extends Schema.Schema.Encoded<typeof Fields> {}
}

const StoredTurn = Schema.Struct({
  index: Schema.Int,
  turnId: Schema.String,
  createdAt: Schema.Number,
  start: Schema.Int
})

const Fields = Schema.Struct({
  id: Schema.String,
  incarnation: Schema.optional(Schema.String),
  version: Schema.Int,
  systemPrompt: Schema.String,
  messages: Schema.Array(ChatMessage),
  turns: Schema.optional(Schema.Array(StoredTurn)),
  summary: Schema.optional(Summary),
  usage: Usage,
  settings: Schema.Record({ key: Schema.String, value: Schema.Unknown }),
  title: Schema.optional(Schema.String),
  owner: Schema.optional(Schema.String),
  createdAt: Schema.optional(Schema.Number),
  updatedAt: Schema.optional(Schema.Number)
})

/**
 * The Schema of {@link StoredConversation}. It also reads data of older releases.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StoredConversation: Schema.Schema<StoredConversation, StoredConversation.Encoded> = Schema.transform(
  Fields,
  Schema.declare((input: unknown): input is StoredConversation => Schema.is(Schema.typeSchema(Fields))(input)),
  {
    strict: true,
    decode: (stored): StoredConversation => ({
      ...stored,
      incarnation: stored.incarnation ?? "",
      turns: stored.turns ?? Turns.fromMessages(stored.messages),
      createdAt: stored.createdAt ?? 0,
      updatedAt: stored.updatedAt ?? 0
    }),
    encode: (stored) => stored
  }
)

/**
 * A turn to add to a conversation. The first turn creates the conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface Append {
  readonly id: string
  /** The version that the turn expects: 0 for a conversation that is not stored yet. */
  readonly expectedVersion: number
  /** The incarnation that the turn expects, as in {@link Commit}. */
  readonly incarnation?: string | undefined
  /** Default: a new id. */
  readonly turnId?: string | undefined
  /** The messages of the turn. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** The tokens of all turns, this one included. */
  readonly usage: Usage
  readonly systemPrompt: string
  /** Stored with the first write, and not changed by later ones. */
  readonly settings: Settings
}

/**
 * The conversation of a write that changes no turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly id: string
  readonly expectedVersion: number
  /** The incarnation that the write expects, as in {@link Commit}. */
  readonly incarnation?: string | undefined
}

/**
 * The current version of a stored conversation: 0 and an empty incarnation if it is not stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Version {
  readonly incarnation: string
  readonly version: number
}

/**
 * A turn to store.
 *
 * @since 0.1.0
 * @category models
 */
export interface Turn {
  /** Unique in its conversation. Default: a new id. */
  readonly turnId?: string | undefined
  /** Milliseconds since 1970. Default now. */
  readonly createdAt?: number | undefined
  readonly messages: ReadonlyArray<ChatMessage>
}

/**
 * One write, which adds turns, replaces the last ones or removes them. Absent members stay as they are stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Commit {
  readonly id: string
  /**
   * The version that the write expects. Version 0 creates the conversation, with this incarnation or, if it is absent, with
   * a new one. For other versions, the store MUST also compare the incarnation if it is present.
   */
  readonly expected: { readonly incarnation?: string | undefined; readonly version: number }
  /**
   * How many of the first turns stay. The turns after them are removed before `turns` are added. The stored summary is
   * also removed, unless the write has one. Default all.
   */
  readonly keepTurns?: number | undefined
  readonly turns: ReadonlyArray<Turn>
  /** The tokens of all turns, including those of this write. */
  readonly usage?: Usage | undefined
  readonly summary?: Summary | undefined
  readonly systemPrompt?: string | undefined
  readonly settings?: Settings | undefined
  readonly title?: string | undefined
  readonly owner?: string | undefined
}

/**
 * The last turns of a conversation. `messages` and `turns` contain only these, and each `start` is an index into these
 * messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tail extends StoredConversation {
  /** The index of the first of these turns. */
  readonly firstTurn: number
  /** How many turns are stored. */
  readonly turnCount: number
}

/**
 * A turn with its messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface FoundTurn extends Omit<StoredTurn, "start"> {
  readonly messages: ReadonlyArray<ChatMessage>
}

/**
 * A conversation in a listing.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConversationInfo {
  readonly id: string
  readonly title: string | undefined
  readonly owner: string | undefined
  /** Times as in {@link StoredConversation}. */
  readonly createdAt: number
  readonly updatedAt: number
  readonly turnCount: number
  /** The first characters of the last message. */
  readonly preview: string
}

/**
 * Which conversations to list.
 *
 * @since 0.1.0
 * @category models
 */
export interface ConversationQuery {
  readonly owner?: string | undefined
  /** The last conversation of the previous page. */
  readonly before?: { readonly updatedAt: number; readonly id: string } | undefined
  /** Default 50. */
  readonly limit?: number | undefined
}

/**
 * The operations of a store. Every text is a valid id, including the empty text and `../x`.
 *
 * Writes return the new version. A conversation that is not stored has version 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The conversation, if it is stored. */
  readonly load: (id: string) => Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError>
  /** Whether other programs can write to the store. */
  readonly isShared: boolean
  /** The current version. A SQL store does not read the conversation for it. */
  readonly version: (id: string) => Effect.Effect<Version, HistoryStoreError>
  /** The last turns. Default all. A SQL store reads no others. */
  readonly loadTail: (
    id: string,
    options?: { readonly turns?: number | undefined }
  ) => Effect.Effect<Option.Option<Tail>, HistoryStoreError>
  /** The turn with this id. */
  readonly findTurn: (id: string, turnId: string) => Effect.Effect<Option.Option<FoundTurn>, HistoryStoreError>
  /**
   * Applies the commit completely or not at all. It MUST fail with `ConflictError` if the stored version or incarnation is
   * not the expected one, and the comparison MUST be part of the write.
   */
  readonly commit: (commit: Commit) => Effect.Effect<Version, HistoryStoreError | ConflictError>
  /**
   * Creates the conversation `to` as a copy of `from`, or of its first turns. Fails with `ConflictError` if `to` exists, and
   * with `HistoryStoreError` if `from` does not. The copy MUST be written completely or not at all.
   */
  readonly copy: (
    from: string,
    to: string,
    options?: { readonly keepTurns?: number | undefined }
  ) => Effect.Effect<Version, HistoryStoreError | ConflictError>
  /** A page of conversations, newest first. A SQL store reads that page only; the others read every conversation. */
  readonly conversations: (
    query?: ConversationQuery
  ) => Effect.Effect<ReadonlyArray<ConversationInfo>, HistoryStoreError>
  /** Adds a turn at the end: all of its messages, or none. */
  readonly append: (turn: Append) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Replaces the system prompt. Creates the conversation if it is not stored yet. */
  readonly setSystemPrompt: (
    target: Target & { readonly systemPrompt: string; readonly settings: Settings }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Replaces the summary and the tokens of all turns. Returns 0 if the conversation does not exist. */
  readonly setSummary: (
    target: Target & { readonly summary: Summary; readonly usage: Usage }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes all turns and the summary, and keeps everything else. Returns 0 if the conversation does not exist. */
  readonly clear: (target: Target) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes the conversation, whatever its version. Returns whether it existed. */
  readonly remove: (id: string) => Effect.Effect<boolean, HistoryStoreError>
  /**
   * The ids of all conversations in any order. A conversation that exists from the start to the end of the stream is
   * emitted once, whatever is written meanwhile. At most one page of ids is held in memory if the database has pages.
   */
  readonly list: Stream.Stream<string, HistoryStoreError>
}
