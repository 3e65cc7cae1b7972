/**
 * The history store on documents: one text by name for each conversation.
 */
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { ConversationInfo, Service, StoredConversation } from "../../StoredConversation.ts"
import * as Change from "./change.ts"
import * as Commits from "./commits.ts"
import { fromName, toName } from "./documentName.ts"
import { listFailed, notDecodable, notOf, notStored, storeFailed } from "./errors.ts"

/** Texts by name. Names are lower case, short, and safe in a file system. */
export interface Documents {
  readonly read: (name: string) => Effect.Effect<Option.Option<string>, Error>
  /** Replaces the text completely. `isNew` if there is none. */
  readonly write: (name: string, text: string, isNew: boolean) => Effect.Effect<void, Error>
  /** Whether there was one. */
  readonly remove: (name: string) => Effect.Effect<boolean, Error>
  readonly names: Stream.Stream<string, Error>
  /** Runs an effect while no other program does so for this name. Without it, no other program may write. */
  readonly exclusive?: <A>(name: string, effect: Effect.Effect<A>) => Effect.Effect<A, Error>
}

/** Conversations are locked by their hash: enough locks that two of them seldom meet, and few enough to keep. */
const stripes = 256

/** A store on these documents. */
export const make = (
  schema: Schema.Schema<StoredConversation, StoredConversation.Encoded>,
  documents: Documents
): Effect.Effect<Service> =>
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

    /** Waiting can be interrupted, writing cannot. */
    const write = <A, E>(
      id: string,
      f: (name: string) => Effect.Effect<A, E | HistoryStoreError>
    ): Effect.Effect<A, E | HistoryStoreError> =>
      Effect.flatMap(toName(id), (name) => {
        const effect = Effect.uninterruptible(f(name))
        if (documents.exclusive === undefined) return locked(name, effect)
        const alone = documents.exclusive(name, Effect.exit(effect))
        return locked(name, Effect.flatten(Effect.mapError(alone, (cause) => storeFailed(id, "locked", cause))))
      })

    const put = (next: StoredConversation, name: string, isNew: boolean) =>
      encode(next).pipe(
        Effect.flatMap((text) => documents.write(name, text, isNew)),
        Effect.mapBoth({
          onFailure: (cause) => storeFailed(next.id, "written", cause),
          onSuccess: () => Change.versionOf(next)
        })
      )

    // Under the lock, since documents may be written in place.
    const load = (id: string) => Effect.flatMap(toName(id), (name) => locked(name, read(id, name)))

    /** The entry of this conversation in a page. A conversation that cannot be read does not hide others. */
    const infoOf = (id: string): Effect.Effect<ReadonlyArray<ConversationInfo>> =>
      load(id).pipe(
        Effect.map((stored) => Option.toArray(Option.map(stored, Change.toInfo))),
        Effect.catchAll((error) => Effect.as(Effect.logWarning(error.message), []))
      )

    const list = documents.names.pipe(
      Stream.mapEffect((name) => Effect.map(locked(name, idOf(documents, name)), Option.toArray)),
      Stream.mapError(listFailed),
      Stream.flattenIterables
    )

    const commit: Commits.Core["commit"] = (commit, fresh) =>
      write(commit.id, (name) =>
        Effect.gen(function*() {
          const stored = Option.getOrUndefined(yield* read(commit.id, name))
          return yield* put(yield* Change.commit(stored, commit, fresh), name, stored === undefined)
        }))

    return Commits.toService({
      isShared: documents.exclusive !== undefined,
      load,
      version: (id) => Effect.map(load(id), (stored) => Change.versionOf(Option.getOrUndefined(stored))),
      loadTail: (id, options) => Effect.map(load(id), Option.map((stored) => Change.tail(stored, options?.turns))),
      findTurn: (id, turnId) => Effect.map(load(id), Option.flatMap((stored) => Change.findTurn(stored, turnId))),
      commit,
      // The read is complete, and the copy is one write.
      copy: (from, to, options) =>
        Effect.gen(function*() {
          const stored = yield* load(from)
          if (Option.isNone(stored)) return yield* notStored(from)
          const fresh = yield* Commits.fresh
          return yield* commit(Change.toCopy(stored.value, to, options?.keepTurns), fresh)
        }),
      conversations: (query) =>
        list.pipe(
          Stream.mapEffect(infoOf),
          Stream.flattenIterables,
          Stream.runCollect,
          Effect.map((all) => Change.pageOf(Array.from(all), query ?? {}))
        ),
      remove: (id) =>
        write(id, (name) => Effect.mapError(documents.remove(name), (cause) => storeFailed(id, "removed", cause))),
      list
    })
  })

const Id = Schema.decodeUnknownOption(Schema.parseJson(Schema.Struct({ id: Schema.String })))

/** The id is in the name, else in the document. A document that cannot be read hides no others. */
const idOf = (documents: Documents, name: string): Effect.Effect<Option.Option<string>, Error> => {
  const named = fromName(name)
  if (Option.isSome(named)) return Effect.succeed(named)
  return Effect.gen(function*() {
    const text = yield* Effect.catchAll(
      documents.read(name),
      (cause) => Effect.as(Effect.logWarning(`The document ${name} cannot be read`, cause), Option.none<string>())
    )
    if (Option.isNone(text)) return Option.none()
    const document = Id(text.value)
    if (Option.isSome(document) && (yield* toName(document.value.id)) === name) return Option.some(document.value.id)
    yield* Effect.logWarning(`The document ${name} is no conversation`)
    return Option.none()
  })
}
