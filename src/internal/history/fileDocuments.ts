/**
 * Stores documents as files in a folder. A write creates a temporary file, syncs it and renames it, so that a reader never
 * sees a partial document.
 *
 * Programs can share the folder. A writer creates the lock file `NAME.json.lock` first and removes it afterwards. A crash
 * can leave a lock file. The next writer removes a lock file that it has seen unchanged for `maxHoldMillis`.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HistoryStoreError } from "../../ChatError.ts"
import { monotonicNow } from "../time.ts"
import type { Documents } from "./documentStore.ts"
import { folderNotCreated } from "./errors.ts"
import { make as makeIncarnation } from "./incarnation.ts"

const suffix = ".json"

/** Creates the folder if it does not exist. */
export const make = (
  directory: string
): Effect.Effect<Documents, HistoryStoreError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const fileOf = (name: string): string => path.join(directory, `${name}${suffix}`)
    const temporaryFileOf = (name: string): string => `${fileOf(name)}.new`
    yield* fs.makeDirectory(directory, { recursive: true, mode: 0o700 }).pipe(
      Effect.mapError((cause) => folderNotCreated(directory, cause))
    )
    const encoder = new TextEncoder()

    // A rename is durable once its folder is synced. Errors are ignored, because some systems cannot sync a folder.
    const syncFolder = fs.open(directory).pipe(
      Effect.flatMap((folder) => folder.sync),
      Effect.scoped,
      Effect.ignore
    )

    const withLock = makeLocks(fs, yield* makeIncarnation)

    return {
      read: (name) =>
        fs.readFileString(fileOf(name)).pipe(
          Effect.asSome,
          Effect.catchTag(
            "SystemError",
            (error) => error.reason === "NotFound" ? Effect.succeedNone : Effect.fail(error)
          )
        ),
      write: (name, text) => {
        const temporaryFile = temporaryFileOf(name)
        return fs.open(temporaryFile, { flag: "w", mode: 0o600 }).pipe(
          Effect.flatMap((handle) => Effect.zipRight(handle.writeAll(encoder.encode(text)), handle.sync)),
          Effect.scoped,
          Effect.zipRight(fs.rename(temporaryFile, fileOf(name))),
          Effect.tapError(() => Effect.ignore(fs.remove(temporaryFile, { force: true }))),
          Effect.zipRight(syncFolder)
        )
      },
      // A crash during a write can leave a temporary file.
      remove: (name) =>
        Effect.gen(function*() {
          const file = fileOf(name)
          const exists = yield* fs.exists(file)
          yield* fs.remove(temporaryFileOf(name), { force: true })
          if (!exists) return false
          yield* fs.remove(file)
          yield* syncFolder
          return true
        }),
      exclusive: (name, effect) => withLock(`${fileOf(name)}.lock`, effect),
      names: fs.readDirectory(directory).pipe(
        Effect.map((files) =>
          files.filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length))
        ),
        Stream.fromIterableEffect
      )
    }
  })

/** A lock file that exists for longer is from a crash. A write takes a few milliseconds. */
const maxHoldMillis = 5_000

/** Makes a function that runs an effect while it holds a lock file. The content of the file identifies the lock. */
const makeLocks = (fs: FileSystem.FileSystem, owner: string) => {
  let count = 0

  const release = (file: string, lockId: string) =>
    fs.readFileString(file).pipe(
      Effect.flatMap((content) => content === lockId ? fs.remove(file) : Effect.void),
      Effect.ignore
    )

  const create = (file: string, lockId: string) =>
    fs.writeFileString(file, lockId, { flag: "wx", mode: 0o600 }).pipe(
      Effect.as(true),
      Effect.catchTag("SystemError", (error) =>
        error.reason === "AlreadyExists" ? Effect.succeed(false) : Effect.fail(error))
    )

  /** Removes the lock file if its content is still the expected one. */
  const breakLock = (file: string, expected: string) =>
    Effect.gen(function*() {
      const movedFile = `${file}.${owner}`
      yield* fs.rename(file, movedFile)
      // If another writer has replaced the lock meanwhile, the new lock is restored.
      if ((yield* fs.readFileString(movedFile)) !== expected) yield* Effect.ignore(fs.link(movedFile, file))
      yield* fs.remove(movedFile, { force: true })
    }).pipe(Effect.ignore)

  /** Only the sleep can be interrupted. Otherwise an interruption could leave a lock file that nothing releases. */
  const acquire = (file: string, lockId: string): Effect.Effect<void, PlatformError> =>
    Effect.gen(function*() {
      if (yield* create(file, lockId)) return
      const seen = yield* Effect.orElseSucceed(fs.readFileString(file), () => "")
      const end = (yield* monotonicNow) + maxHoldMillis
      while ((yield* monotonicNow) < end) {
        yield* Effect.interruptible(Effect.sleep("5 millis"))
        if (yield* create(file, lockId)) return
      }
      yield* breakLock(file, seen)
      yield* acquire(file, lockId)
    })

  return <A>(file: string, effect: Effect.Effect<A>): Effect.Effect<A, PlatformError> =>
    Effect.suspend(() => {
      const lockId = `${owner}-${++count}`
      return Effect.acquireUseRelease(
        acquire(file, lockId),
        () => effect,
        () => release(file, lockId)
      )
    })
}
