/**
 * Stores documents as entries of a `KeyValueStore`. A `KeyValueStore` cannot list its keys, so further entries contain the
 * names of the documents.
 *
 * A name is added before its document is created, and removed after its document is removed. A crash can therefore leave a
 * name without a document, which `names` skips, but no document without a name.
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Documents } from "./documentStore.ts"

/** The number of entries with names. A change reads and writes one of them completely. */
const listCount = 256

const Names = Schema.parseJson(Schema.Array(Schema.String))
const decode = Schema.decodeUnknown(Names)
const encode = Schema.encode(Names)

export const make = (store: KeyValueStore.KeyValueStore): Documents => {
  const lock = Effect.unsafeMakeSemaphore(1)
  const keyOf = (name: string): string => `conversation-${name}`
  const listKey = (list: number): string => `conversation-list-${list}`

  /** A crash can damage a list. It is then logged and treated as empty, so that the others can still be read. */
  const namesIn = (list: number): Effect.Effect<ReadonlyArray<string>, Error> =>
    Effect.flatMap(
      store.get(listKey(list)),
      Option.match({
        onNone: () => Effect.succeed([]),
        onSome: (text) =>
          Effect.catchAll(decode(text), () =>
            Effect.as(
              Effect.logWarning(`The entry ${listKey(list)} does not decode, so its conversations are not listed`),
              []
            ))
      })
    )

  const updateList = (
    name: string,
    f: (names: ReadonlyArray<string>) => ReadonlyArray<string>
  ): Effect.Effect<void, Error> => {
    const list = Math.abs(Hash.string(name)) % listCount
    return namesIn(list).pipe(
      Effect.flatMap((names) => encode(f(names.filter((other) => other !== name)))),
      Effect.flatMap((text) => store.set(listKey(list), text)),
      lock.withPermits(1)
    )
  }

  return {
    read: (name) => store.get(keyOf(name)),
    write: (name, text, isNew) =>
      Effect.zipRight(
        isNew ? updateList(name, (others) => [...others, name]) : Effect.void,
        store.set(keyOf(name), text)
      ),
    remove: (name) =>
      Effect.flatMap(store.has(keyOf(name)), (exists) =>
        exists
          ? store.remove(keyOf(name)).pipe(Effect.zipRight(updateList(name, (others) => others)), Effect.as(true))
          : Effect.succeed(false)),
    names: Stream.range(0, listCount - 1).pipe(
      Stream.mapEffect((list) => lock.withPermits(1)(namesIn(list))),
      Stream.flattenIterables,
      Stream.filterEffect((name) => store.has(keyOf(name)))
    )
  }
}
