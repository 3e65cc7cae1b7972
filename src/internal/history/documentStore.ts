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
import { toName } from "./documentName.ts"
import { notDecodable, storeFailed } from "./errors.ts"

/** Texts by name. Names are lower case, short, and safe in a file system. */
export interface Documents {
  readonly read: (name: string) => Effect.Effect<Option.Option<string>, Error>
  /** Replaces the text whole. `isNew` where none is there. */
  readonly write: (name: string, text: string, isNew: boolean) => Effect.Effect<void, Error>
  readonly remove: (name: string) => Effect.Effect<void, Error>
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

    const locked = <A, E>(id: string, f: (name: string) => Effect.Effect<A, E>): Effect.Effect<A, E> =>
      Effect.flatMap(toName(id), (name) => {
        const lock = locks[Math.abs(Hash.string(name)) % stripes]
        return lock === undefined ? f(name) : lock.withPermits(1)(f(name))
      })

    const read = (id: string, name: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> =>
      documents.read(name).pipe(
        Effect.mapError((cause) => storeFailed(id, "read", cause)),
        Effect.flatMap(Option.match({
          onNone: () => Effect.succeedNone,
          onSome: (text) => Effect.asSome(Effect.mapError(decode(text), (cause) => notDecodable(id, cause)))
        }))
      )

    const write = (id: string, change: Change.Change): Effect.Effect<number, ConflictError | HistoryStoreError> =>
      locked(id, (name) =>
        Effect.gen(function*() {
          const stored = Option.getOrUndefined(yield* read(id, name))
          const next = yield* change(stored)
          yield* encode(next).pipe(
            Effect.flatMap((text) => documents.write(name, text, stored === undefined)),
            Effect.mapError((cause) => storeFailed(id, "written", cause))
          )
          return next.version
        })).pipe(Effect.uninterruptible)

    return {
      load: (id) => Effect.flatMap(toName(id), (name) => read(id, name)),
      append: (turn) => write(turn.id, Change.append(turn)),
      setSystemPrompt: (target) => write(target.id, Change.setSystemPrompt(target)),
      clear: (target) => write(target.id, Change.clear(target)),
      remove: (id) =>
        locked(id, (name) =>
          documents.read(name).pipe(
            Effect.flatMap((text) =>
              Effect.as(Option.isSome(text) ? documents.remove(name) : Effect.void, Option.isSome(text))
            ),
            Effect.mapError((cause) => storeFailed(id, "removed", cause))
          )).pipe(Effect.uninterruptible),
      list: documents.names.pipe(
        Stream.mapError((cause) => storeFailed("", "listed", cause)),
        Stream.mapEffect((name) => idOf(documents, name)),
        Stream.filterMap((id) => id)
      )
    }
  })

const Id = Schema.decodeUnknownOption(Schema.parseJson(Schema.Struct({ id: Schema.String })))

/** The id is in the document: a name does not tell it. One that cannot be read hides no others. */
const idOf = (documents: Documents, name: string): Effect.Effect<Option.Option<string>, HistoryStoreError> =>
  documents.read(name).pipe(
    Effect.mapError((cause) => storeFailed(name, "listed", cause)),
    Effect.map((text) => Option.map(Option.flatMap(text, Id), ({ id }) => id)),
    Effect.tap((id) => Option.isNone(id) ? Effect.logWarning(`The document ${name} is no conversation`) : Effect.void)
  )
