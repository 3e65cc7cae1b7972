/**
 * The history store on documents: one text by name for each conversation.
 */
import * as Effect from "effect/Effect"
import * as Hash from "effect/Hash"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import type {
  Commit,
  ConversationInfo,
  ConversationQuery,
  Service,
  StoredConversation,
  Version
} from "../../StoredConversation.ts"
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
    const store = new DocumentStore(schema, documents)
    return Commits.toService({
      isShared: documents.exclusive !== undefined,
      load: (id) => store.load(id),
      version: (id) => Effect.map(store.load(id), (stored) => Change.versionOf(Option.getOrUndefined(stored))),
      loadTail: (id, options) =>
        Effect.map(store.load(id), Option.map((stored) => Change.tail(stored, options?.turns))),
      findTurn: (id, turnId) => Effect.map(store.load(id), Option.flatMap((stored) => Change.findTurn(stored, turnId))),
      commit: (commit, fresh) => store.commit(commit, fresh),
      copy: (from, to, options) => store.copy(from, to, options?.keepTurns),
      conversations: (query) => store.conversations(query ?? {}),
      remove: (id) => store.remove(id),
      list: store.list
    })
  })

class DocumentStore {
  readonly #documents: Documents
  readonly #decode: (text: string) => Effect.Effect<StoredConversation, ParseResult.ParseError>
  readonly #encode: (conversation: StoredConversation) => Effect.Effect<string, ParseResult.ParseError>
  readonly #locks = Array.from({ length: stripes }, () => Effect.unsafeMakeSemaphore(1))

  constructor(schema: Schema.Schema<StoredConversation, StoredConversation.Encoded>, documents: Documents) {
    this.#documents = documents
    this.#decode = Schema.decode(Schema.parseJson(schema))
    this.#encode = Schema.encode(Schema.parseJson(schema))
  }

  /** Under the lock, since documents may be written in place. */
  load(id: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> {
    return Effect.flatMap(toName(id), (name) => this.#locked(name, this.#read(id, name)))
  }

  commit(commit: Commit, fresh: Commits.Fresh): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return this.#write(commit.id, (name) =>
      Effect.gen(this, function*() {
        const stored = Option.getOrUndefined(yield* this.#read(commit.id, name))
        return yield* this.#put(yield* Change.commit(stored, commit, fresh), name, stored === undefined)
      }))
  }

  /** The read is complete, and the copy is one write. */
  copy(
    from: string,
    to: string,
    keepTurns: number | undefined
  ): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return Effect.gen(this, function*() {
      const stored = yield* this.load(from)
      if (Option.isNone(stored)) return yield* notStored(from)
      return yield* this.commit(Change.toCopy(stored.value, to, keepTurns), yield* Commits.fresh)
    })
  }

  conversations(query: ConversationQuery): Effect.Effect<ReadonlyArray<ConversationInfo>, HistoryStoreError> {
    return this.list.pipe(
      Stream.mapEffect((id) => this.#infoOf(id)),
      Stream.flattenIterables,
      Stream.runCollect,
      Effect.map((all) => Change.pageOf(Array.from(all), query))
    )
  }

  remove(id: string): Effect.Effect<boolean, HistoryStoreError> {
    return this.#write(
      id,
      (name) => Effect.mapError(this.#documents.remove(name), (cause) => storeFailed(id, "removed", cause))
    )
  }

  get list(): Stream.Stream<string, HistoryStoreError> {
    return this.#documents.names.pipe(
      Stream.mapEffect((name) => Effect.map(this.#locked(name, idOf(this.#documents, name)), Option.toArray)),
      Stream.mapError(listFailed),
      Stream.flattenIterables
    )
  }

  /** Whoever had the lock lets the next one have it: a semaphore gives it to who asks first after it is free. */
  #locked<A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const lock = this.#locks[Math.abs(Hash.string(name)) % stripes]
    return lock === undefined ? effect : Effect.ensuring(lock.withPermits(1)(effect), Effect.yieldNow())
  }

  #read(id: string, name: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> {
    return this.#documents.read(name).pipe(
      Effect.mapError((cause) => storeFailed(id, "read", cause)),
      Effect.flatMap(Option.match({
        onNone: () => Effect.succeedNone,
        onSome: (text) => Effect.asSome(Effect.mapError(this.#decode(text), (cause) => notDecodable(id, cause)))
      })),
      Effect.filterOrFail(
        Option.match({ onNone: () => true, onSome: (stored) => stored.id === id }),
        () => notOf(id)
      )
    )
  }

  /** Waiting can be interrupted, writing cannot. */
  #write<A, E>(
    id: string,
    f: (name: string) => Effect.Effect<A, E | HistoryStoreError>
  ): Effect.Effect<A, E | HistoryStoreError> {
    return Effect.flatMap(toName(id), (name) => {
      const effect = Effect.uninterruptible(f(name))
      const { exclusive } = this.#documents
      if (exclusive === undefined) return this.#locked(name, effect)
      const alone = exclusive(name, Effect.exit(effect))
      return this.#locked(name, Effect.flatten(Effect.mapError(alone, (cause) => storeFailed(id, "locked", cause))))
    })
  }

  #put(next: StoredConversation, name: string, isNew: boolean): Effect.Effect<Version, HistoryStoreError> {
    return this.#encode(next).pipe(
      Effect.flatMap((text) => this.#documents.write(name, text, isNew)),
      Effect.mapBoth({
        onFailure: (cause) => storeFailed(next.id, "written", cause),
        onSuccess: () => Change.versionOf(next)
      })
    )
  }

  /** The entry of this conversation in a page. A conversation that cannot be read does not hide others. */
  #infoOf(id: string): Effect.Effect<ReadonlyArray<ConversationInfo>> {
    return this.load(id).pipe(
      Effect.map((stored) => Option.toArray(Option.map(stored, Change.toInfo))),
      Effect.catchAll((error) => Effect.as(Effect.logWarning(error.message), []))
    )
  }
}

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
