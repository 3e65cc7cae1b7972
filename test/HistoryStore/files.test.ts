/**
 * Stores in files and in a `KeyValueStore` after a crash, after errors of the disk, and with files of other programs.
 */
import { Error as PlatformError, FileSystem, KeyValueStore, Path } from "@effect/platform"
import { NodeContext } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Logger, Option, Stream, TestClock } from "effect"
import { HistoryStore } from "effect-chat"
import { turn } from "../support/databases.ts"

/** A store in a temporary folder, optionally with changes to the file system. */
const inFolder = <A, E>(
  test: (options: {
    readonly store: HistoryStore.Service
    readonly fs: FileSystem.FileSystem
    readonly path: (file: string) => string
  }) => Effect.Effect<A, E>,
  disk: (fs: FileSystem.FileSystem) => FileSystem.FileSystem = (fs) => fs
) =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const { join } = yield* Path.Path
    const directory = join(yield* fs.makeTempDirectoryScoped({ prefix: "effect-chat-files-" }), "made", "on", "start")
    const store = yield* Effect.provide(
      HistoryStore.HistoryStore,
      HistoryStore.layerFileSystem({ directory }).pipe(Layer.provide(Layer.succeed(FileSystem.FileSystem, disk(fs))))
    )
    return yield* test({ fs, path: (file) => join(directory, file), store })
  }).pipe(Effect.scoped, Effect.provide(Layer.merge(NodeContext.layer, quiet)))

const quiet = Logger.replace(Logger.defaultLogger, Logger.none)

const full = (method: string) =>
  new PlatformError.SystemError({ module: "FileSystem", method, reason: "Unknown", description: "no space is left" })

const ids = (store: HistoryStore.Service) =>
  Effect.map(Stream.runCollect(store.list), (listed) => Array.from(listed).sort())

/** An id that its file name does not contain. */
const hashed = "Not a plain name"

describe("HistoryStore.layerFileSystem", () => {
  it.effect("ignores temporary files of a crash, and removes them with the conversation", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        yield* store.append(turn("a", 0))
        yield* fs.writeFileString(path("id-a.json.new"), `{"id":"a","version":2,"mess`)
        yield* fs.writeFileString(path("id-b.json.new"), `{"id":"b"`)

        assert.strictEqual((yield* Effect.flatten(store.load("a"))).version, 1)
        assert.isTrue(Option.isNone(yield* store.load("b")))
        assert.deepStrictEqual(yield* ids(store), ["a"])
        assert.strictEqual(yield* store.append(turn("a", 1)), 2)
        assert.isFalse(yield* fs.exists(path("id-a.json.new")))
        assert.isFalse(yield* store.remove("b"))
        assert.isTrue(yield* store.remove("a"))
        assert.deepStrictEqual(yield* fs.readDirectory(path(".")), [])
      })
    ))

  it.effect("reports the conversation of a file that does not decode, and can read the others", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        for (const id of ["good", "torn", "wrong", hashed]) yield* store.append(turn(id, 0))
        const [hidden = ""] = (yield* fs.readDirectory(path("."))).filter((file) => file.startsWith("sha-"))
        yield* fs.writeFileString(path("id-torn.json"), `{"id":"torn","ver`)
        yield* fs.writeFileString(path("id-wrong.json"), `{"id":"wrong","version":"one"}`)
        yield* fs.writeFileString(path(hidden), "")
        yield* fs.writeFileString(path("notes.json"), `{"id":"notes"}`)
        yield* fs.makeDirectory(path("backup.json"))

        for (const id of ["torn", "wrong", hashed]) {
          const uses = [
            Effect.asVoid(store.load(id)),
            Effect.asVoid(store.append(turn(id, 1))),
            Effect.asVoid(store.clear({ id, expectedVersion: 1 }))
          ]
          for (const use of uses) {
            const error = yield* Effect.flip(use)
            assert(error._tag === "HistoryStoreError")
            assert.strictEqual(error.conversationId, id)
            assert.include(error.message, `"${id}" does not decode`)
          }
        }
        assert.strictEqual(yield* store.append(turn("good", 1)), 2)
        assert.deepStrictEqual(yield* ids(store), ["good", "torn", "wrong"])
        for (const id of ["torn", "wrong", hashed]) assert.isTrue(yield* store.remove(id))
        assert.deepStrictEqual(yield* ids(store), ["good"])
      })
    ))

  it.effect("fails with a typed error for a document that is nested too deeply for the stack", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        const deep = "[".repeat(6_000) + "]".repeat(6_000)
        yield* fs.writeFileString(path("id-a.json"), `{"id":"a","version":1,"systemPrompt":${deep}}`)
        const error = yield* Effect.flip(store.load("a"))
        assert.strictEqual(error.conversationId, "a")
        assert.include(error.message, "does not decode")
      })
    ))

  it.effect("creates files and folders that only their owner can read", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        yield* store.append(turn("a", 0))
        assert.strictEqual((yield* fs.stat(path("id-a.json"))).mode & 0o777, 0o600)
        assert.strictEqual((yield* fs.stat(path("."))).mode & 0o777, 0o700)
      })
    ))

  it.live("refuses one of two concurrent writes of two stores in a folder, and damages no file", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        const other = yield* Effect.provide(
          HistoryStore.HistoryStore,
          HistoryStore.layerFileSystem({ directory: path(".") }).pipe(
            Layer.provide(Layer.succeed(FileSystem.FileSystem, fs)),
            Layer.provide(Path.layer)
          )
        )
        assert.isTrue(store.isShared)
        for (let version = 0; version < 20; version++) {
          const outcomes = yield* Effect.all(
            [store.append(turn("a", version, "x".repeat(200_000))), other.append(turn("a", version, "y"))].map(
              Effect.either
            ),
            { concurrency: 2 }
          )
          assert.deepStrictEqual(outcomes.map(({ _tag }) => _tag).sort(), ["Left", "Right"])
          assert.deepStrictEqual(yield* other.load("a"), yield* store.load("a"))
        }
        assert.deepStrictEqual(yield* fs.readDirectory(path(".")), ["id-a.json"])
      })
    ))

  it.effect(
    "removes the lock of a crash after five seconds",
    () =>
      inFolder(({ fs, path, store }) =>
        Effect.gen(function*() {
          yield* store.append(turn("a", 0))
          yield* fs.writeFileString(path("id-a.json.lock"), "a program that is gone")
          const write = yield* Effect.fork(store.append(turn("a", 1)))
          const steps = Effect.zipRight(TestClock.adjust("2 seconds"), Effect.promise(() => new Promise(setImmediate)))
          yield* Effect.repeatN(steps, 1)
          assert.isTrue(Option.isNone(yield* Fiber.poll(write)))
          yield* Effect.repeat(steps, { until: () => Effect.map(Fiber.poll(write), Option.isSome) })

          assert.strictEqual(yield* Fiber.join(write), 2)
          assert.deepStrictEqual(yield* fs.readDirectory(path(".")), ["id-a.json"])
        })
      ),
    20_000
  )

  it.live("leaves no lock file if a write is interrupted at any time", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        for (let looks = 0; looks < 40; looks++) {
          const { version } = yield* store.version("a")
          const write = yield* Effect.fork(store.append(turn("a", version)))
          yield* Effect.replicateEffect(fs.exists(path(".")), Math.floor(looks / 2))
          yield* Fiber.interrupt(write)
          const files = yield* fs.readDirectory(path("."))
          assert.deepStrictEqual(files.filter((file) => file !== "id-a.json"), [], `after ${looks} looks`)
        }
      })
    ))

  it.effect("never reads the file of another conversation", () =>
    inFolder(({ fs, path, store }) =>
      Effect.gen(function*() {
        yield* store.append(turn("a", 0))
        yield* fs.copyFile(path("id-a.json"), path("id-b.json"))
        const error = yield* Effect.flip(store.load("b"))
        assert.include(error.message, "contains another conversation")
        assert.isTrue(Option.isSome(yield* store.load("a")))
      })
    ))

  for (
    const [what, fail] of Object.entries<(fs: FileSystem.FileSystem) => Partial<FileSystem.FileSystem>>({
      "open a file": () => ({ open: () => Effect.fail(full("open")) }),
      "write": (fs) => ({
        open: (path, options) =>
          Effect.map(fs.open(path, options), (file) => ({
            ...file,
            [FileSystem.FileTypeId]: file[FileSystem.FileTypeId],
            sync: Effect.void,
            writeAll: () => Effect.fail(full("writeAll"))
          }))
      }),
      "rename the file": () => ({ rename: () => Effect.fail(full("rename")) })
    })
  ) {
    it.effect(`changes nothing if the disk fails to ${what}`, () => {
      let isFull = false
      return inFolder(
        ({ fs, path, store }) =>
          Effect.gen(function*() {
            yield* store.append(turn("a", 0))
            isFull = true
            const errors = [
              yield* Effect.flip(store.append(turn("a", 1))),
              yield* Effect.flip(store.append(turn("b", 0)))
            ]
            isFull = false

            for (const error of errors) {
              assert(error._tag === "HistoryStoreError")
              assert.include(error.message, "no space is left")
            }
            assert.strictEqual((yield* Effect.flatten(store.load("a"))).version, 1)
            assert.deepStrictEqual(yield* fs.readDirectory(path(".")), ["id-a.json"])
            assert.strictEqual(yield* store.append(turn("a", 1)), 2)
          }),
        (fs) => new Proxy(fs, { get: (_, key) => Reflect.get(isFull ? { ...fs, ...fail(fs) } : fs, key) })
      )
    })
  }
})

describe("HistoryStore.layerKeyValueStore", () => {
  /** A store in a map. Some entries cannot be written. */
  const onMap = (crash: (key: string) => boolean = () => false) => {
    const entries = new Map<string, string>()
    const keyValue = KeyValueStore.makeStringOnly({
      get: (key) => Effect.sync(() => Option.fromNullable(entries.get(key))),
      set: (key, value) =>
        Effect.suspend(() => crash(key) ? Effect.fail(full("set")) : Effect.sync(() => void entries.set(key, value))),
      remove: (key) => Effect.sync(() => void entries.delete(key)),
      clear: Effect.sync(() => entries.clear()),
      size: Effect.sync(() => entries.size)
    })
    const layer = HistoryStore.layerKeyValueStore.pipe(
      Layer.provide(Layer.succeed(KeyValueStore.KeyValueStore, keyValue)),
      Layer.provide(quiet)
    )
    return { entries, store: Effect.provide(HistoryStore.HistoryStore, layer) }
  }

  it.effect("does not list a conversation that a crash did not write", () =>
    Effect.gen(function*() {
      let isDown = false
      const { entries, store } = onMap((key) => isDown && !key.includes("list"))
      const { append, list, load } = yield* store
      yield* append(turn("a", 0))
      isDown = true
      yield* Effect.flip(append(turn("b", 0)))

      assert.strictEqual(entries.size, 3)
      assert.deepStrictEqual(Array.from(yield* Stream.runCollect(list)), ["a"])
      assert.isTrue(Option.isNone(yield* load("b")))
      isDown = false
      assert.strictEqual(yield* append(turn("b", 0)), 1)
      assert.sameMembers(Array.from(yield* Stream.runCollect(list)), ["a", "b"])
    }))

  it.effect("can read conversations if a list of names is damaged", () =>
    Effect.gen(function*() {
      const { entries, store } = onMap()
      const { append, list, load } = yield* store
      for (const id of ["a", "b", "c"]) yield* append(turn(id, 0))
      const lists = Array.from(entries.keys()).filter((key) => key.startsWith("conversation-list-"))
      entries.set(lists[0] ?? "", "[\"id-")

      assert.strictEqual((yield* Stream.runCollect(list)).length, 3 - 1)
      for (const id of ["a", "b", "c"]) assert.isTrue(Option.isSome(yield* load(id)))
      for (const id of ["a", "b", "c"]) assert.strictEqual(yield* append(turn(id, 1)), 2)
      for (let n = 0; n < 600; n++) yield* append(turn(`new ${n}`, 0))
      assert.isAtLeast((yield* Stream.runCollect(list)).length, 602)
    }).pipe(Effect.provide(quiet)))

  it.effect("reports the conversation of an entry that does not decode", () =>
    Effect.gen(function*() {
      const { entries, store } = onMap()
      const { append, list, load, remove } = yield* store
      for (const id of ["a", "b"]) yield* append(turn(id, 0))
      entries.set("conversation-id-a", "{")

      const error = yield* Effect.flip(load("a"))
      assert.strictEqual(error.conversationId, "a")
      assert.isTrue(Option.isSome(yield* load("b")))
      assert.sameMembers(Array.from(yield* Stream.runCollect(list)), ["a", "b"])
      assert.isTrue(yield* remove("a"))
      assert.isTrue(Option.isNone(yield* load("a")))
    }))
})
