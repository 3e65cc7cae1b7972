/**
 * The registry of the sessions in memory. It creates sessions, counts their users, and evicts idle sessions after a timeout
 * or above a capacity.
 */
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { SessionEvent } from "../../SessionEvent.ts"
import { monotonicMillis } from "../time.ts"
import { makeDeferred } from "../transport/wait.ts"
import { Background } from "../turn/background.ts"
import type { Conversation } from "../turn/conversation.ts"
import type { Lender } from "../turn/runner.ts"
import type { Lifetime } from "./lifetime.ts"
import { type Session, Sessions } from "./sessions.ts"

/** The number of sessions that are evicted before the fiber yields. */
const evictionBatch = 256

/** Makes the conversation of a new session. The conversation reads the store after `pendingRemoval`. */
export type MakeConversation = (pendingRemoval: Effect.Effect<void> | undefined) => Conversation

/** The live Clock never wakes a fiber that sleeps for longer than a timer can run. */
const maxSleepMillis = 24 * 60 * 60 * 1000

/** Makes a registry. Closing the scope ends its sessions. */
export const make = (lifetime: Lifetime): Effect.Effect<Registry, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sessions = yield* SynchronizedRef.make(new Sessions())
    const events = yield* PubSub.unbounded<SessionEvent>()
    const idleLatch = yield* Effect.makeLatch(false)
    const registry = new Registry(lifetime, sessions, events, idleLatch)
    if (Duration.isFinite(lifetime.timeout)) yield* Effect.forkScoped(registry.evictForever)
    yield* Effect.addFinalizer(() => registry.shutdown)
    return registry
  })

/** The sessions of one manager. */
export class Registry {
  readonly #sessions: SynchronizedRef.SynchronizedRef<Sessions>
  readonly #events: PubSub.PubSub<SessionEvent>
  readonly #idleLatch: Effect.Latch
  readonly #capacity: number
  readonly #grace: Duration.Duration
  readonly #idleMillis: number
  readonly #removals = new Removals()
  readonly #pendingReleases = new Background()
  readonly #pendingRemovals = new Background()
  #isOpen = true

  constructor(
    { capacity, grace, timeout }: Lifetime,
    sessions: SynchronizedRef.SynchronizedRef<Sessions>,
    events: PubSub.PubSub<SessionEvent>,
    idleLatch: Effect.Latch
  ) {
    this.#capacity = capacity
    this.#grace = grace
    this.#idleMillis = Duration.toMillis(timeout)
    this.#sessions = sessions
    this.#events = events
    this.#idleLatch = idleLatch
  }

  has(id: string): Effect.Effect<boolean> {
    return this.#withSessions((all) => all.get(id) !== undefined)
  }

  get size(): Effect.Effect<number> {
    return this.#withSessions((all) => all.size)
  }

  get ids(): Effect.Effect<ReadonlyArray<string>> {
    return this.#withSessions((all) => all.ids)
  }

  get events(): Stream.Stream<SessionEvent> {
    return Stream.fromPubSub(this.#events)
  }

  /** Returns the conversation with this id. Makes it if no session has it. */
  create(id: string, makeConversation: MakeConversation): Effect.Effect<Conversation> {
    return this.#withSessions((all, now) => {
      const { conversation } = this.#getOrCreate(all, id, makeConversation, now)
      this.#evictAboveCapacity(all)
      return conversation
    }).pipe(Effect.zipLeft(this.#idleLatch.open), Effect.uninterruptible)
  }

  /** Makes a `Lender` of the conversation with this id. It creates the session if necessary. A session in use is not idle. */
  lender(id: string, makeConversation: MakeConversation): Lender {
    return {
      // Each chat builds about 20 effects, and most are never run: suspending makes building them cheap.
      with: (f) =>
        Effect.suspend(() =>
          Effect.acquireUseRelease(
            this.#use(id, makeConversation),
            ({ conversation }) => f(conversation),
            (session) => this.#release(session)
          )
        ),
      acquire: (scope) =>
        Effect.uninterruptible(Effect.flatMap(
          this.#use(id, makeConversation),
          (session) => Effect.as(Scope.addFinalizer(scope, this.#release(session)), session.conversation)
        ))
    }
  }

  /** Ends the session and runs `removeStored`. Returns whether there was a session or a stored conversation. */
  remove<E>(
    id: string,
    removeStored: Effect.Effect<boolean, E>,
    isAllowed: (session: Session) => boolean = () => true
  ): Effect.Effect<boolean, E> {
    return Effect.flatten(this.#withSessions((all) => {
      const session = all.get(id)
      if (session === undefined) return this.#removals.add(id, removeStored)
      if (!isAllowed(session)) return Effect.succeed(false)
      all.delete(session)
      this.#emit({ _tag: "Removed", id })
      return this.#removals.add(
        id,
        Effect.as(Effect.zipRight(session.conversation.closeForRemoval, removeStored), true)
      )
    })).pipe((removal) => this.#pendingRemovals.run(removal))
  }

  /** Like `remove`, but returns false if the session is in use or has an unsaved turn. */
  removeUnused<E>(id: string, removeStored: Effect.Effect<boolean, E>): Effect.Effect<boolean, E> {
    return this.remove(id, removeStored, ({ conversation, users }) => users === 0 && !conversation.hasUnsavedTurn)
  }

  /** Runs a write to the store, after the pending removals of this id. The next use of the session reads the store again. */
  write<A, E>(id: string, write: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const reload = Effect.flatMap(
      this.#withSessions((all) => all.get(id)),
      (session) => session === undefined ? Effect.void : session.conversation.reload
    )
    return Effect.suspend(() => this.#removals.pending(id) ?? Effect.void).pipe(
      Effect.zipRight(write),
      Effect.ensuring(reload)
    )
  }

  /** Evicts sessions when they have been idle for the timeout. */
  get evictForever(): Effect.Effect<never> {
    // The latch is closed first. A session that becomes idle during the eviction opens it again.
    return this.#idleLatch.close.pipe(
      Effect.zipRight(this.#evictExpired),
      Effect.flatMap((remaining) => {
        if (remaining === undefined) return this.#idleLatch.await
        return remaining > 0
          ? Effect.sleep(Math.min(Math.max(1, Math.ceil(remaining)), maxSleepMillis))
          : Effect.yieldNow()
      }),
      Effect.forever
    )
  }

  /** Ends the sessions that are in use and waits for pending removals. Later uses of a session are interrupted. */
  get shutdown(): Effect.Effect<void> {
    return this.#withSessions((all) => {
      this.#isOpen = false
      return all.busy.map(({ conversation }) => conversation.shutdown(this.#grace))
    }).pipe(
      Effect.flatMap((ended) => Effect.all(ended, { concurrency: "unbounded", discard: true })),
      Effect.zipRight(this.#pendingRemovals.settled),
      Effect.zipRight(PubSub.shutdown(this.#events))
    )
  }

  /** Runs a synchronous function on the sessions. It needs no lock and no `set`, because `Sessions` is mutable. */
  #withSessions<A>(f: (sessions: Sessions, now: number) => A): Effect.Effect<A> {
    return Effect.clockWith((clock) =>
      Effect.map(SynchronizedRef.get(this.#sessions), (all) => f(all, monotonicMillis(clock)))
    )
  }

  #emit(event: SessionEvent): void {
    this.#events.unsafeOffer(event)
  }

  #getOrCreate(all: Sessions, id: string, makeConversation: MakeConversation, now: number): Session {
    const existing = all.get(id)
    if (existing !== undefined) return existing
    this.#emit({ _tag: "Created", id })
    return all.create(id, makeConversation(this.#removals.pending(id)), now)
  }

  #use(id: string, makeConversation: MakeConversation): Effect.Effect<Session> {
    return Effect.flatten(this.#withSessions((all, now) => {
      if (!this.#isOpen) return Effect.interrupt
      const session = this.#getOrCreate(all, id, makeConversation, now)
      all.use(session)
      this.#evictAboveCapacity(all)
      return Effect.succeed(session)
    }))
  }

  /** The session stays in use until the writes of its conversation are done. */
  #release(session: Session): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { background } = session.conversation
      return background.isIdle
        ? this.#releaseNow(session)
        : this.#pendingReleases.start(Effect.zipRight(background.settled, this.#releaseNow(session)))
    })
  }

  #releaseNow(session: Session): Effect.Effect<void> {
    return this.#withSessions((all, now) => {
      all.release(session, now)
      this.#evictAboveCapacity(all)
    }).pipe(Effect.zipRight(this.#idleLatch.open))
  }

  #evictAboveCapacity(all: Sessions): void {
    for (let idle = all.longestIdle; idle !== undefined && all.size > this.#capacity; idle = all.longestIdle) {
      this.#evict(all, idle, "capacity")
    }
  }

  #evict(all: Sessions, session: Session, reason: "idle" | "capacity"): void {
    all.delete(session)
    this.#emit({ _tag: "Evicted", id: session.id, reason })
  }

  /** Evicts a batch of expired sessions. Returns the milliseconds until the next one expires. */
  get #evictExpired(): Effect.Effect<number | undefined> {
    return this.#withSessions((all, now) => {
      let idle = all.longestIdle
      for (let n = 0; n < evictionBatch && idle !== undefined && idle.lastActivity + this.#idleMillis <= now; n++) {
        this.#evict(all, idle, "idle")
        idle = all.longestIdle
      }
      return idle === undefined ? undefined : idle.lastActivity + this.#idleMillis - now
    })
  }
}

/**
 * The pending removals of each id, which run one after another. New conversations with the id wait for them. Mutable.
 */
class Removals {
  readonly #last = new Map<string, Deferred.Deferred<void>>()

  /** Waits for the pending removals of this id. Undefined if there are none. */
  pending(id: string): Effect.Effect<void> | undefined {
    const done = this.#last.get(id)
    return done === undefined ? undefined : Deferred.await(done)
  }

  /** Adds a removal synchronously. It is pending until the returned effect has run. */
  add<A, E>(id: string, removal: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const previous = this.pending(id) ?? Effect.void
    const done = makeDeferred<void>()
    this.#last.set(id, done)
    return Effect.ensuring(
      Effect.zipRight(previous, removal),
      Effect.suspend(() => {
        if (this.#last.get(id) === done) this.#last.delete(id)
        return Deferred.succeed(done, undefined)
      })
    )
  }
}
