/**
 * What a history store keeps of a conversation, and the port that every store implements.
 *
 * `HistoryStore` exports all of this module, beside the tag and the layers.
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
 * A conversation as it is kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredConversation {
  readonly id: string
  /** Another one for a conversation that was removed and began anew. Empty for one that an older release began. */
  readonly incarnation: string
  /** 1 after the first write, and one more with each. */
  readonly version: number
  readonly systemPrompt: string
  /** Whole turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** Where each turn begins in `messages`. */
  readonly turns: ReadonlyArray<StoredTurn>
  /** What the oldest messages came to, where a `HistoryWindow` had them summarized. They are kept all the same. */
  readonly summary?: Summary | undefined
  /** The tokens of all turns. */
  readonly usage: Usage
  /** The settings that the conversation was begun with, as JSON without secrets. */
  readonly settings: Settings
  readonly title?: string | undefined
  readonly owner?: string | undefined
  /** Times are milliseconds since 1970, and 0 where an older release did not keep them. */
  readonly createdAt: number
  readonly updatedAt: number
}

/**
 * A turn that is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredTurn {
  /** 0 for the first turn. */
  readonly index: number
  readonly turnId: string
  readonly createdAt: number
  /** The index of its first message. The turn ends where the next one begins. */
  readonly start: number
}

/**
 * Settings of a config as JSON. Never with the key, and never with headers.
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
   * A conversation as JSON. What older releases did not write may be missing.
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
 * The Schema of {@link StoredConversation}. Reads what older releases wrote, too.
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
 * A turn to add to a conversation, which is created with its first one.
 *
 * @since 0.1.0
 * @category models
 */
export interface Append {
  readonly id: string
  /** The version that the turn was made for: 0 for a conversation that is not stored yet. */
  readonly expectedVersion: number
  /** The incarnation that the turn was made for, as in {@link Commit}. */
  readonly incarnation?: string | undefined
  /** Made by the store where it is left out. */
  readonly turnId?: string | undefined
  /** The messages of the turn. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** The tokens of all turns, this one included. */
  readonly usage: Usage
  readonly systemPrompt: string
  /** Kept from the first write on. */
  readonly settings: Settings
}

/**
 * A write that changes no turn.
 *
 * @since 0.1.0
 * @category models
 */
export interface Target {
  readonly id: string
  readonly expectedVersion: number
  /** The incarnation that the write was made for, as in {@link Commit}. */
  readonly incarnation?: string | undefined
}

/**
 * What is stored of a conversation at one moment: 0 and an empty incarnation where nothing is.
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
  /** Made by the store where it is left out. One conversation has each id once. */
  readonly turnId?: string | undefined
  /** Milliseconds since 1970. Default now. */
  readonly createdAt?: number | undefined
  readonly messages: ReadonlyArray<ChatMessage>
}

/**
 * One write: it adds turns, replaces the last ones or removes them. What is left out stays as it is stored.
 *
 * @since 0.1.0
 * @category models
 */
export interface Commit {
  readonly id: string
  /**
   * What the write was made for. Version 0 creates the conversation, whose incarnation is then the given one, or a new one
   * if none is given. For another version the incarnation MUST be compared if it is given.
   */
  readonly expected: { readonly incarnation?: string | undefined; readonly version: number }
  /**
   * How many of the first turns stay: those after them are removed before `turns` are added. The stored summary is
   * removed as well, unless the write brings one. Default all.
   */
  readonly keepTurns?: number | undefined
  readonly turns: ReadonlyArray<Turn>
  /** The tokens of all turns, with those of this write. */
  readonly usage?: Usage | undefined
  readonly summary?: Summary | undefined
  readonly systemPrompt?: string | undefined
  readonly settings?: Settings | undefined
  readonly title?: string | undefined
  readonly owner?: string | undefined
}

/**
 * The end of a conversation: `messages` and `turns` have its last turns only, and each `start` counts from the first of
 * these messages.
 *
 * @since 0.1.0
 * @category models
 */
export interface Tail extends StoredConversation {
  /** The index of the first turn that was read. */
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
  readonly createdAt: number
  readonly updatedAt: number
  readonly turnCount: number
  /** The beginning of the last message's text. */
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
  /** The last conversation of the page before. */
  readonly before?: { readonly updatedAt: number; readonly id: string } | undefined
  /** Default 50. */
  readonly limit?: number | undefined
}

/**
 * What a store offers. Ids are data: every text is one, the empty text and `../x` included.
 *
 * Writes return the version that they made. A conversation that is not stored has version 0.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The conversation, if it is stored. */
  readonly load: (id: string) => Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError>
  /** Whether other programs may write what is stored. */
  readonly isShared: boolean
  /** What is stored now, without reading the conversation where the store can. */
  readonly version: (id: string) => Effect.Effect<Version, HistoryStoreError>
  /** The last turns, all where `turns` is left out. A SQL store reads no others. */
  readonly loadTail: (
    id: string,
    options?: { readonly turns?: number | undefined }
  ) => Effect.Effect<Option.Option<Tail>, HistoryStoreError>
  /** The turn with this id. */
  readonly findTurn: (id: string, turnId: string) => Effect.Effect<Option.Option<FoundTurn>, HistoryStoreError>
  /**
   * Writes all of the commit or nothing of it. It MUST fail with `ConflictError` where another version is stored, or
   * another incarnation where one is expected, and the comparison MUST be part of the write.
   */
  readonly commit: (commit: Commit) => Effect.Effect<Version, HistoryStoreError | ConflictError>
  /**
   * Begins the conversation `to` as a copy of `from`, or of its first turns. Fails with `ConflictError` where `to` is
   * stored, and with `HistoryStoreError` where `from` is not. The copy MUST be written as a whole.
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
  /** Replaces the system prompt. Creates the conversation where it is not stored yet. */
  readonly setSystemPrompt: (
    target: Target & { readonly systemPrompt: string; readonly settings: Settings }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Replaces the summary and the tokens of all turns. Returns 0 if the conversation does not exist. */
  readonly setSummary: (
    target: Target & { readonly summary: Summary; readonly usage: Usage }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes all turns and the summary, and keeps the rest. Returns 0 if the conversation does not exist. */
  readonly clear: (target: Target) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes the conversation for good, whatever its version; whether there was one. */
  readonly remove: (id: string) => Effect.Effect<boolean, HistoryStoreError>
  /**
   * The ids of all conversations in any order. A conversation that exists from the start to the end of the stream is
   * emitted once, whatever is written meanwhile. At most one page of ids is held in memory if the database has pages.
   */
  readonly list: Stream.Stream<string, HistoryStoreError>
}
