/**
 * Documents as entries of a KeyValueStore, which cannot list its keys: further entries do.
 *
 * A document is listed before it is there and until it is gone, so that a crash between the two leaves a name without a
 * document, which a listing passes over, and never a document without its name.
 */
import type * as KeyValueStore from "@effect/platform/KeyValueStore"
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { Documents } from "./documentStore.ts"

/** The number of entries that list the others. Each is read and written completely. */
const lists = 256

const Names = Schema.parseJson(Schema.Array(Schema.String))
const decode = Schema.decodeUnknown(Names)
const encode = Schema.encode(Names)

/** The documents of this store. */
export const make = (store: KeyValueStore.KeyValueStore): Documents => {
  const lock = Effect.unsafeMakeSemaphore(1)
  const keyOf = (name: string): string => `conversation-${name}`
  const listKey = (list: number): string => `conversation-list-${list}`

  /** A list that a crash has torn lists none: its conversations are still there, and others can be listed. */
  const namesIn = (list: number): Effect.Effect<ReadonlyArray<string>, Error> =>
    Effect.flatMap(
      store.get(listKey(list)),
      Option.match({
        onNone: () => Effect.succeed([]),
        onSome: (text) =>
          Effect.catchAll(decode(text), () =>
            Effect.as(
              Effect.logWarning(`The entry ${listKey(list)} does not decode: its conversations are not listed`),
              []
            ))
      })
    )

  const change = (
    name: string,
    f: (names: ReadonlyArray<string>) => ReadonlyArray<string>
  ): Effect.Effect<void, Error> => {
    const list = Math.abs(Hash.string(name)) % lists
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
        isNew ? change(name, (others) => [...others, name]) : Effect.void,
        store.set(keyOf(name), text)
      ),
    remove: (name) =>
      Effect.flatMap(store.has(keyOf(name)), (isThere) =>
        isThere
          ? store.remove(keyOf(name)).pipe(Effect.zipRight(change(name, (others) => others)), Effect.as(true))
          : Effect.succeed(false)),
    names: Stream.range(0, lists - 1).pipe(
      Stream.mapEffect((list) => lock.withPermits(1)(namesIn(list))),
      Stream.flattenIterables,
      Stream.filterEffect((name) => store.has(keyOf(name)))
    )
  }
}
