/**
 * Where conversations are kept: a port, and its stores in memory and on a `KeyValueStore`.
 *
 * A store keeps each conversation under its id, with a version that every write raises by one. Every write says which
 * version it was made for, and fails with `ConflictError` where another one is stored: of two programs that hold one
 * conversation, the second writer learns of the first and loses nothing. A write is done as a whole or not at all, and
 * it is durable, as far as the store can be, when it is done.
 *
 * What does not decode is a `HistoryStoreError` of that conversation alone. `testing/HistoryStoreSuite` has the tests
 * that every store passes, and a store of your own should.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "./ChatError.ts"
import { ChatMessage } from "./ChatMessage.ts"
import { Usage } from "./ChatResponse.ts"
import { Summary } from "./HistoryWindow.ts"
import * as DocumentStore from "./internal/history/documentStore.ts"
import * as FileDocuments from "./internal/history/fileDocuments.ts"
import * as KeyValueDocuments from "./internal/history/keyValueDocuments.ts"
import * as MemoryStore from "./internal/history/memoryStore.ts"

/**
 * A conversation as it is kept.
 *
 * @since 0.1.0
 * @category models
 */
export interface StoredConversation {
  readonly id: string
  /** 1 after the first write, and one more with each. */
  readonly version: number
  readonly systemPrompt: string
  /** Whole turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  /** What the oldest messages came to, where a `HistoryWindow` had them summarized. They are kept all the same. */
  readonly summary?: Summary | undefined
  /** The tokens of all turns. */
  readonly usage: Usage
  /** The settings that the conversation was begun with, as JSON without secrets. */
  readonly settings: Settings
}

/**
 * Settings of a config as JSON. Never with the key, and never with headers.
 *
 * @since 0.1.0
 * @category models
 */
export type Settings = Readonly<Record<string, unknown>>

/**
 * The Schema of {@link StoredConversation}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const StoredConversation: Schema.Schema<StoredConversation> = Schema.Struct({
  id: Schema.String,
  version: Schema.Int,
  systemPrompt: Schema.String,
  messages: Schema.Array(ChatMessage),
  summary: Schema.optional(Summary),
  usage: Usage,
  settings: Schema.Record({ key: Schema.String, value: Schema.Unknown })
})

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
  /** Adds a turn at the end: all of its messages, or none. */
  readonly append: (turn: Append) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Replaces the system prompt. Creates the conversation where it is not stored yet. */
  readonly setSystemPrompt: (
    target: Target & { readonly systemPrompt: string; readonly settings: Settings }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /**
   * Keeps a summary in the place of the one before it, and what the conversation's tokens came to with it. Creates none: 0
   * is 0 then.
   */
  readonly setSummary: (
    target: Target & { readonly summary: Summary; readonly usage: Usage }
  ) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes all turns and their summary, and keeps the conversation, its system prompt and its usage. Creates none: 0 is 0 then. */
  readonly clear: (target: Target) => Effect.Effect<number, HistoryStoreError | ConflictError>
  /** Removes the conversation for good, whatever its version; whether there was one. */
  readonly remove: (id: string) => Effect.Effect<boolean, HistoryStoreError>
  /**
   * The ids of all conversations, in an order of the store's own. One that is there all the while is told once, whatever
   * is written meanwhile. Holds no more than a page of ids in memory, where the store beneath has pages.
   */
  readonly list: Stream.Stream<string, HistoryStoreError>
}

/**
 * The tag of a store.
 *
 * @since 0.1.0
 * @category services
 */
export class HistoryStore extends Context.Tag("effect-chat/HistoryStore")<HistoryStore, Service>() {}

/**
 * Conversations in this program's memory: they outlive an eviction, and not the program.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerMemory: Layer.Layer<HistoryStore> = Layer.effect(HistoryStore, MemoryStore.make)

/**
 * Conversations in a `KeyValueStore` of `@effect/platform`, one entry each, as JSON.
 *
 * The versions are checked within one program: give a `KeyValueStore` to one program at a time. Beside the entries it
 * holds up to 256 small ones that list them, all under the prefix `conversation-`. For files use
 * {@link layerFileSystem}: `KeyValueStore.layerFileSystem` writes them in place, so that a crash can tear one.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerKeyValueStore: Layer.Layer<HistoryStore, never, KeyValueStore.KeyValueStore> = Layer.effect(
  HistoryStore,
  Effect.flatMap(
    KeyValueStore.KeyValueStore,
    (store) => DocumentStore.make(StoredConversation, KeyValueDocuments.make(store))
  )
)

/**
 * Conversations in a folder, which is created where it is missing: one JSON file each, that every write replaces whole.
 * What is written is on the disk.
 *
 * A turn costs as much as its conversation is long, and `list` reads the names of all files at once: for long
 * conversations, or many of them, take `effect-chat/sql`. Names of files are safe on every file system, whatever the ids
 * are. The versions are checked within one program: give a folder to one program at a time.
 *
 * @since 0.1.0
 * @category layers
 */
export const layerFileSystem = (options: {
  readonly directory: string
}): Layer.Layer<HistoryStore, HistoryStoreError, FileSystem.FileSystem | Path.Path> =>
  Layer.effect(
    HistoryStore,
    Effect.flatMap(FileDocuments.make(options.directory), (files) => DocumentStore.make(StoredConversation, files))
  )
