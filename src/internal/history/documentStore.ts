/**
 * The history store on documents: one text by name for each conversation.
 */
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type { Service, StoredConversation } from "../../HistoryStore.ts"
import * as Change from "./change.ts"
import { fromName, toName } from "./documentName.ts"
import { listFailed, notDecodable, notOf, storeFailed } from "./errors.ts"

/** Texts by name. Names are lower case, short, and safe in a file system. */
export interface Documents {
  readonly read: (name: string) => Effect.Effect<Option.Option<string>, Error>
  /** Replaces the text whole. `isNew` where none is there. */
  readonly write: (name: string, text: string, isNew: boolean) => Effect.Effect<void, Error>
  /** Whether there was one. */
  readonly remove: (name: string) => Effect.Effect<boolean, Error>
  readonly names: Stream.Stream<string, Error>
}

/** Conversations are locked by their hash: enough locks that two of them seldom meet, and few enough to keep. */
const stripes = 256

/** A store on these documents, which no other program writes meanwhile. */
export const make = (schema: Schema.Schema<StoredConversation>, documents: Documents): Effect.Effect<Service> =>
  Effect.sync((): Service => {
    const decode = Schema.decodeUnknown(Schema.parseJson(schema))
    const encode = Schema.encode(Schema.parseJson(schema))
    const locks = Array.from({ length: stripes }, () => Effect.unsafeMakeSemaphore(1))

    /** Whoever had the lock lets the next one have it: a semaphore gives it to who asks first after it is free. */
    const locked = <A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> => {
      const lock = locks[Math.abs(Hash.string(name)) % stripes]
      return lock === undefined ? effect : Effect.ensuring(lock.withPermits(1)(effect), Effect.yieldNow())
    }

    const read = (id: string, name: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> =>
      documents.read(name).pipe(
        Effect.mapError((cause) => storeFailed(id, "read", cause)),
        Effect.flatMap(Option.match({
          onNone: () => Effect.succeedNone,
          onSome: (text) => Effect.asSome(Effect.mapError(decode(text), (cause) => notDecodable(id, cause)))
        })),
        Effect.filterOrFail(
          Option.match({ onNone: () => true, onSome: (stored) => stored.id === id }),
          () => notOf(id)
        )
      )

    /** Who waits can be interrupted; who writes cannot. */
    const write = <A, E>(id: string, f: (name: string) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.flatMap(toName(id), (name) => locked(name, Effect.uninterruptible(f(name))))

    const change = (id: string, change: Change.Change): Effect.Effect<number, ConflictError | HistoryStoreError> =>
      write(id, (name) =>
        Effect.gen(function*() {
          const stored = Option.getOrUndefined(yield* read(id, name))
          const next = yield* change(stored)
          if (next === undefined) return 0
          yield* encode(next).pipe(
            Effect.flatMap((text) => documents.write(name, text, stored === undefined)),
            Effect.mapError((cause) => storeFailed(id, "written", cause))
          )
          return next.version
        }))

    return {
      // Alone, since documents may be written in place.
      load: (id) => Effect.flatMap(toName(id), (name) => locked(name, read(id, name))),
      append: (turn) => change(turn.id, Change.append(turn)),
      setSystemPrompt: (target) => change(target.id, Change.setSystemPrompt(target)),
      setSummary: (target) => change(target.id, Change.setSummary(target)),
      clear: (target) => change(target.id, Change.clear(target)),
      remove: (id) =>
        write(id, (name) => Effect.mapError(documents.remove(name), (cause) => storeFailed(id, "removed", cause))),
      list: documents.names.pipe(
        Stream.mapEffect((name) => Effect.map(locked(name, idOf(documents, name)), Option.toArray)),
        Stream.mapError(listFailed),
        Stream.flattenIterables
      )
    }
  })

const Id = Schema.decodeUnknownOption(Schema.parseJson(Schema.Struct({ id: Schema.String })))

/** The id is in the name, else in the document. One that cannot be told hides no others. */
const idOf = (documents: Documents, name: string): Effect.Effect<Option.Option<string>, Error> => {
  const named = fromName(name)
  if (Option.isSome(named)) return Effect.succeed(named)
  return Effect.gen(function*() {
    const text = yield* documents.read(name)
    if (Option.isNone(text)) return Option.none()
    const document = Id(text.value)
    if (Option.isSome(document) && (yield* toName(document.value.id)) === name) return Option.some(document.value.id)
    yield* Effect.logWarning(`The document ${name} is no conversation`)
    return Option.none()
  })
}
