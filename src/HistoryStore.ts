/**
 * Storage of conversations: the service that every store implements, and stores in memory, in files and in a
 * `KeyValueStore`.
 *
 * **Details**
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
 * The models and operations of a store.
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
 * Stores conversations in the memory of the program. They outlive an eviction, but not the program.
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
 * Stores each conversation as JSON in an entry of a `KeyValueStore` of `@effect/platform`.
 *
 * Versions are checked within one program only: use a `KeyValueStore` from one program at a time. Up to 256 further entries
 * list the conversations. All keys begin with `conversation-`. For files, use {@link layerFileSystem}: a crash during a
 * write of `KeyValueStore.layerFileSystem` can leave a damaged file.
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
 * Stores each conversation as a JSON file in a folder, which is created if it does not exist. A write replaces the file and
 * is on the disk when it is done.
 *
 * Each turn writes its conversation completely, and `list` reads the names of all files at once: for long conversations, or
 * many of them, use `effect-chat/sql`. File names are safe on every file system, whatever the ids are. Programs can share a
 * folder: each write holds a lock file. A lock file that a crash left behind delays the next write of that conversation by
 * 5 seconds. Only the owner can read the files.
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
