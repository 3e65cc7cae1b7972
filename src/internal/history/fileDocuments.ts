/**
 * Documents as files of a folder, each replaced whole: written beside, synced, and moved into its place.
 *
 * Programs that share the folder write a document one after another: a writer holds `NAME.json.lock`, which only one can
 * create. A crash leaves the lock behind. The next writer waits until it has seen the same lock for some time, and then
 * removes it.
 */
import type { PlatformError } from "@effect/platform/Error"
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HistoryStoreError } from "../../ChatError.ts"
import { monotonicNow } from "../time.ts"
import type { Documents } from "./documentStore.ts"
import { storeFailed } from "./errors.ts"
import { make as makeIncarnation } from "./incarnation.ts"

const suffix = ".json"

/** The documents of this folder. */
export const make = (
  directory: string
): Effect.Effect<Documents, HistoryStoreError, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function*() {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const fileOf = (name: string): string => path.join(directory, `${name}${suffix}`)
    const besideOf = (name: string): string => `${fileOf(name)}.new`
    yield* fs.makeDirectory(directory, { recursive: true, mode: 0o700 }).pipe(
      Effect.mapError((cause) => storeFailed(directory, "given a folder", cause))
    )
    const bytes = new TextEncoder()

    // A name is on the disk when its folder is. Not every system can sync one.
    const sync = fs.open(directory).pipe(
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
        const beside = besideOf(name)
        return fs.open(beside, { flag: "w", mode: 0o600 }).pipe(
          Effect.flatMap((handle) => Effect.zipRight(handle.writeAll(bytes.encode(text)), handle.sync)),
          Effect.scoped,
          Effect.zipRight(fs.rename(beside, fileOf(name))),
          Effect.tapError(() => Effect.ignore(fs.remove(beside, { force: true }))),
          Effect.zipRight(sync)
        )
      },
      // With what a crash may have left beside it.
      remove: (name) =>
        Effect.gen(function*() {
          const file = fileOf(name)
          const isThere = yield* fs.exists(file)
          yield* fs.remove(besideOf(name), { force: true })
          if (!isThere) return false
          yield* fs.remove(file)
          yield* sync
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

/** How long a lock may be held, in milliseconds. A write takes some of them. */
const longestHold = 5_000

/** Holds a lock file during an effect. Its content names the writer and the write. */
const makeLocks = (fs: FileSystem.FileSystem, owner: string) => {
  let count = 0

  const release = (file: string, mark: string) =>
    fs.readFileString(file).pipe(
      Effect.flatMap((held) => held === mark ? fs.remove(file) : Effect.void),
      Effect.ignore
    )

  const create = (file: string, mark: string) =>
    fs.writeFileString(file, mark, { flag: "wx", mode: 0o600 }).pipe(
      Effect.as(true),
      Effect.catchTag("SystemError", (error) =>
        error.reason === "AlreadyExists" ? Effect.succeed(false) : Effect.fail(error))
    )

  /** Removes the lock if it is the one that was seen `longestHold` ago. */
  const breakLock = (file: string, seen: string) =>
    Effect.gen(function*() {
      const aside = `${file}.${owner}`
      yield* fs.rename(file, aside)
      // Another writer may have been faster: its new lock is put back.
      if ((yield* fs.readFileString(aside)) !== seen) yield* Effect.ignore(fs.link(aside, file))
      yield* fs.remove(aside, { force: true })
    }).pipe(Effect.ignore)

  /** Only the time between attempts can be interrupted, so that no lock is left behind that nobody releases. */
  const acquire = (file: string, mark: string): Effect.Effect<void, PlatformError> =>
    Effect.gen(function*() {
      if (yield* create(file, mark)) return
      const seen = yield* Effect.orElseSucceed(fs.readFileString(file), () => "")
      const end = (yield* monotonicNow) + longestHold
      while ((yield* monotonicNow) < end) {
        yield* Effect.interruptible(Effect.sleep("5 millis"))
        if (yield* create(file, mark)) return
      }
      yield* breakLock(file, seen)
      yield* acquire(file, mark)
    })

  return <A>(file: string, effect: Effect.Effect<A>): Effect.Effect<A, PlatformError> =>
    Effect.suspend(() => {
      const mark = `${owner}-${++count}`
      return Effect.acquireUseRelease(
        acquire(file, mark),
        () => effect,
        () => release(file, mark)
      )
    })
}
