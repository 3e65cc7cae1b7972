/**
 * Storage of conversations: the port, and its stores in memory, in files and in a `KeyValueStore`.
 *
 * A store keeps each conversation under its id, with a version that each write raises by one and an incarnation that
 * changes when the conversation is removed and created again. An implementation MUST compare the version of each write in
 * the write itself and fail with `ConflictError` if another one is stored. It MUST apply a write completely or not at all,
 * and a completed write MUST be as durable as the store allows. Data that does not decode MUST fail with
 * `HistoryStoreError` for that conversation only. `testing/HistoryStoreSuite` tests all of this.
 *
 * @since 0.1.0
 */
import type * as FileSystem from "@effect/platform/FileSystem"
import * as KeyValueStore from "@effect/platform/KeyValueStore"
import type * as Path from "@effect/platform/Path"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { HistoryStoreError } from "./ChatError.ts"
import * as DocumentStore from "./internal/history/documentStore.ts"
import * as FileDocuments from "./internal/history/fileDocuments.ts"
import * as KeyValueDocuments from "./internal/history/keyValueDocuments.ts"
import * as MemoryStore from "./internal/history/memoryStore.ts"
import { type Service, StoredConversation } from "./StoredConversation.ts"

/**
 * The models and the operations of a store.
 *
 * @since 0.1.0
 */
export * from "./StoredConversation.ts"

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
 * @example
 * import { Effect, Layer } from "effect"
 * import { ChatManager, HistoryStore } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.ChatManager
 *   const chat = yield* manager.getChat("ada")
 *   yield* chat.chat("Hi")
 *   const [conversation] = yield* manager.conversations()
 *   assert.strictEqual(conversation?.preview, "Hello!")
 * })
 *
 * const Manager = ChatManager.layer({ config: { baseUrl: "http://localhost/v1" } }).pipe(
 *   Layer.provide(HistoryStore.layerMemory),
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Manager))
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
 * @example
 * import { KeyValueStore } from "@effect/platform"
 * import { Effect, Layer, Option } from "effect"
 * import { HistoryStore } from "effect-chat"
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* HistoryStore.HistoryStore
 *   assert.ok(Option.isNone(yield* store.load("ada")))
 * })
 *
 * const Store = HistoryStore.layerKeyValueStore.pipe(Layer.provide(KeyValueStore.layerMemory))
 *
 * Effect.runPromise(Effect.provide(program, Store))
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
 * are. Programs may share a folder: each write holds a lock file, and a lock that a crash left behind delays the next write
 * of that conversation by 10 seconds. Files can be read by their owner only.
 *
 * @example
 * import { NodeContext } from "@effect/platform-node"
 * import { Effect, Layer } from "effect"
 * import { HistoryStore } from "effect-chat"
 * import { mkdtempSync, rmSync } from "node:fs"
 * import { tmpdir } from "node:os"
 * import { join } from "node:path"
 *
 * const directory = mkdtempSync(join(tmpdir(), "chats-"))
 *
 * const program = Effect.gen(function*() {
 *   const store = yield* HistoryStore.HistoryStore
 *   assert.deepStrictEqual(yield* store.conversations(), [])
 * })
 *
 * const Store = HistoryStore.layerFileSystem({ directory }).pipe(Layer.provide(NodeContext.layer))
 *
 * Effect.runPromise(Effect.provide(program, Store)).finally(() => rmSync(directory, { recursive: true }))
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
