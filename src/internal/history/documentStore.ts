/**
 * A history store that writes each conversation as one JSON document, to files or to a `KeyValueStore`.
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
import * as Commits from "./commits.ts"
import { fromName, toName } from "./documentName.ts"
import { listFailed, notDecodable, notStored, storeFailed, wrongConversation } from "./errors.ts"
import * as Stored from "./storedConversation.ts"

/** A storage of documents by name. Names are short, lower case and safe as file names. */
export interface Documents {
  readonly read: (name: string) => Effect.Effect<Option.Option<string>, Error>
  /** Replaces the document completely. `isNew` says that it does not exist yet. */
  readonly write: (name: string, text: string, isNew: boolean) => Effect.Effect<void, Error>
  /** Returns whether the document existed. */
  readonly remove: (name: string) => Effect.Effect<boolean, Error>
  readonly names: Stream.Stream<string, Error>
  /** Runs the effect while it holds the lock of this document. If this is absent, programs must not share the documents. */
  readonly exclusive?: <A>(name: string, effect: Effect.Effect<A>) => Effect.Effect<A, Error>
}

/** The number of locks. A document uses the lock of its hash, so memory use does not grow with the documents. */
const lockCount = 256

/** Makes a store of these documents. */
export const make = (
  schema: Schema.Schema<StoredConversation, StoredConversation.Encoded>,
  documents: Documents
): Effect.Effect<Service> =>
  Effect.sync((): Service => {
    const store = new DocumentStore(schema, documents)
    return Commits.toService({
      isShared: documents.exclusive !== undefined,
      load: (id) => store.load(id),
      version: (id) => Effect.map(store.load(id), (stored) => Stored.versionOf(Option.getOrUndefined(stored))),
      loadTail: (id, options) =>
        Effect.map(store.load(id), Option.map((stored) => Stored.tail(stored, options?.turns))),
      findTurn: (id, turnId) => Effect.map(store.load(id), Option.flatMap((stored) => Stored.findTurn(stored, turnId))),
      commit: (commit, context) => store.commit(commit, context),
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
  readonly #locks = Array.from({ length: lockCount }, () => Effect.unsafeMakeSemaphore(1))

  constructor(schema: Schema.Schema<StoredConversation, StoredConversation.Encoded>, documents: Documents) {
    this.#documents = documents
    this.#decode = Schema.decode(Schema.parseJson(schema))
    this.#encode = Schema.encode(Schema.parseJson(schema))
  }

  /** Takes the lock, because a storage may overwrite a document in place. */
  load(id: string): Effect.Effect<Option.Option<StoredConversation>, HistoryStoreError> {
    return Effect.flatMap(toName(id), (name) => this.#locked(name, this.#read(id, name)))
  }

  commit(commit: Commit, context: Commits.CommitContext): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return this.#write(commit.id, (name) =>
      Effect.gen(this, function*() {
        const stored = Option.getOrUndefined(yield* this.#read(commit.id, name))
        return yield* this.#writeDocument(
          yield* Stored.applyCommit(stored, commit, context),
          name,
          stored === undefined
        )
      }))
  }

  copy(
    from: string,
    to: string,
    keepTurns: number | undefined
  ): Effect.Effect<Version, HistoryStoreError | ConflictError> {
    return Effect.gen(this, function*() {
      const stored = yield* this.load(from)
      if (Option.isNone(stored)) return yield* notStored(from)
      return yield* this.commit(Stored.toCopy(stored.value, to, keepTurns), yield* Commits.makeContext)
    })
  }

  conversations(query: ConversationQuery): Effect.Effect<ReadonlyArray<ConversationInfo>, HistoryStoreError> {
    return this.list.pipe(
      Stream.mapEffect((id) => this.#infoOf(id)),
      Stream.flattenIterables,
      Stream.runCollect,
      Effect.map((all) => Stored.pageOf(Array.from(all), query))
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

  /** Yields after the release. Otherwise this fiber could take the lock again before the fibers that wait for it. */
  #locked<A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const lock = this.#locks[Math.abs(Hash.string(name)) % lockCount]
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
        () => wrongConversation(id)
      )
    )
  }

  /** The wait for the lock can be interrupted. The write cannot. */
  #write<A, E>(
    id: string,
    f: (name: string) => Effect.Effect<A, E | HistoryStoreError>
  ): Effect.Effect<A, E | HistoryStoreError> {
    return Effect.flatMap(toName(id), (name) => {
      const effect = Effect.uninterruptible(f(name))
      const { exclusive } = this.#documents
      if (exclusive === undefined) return this.#locked(name, effect)
      const exit = exclusive(name, Effect.exit(effect))
      return this.#locked(name, Effect.flatten(Effect.mapError(exit, (cause) => storeFailed(id, "locked", cause))))
    })
  }

  #writeDocument(next: StoredConversation, name: string, isNew: boolean): Effect.Effect<Version, HistoryStoreError> {
    return this.#encode(next).pipe(
      Effect.flatMap((text) => this.#documents.write(name, text, isNew)),
      Effect.mapBoth({
        onFailure: (cause) => storeFailed(next.id, "written", cause),
        onSuccess: () => Stored.versionOf(next)
      })
    )
  }

  /** Logs a conversation that cannot be read, so that the others are still listed. */
  #infoOf(id: string): Effect.Effect<ReadonlyArray<ConversationInfo>> {
    return this.load(id).pipe(
      Effect.map((stored) => Option.toArray(Option.map(stored, Stored.toInfo))),
      Effect.catchAll((error) => Effect.as(Effect.logWarning(error.message), []))
    )
  }
}

const decodeId = Schema.decodeUnknownOption(Schema.parseJson(Schema.Struct({ id: Schema.String })))

/** The id from the name, or else from the document. Logs a document without an id, so that the others are still listed. */
const idOf = (documents: Documents, name: string): Effect.Effect<Option.Option<string>, Error> => {
  const id = fromName(name)
  if (Option.isSome(id)) return Effect.succeed(id)
  return Effect.gen(function*() {
    const text = yield* Effect.catchAll(
      documents.read(name),
      (cause) => Effect.as(Effect.logWarning(`The document ${name} cannot be read`, cause), Option.none<string>())
    )
    if (Option.isNone(text)) return Option.none()
    const document = decodeId(text.value)
    if (Option.isSome(document) && (yield* toName(document.value.id)) === name) return Option.some(document.value.id)
    yield* Effect.logWarning(`The document ${name} is not a conversation`)
    return Option.none()
  })
}
