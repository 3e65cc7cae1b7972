/**
 * Documents as files of a folder, each replaced whole: written beside, synced, and moved into its place.
 */
import * as FileSystem from "@effect/platform/FileSystem"
import * as Path from "@effect/platform/Path"
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Documents } from "./documentStore.ts"
import { storeFailed } from "./errors.ts"

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
      names: fs.readDirectory(directory).pipe(
        Effect.map((files) =>
          files.filter((file) => file.endsWith(suffix)).map((file) => file.slice(0, -suffix.length))
        ),
        Stream.fromIterableEffect
      )
    }
  })
