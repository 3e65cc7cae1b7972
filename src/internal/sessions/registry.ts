/**
 * Who is in memory: creates sessions, lends them out, and evicts those that are idle for too long or too many.
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
import { type Session, Sessions } from "./sessions.ts"

/** How many sessions are evicted before other fibers get their turn. */
const evictionBatch = 256

/** Makes the conversation that a new session is for. What is stored of it counts from when `after` is done. */
export type Begin = (after: Effect.Effect<void> | undefined) => Conversation

/** How long, and how many. */
export interface Limits {
  readonly timeout: Duration.Duration
  readonly capacity: number
  /** How long the turns that run may go on when the scope closes. */
  readonly grace: Duration.Duration
}

/** In milliseconds. What is longer than a timer can be, the live Clock takes for ever. */
const longestSleep = 24 * 60 * 60 * 1000

/** Sessions that live as long as the scope. */
export const make = (limits: Limits): Effect.Effect<Registry, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sessions = yield* SynchronizedRef.make(new Sessions())
    const events = yield* PubSub.unbounded<SessionEvent>()
    const someIdle = yield* Effect.makeLatch(false)
    const registry = new Registry(limits, sessions, events, someIdle)
    if (Duration.isFinite(limits.timeout)) yield* Effect.forkScoped(registry.evictForever)
    yield* Effect.addFinalizer(() => registry.shutdown)
    return registry
  })

/** The sessions of one manager. */
export class Registry {
  readonly #sessions: SynchronizedRef.SynchronizedRef<Sessions>
  readonly #events: PubSub.PubSub<SessionEvent>
  readonly #someIdle: Effect.Latch
  readonly #capacity: number
  readonly #grace: Duration.Duration
  readonly #idleMillis: number
  readonly #removals = new Removals()
  readonly #leaving = new Background()
  readonly #removing = new Background()
  #isOpen = true

  constructor(
    { capacity, grace, timeout }: Limits,
    sessions: SynchronizedRef.SynchronizedRef<Sessions>,
    events: PubSub.PubSub<SessionEvent>,
    someIdle: Effect.Latch
  ) {
    this.#capacity = capacity
    this.#grace = grace
    this.#idleMillis = Duration.toMillis(timeout)
    this.#sessions = sessions
    this.#events = events
    this.#someIdle = someIdle
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

  /** The conversation with this id, which is begun if there is none. */
  create(id: string, begin: Begin): Effect.Effect<Conversation> {
    return this.#withSessions((all, now) => {
      const { conversation } = this.#getOrCreate(all, id, begin, now)
      this.#shrink(all)
      return conversation
    }).pipe(Effect.zipLeft(this.#someIdle.open), Effect.uninterruptible)
  }

  /** Lends the session out: it is created if need be, and not idle meanwhile. */
  lender(id: string, begin: Begin): Lender {
    return {
      // Suspended, because a chat has some 20 effects that most callers never run.
      with: (f) =>
        Effect.suspend(() =>
          Effect.acquireUseRelease(
            this.#enter(id, begin),
            ({ conversation }) => f(conversation),
            (session) => this.#leave(session)
          )
        ),
      acquire: (scope) =>
        Effect.uninterruptible(Effect.flatMap(
          this.#enter(id, begin),
          (session) => Effect.as(Scope.addFinalizer(scope, this.#leave(session)), session.conversation)
        ))
    }
  }

  /** Ends the session, and does `forget` then; whether there was one to end or to forget. */
  remove<E>(
    id: string,
    forget: Effect.Effect<boolean, E>,
    isAllowed: (session: Session) => boolean = () => true
  ): Effect.Effect<boolean, E> {
    return Effect.flatten(this.#withSessions((all) => {
      const session = all.get(id)
      if (session === undefined) return this.#removals.add(id, forget)
      if (!isAllowed(session)) return Effect.succeed(false)
      all.delete(session)
      this.#emit({ _tag: "Removed", id })
      return this.#removals.add(id, Effect.as(Effect.zipRight(session.conversation.closeForRemoval, forget), true))
    })).pipe((removal) => this.#removing.run(removal))
  }

  /** Like `remove`, but not while the session is in use, or has a turn that its store did not take. */
  removeUnused<E>(id: string, forget: Effect.Effect<boolean, E>): Effect.Effect<boolean, E> {
    return this.remove(id, forget, ({ conversation, users }) => users === 0 && !conversation.hasUnsavedTurn)
  }

  /** Runs a write of what is stored, after removals. The session reads it with its next use. */
  write<A, E>(id: string, write: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const reload = Effect.flatMap(
      this.#withSessions((all) => all.get(id)),
      (session) => session === undefined ? Effect.void : session.conversation.reload
    )
    return Effect.suspend(() => this.#removals.last(id) ?? Effect.void).pipe(
      Effect.zipRight(write),
      Effect.ensuring(reload)
    )
  }

  /** Evicts the sessions whose time is over, one after another. */
  get evictForever(): Effect.Effect<never> {
    // The latch is closed before the look, so that a session that becomes idle after it opens it again.
    return this.#someIdle.close.pipe(
      Effect.zipRight(this.#evictExpired),
      Effect.flatMap((left) => {
        if (left === undefined) return this.#someIdle.await
        return left > 0 ? Effect.sleep(Math.min(Math.max(1, Math.ceil(left)), longestSleep)) : Effect.yieldNow()
      }),
      Effect.forever
    )
  }

  /** Ends the sessions that are in use, and waits for the removals. No session is entered any more. */
  get shutdown(): Effect.Effect<void> {
    return this.#withSessions((all) => {
      this.#isOpen = false
      return all.busy.map(({ conversation }) => conversation.shutdown(this.#grace))
    }).pipe(
      Effect.flatMap((ends) => Effect.all(ends, { concurrency: "unbounded", discard: true })),
      Effect.zipRight(this.#removing.settled),
      Effect.zipRight(PubSub.shutdown(this.#events))
    )
  }

  /** What is synchronous needs no lock. The map is mutable, so that there is nothing to set. */
  #withSessions<A>(f: (sessions: Sessions, now: number) => A): Effect.Effect<A> {
    return Effect.clockWith((clock) =>
      Effect.map(SynchronizedRef.get(this.#sessions), (all) => f(all, monotonicMillis(clock)))
    )
  }

  #emit(event: SessionEvent): void {
    this.#events.unsafeOffer(event)
  }

  #getOrCreate(all: Sessions, id: string, begin: Begin, now: number): Session {
    const existing = all.get(id)
    if (existing !== undefined) return existing
    this.#emit({ _tag: "Created", id })
    return all.create(id, begin(this.#removals.last(id)), now)
  }

  #enter(id: string, begin: Begin): Effect.Effect<Session> {
    return Effect.flatten(this.#withSessions((all, now) => {
      if (!this.#isOpen) return Effect.interrupt
      const session = this.#getOrCreate(all, id, begin, now)
      all.enter(session)
      this.#shrink(all)
      return Effect.succeed(session)
    }))
  }

  /** A session is in use until what its conversation writes is stored. */
  #leave(session: Session): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { background } = session.conversation
      return background.isIdle
        ? this.#leaveNow(session)
        : this.#leaving.start(Effect.zipRight(background.settled, this.#leaveNow(session)))
    })
  }

  #leaveNow(session: Session): Effect.Effect<void> {
    return this.#withSessions((all, now) => {
      all.leave(session, now)
      this.#shrink(all)
    }).pipe(Effect.zipRight(this.#someIdle.open))
  }

  #shrink(all: Sessions): void {
    for (let idle = all.longestIdle; idle !== undefined && all.size > this.#capacity; idle = all.longestIdle) {
      this.#evict(all, idle, "capacity")
    }
  }

  #evict(all: Sessions, session: Session, reason: "idle" | "capacity"): void {
    all.delete(session)
    this.#emit({ _tag: "Evicted", id: session.id, reason })
  }

  /** Evicts a batch of those whose time is over, and gives the time that the next one has left. */
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
 * The removals that are in progress, by id, one after another of each. A conversation that begins meanwhile waits for
 * them. Mutable.
 */
class Removals {
  readonly #running = new Map<string, Deferred.Deferred<void>>()

  /** Waits for the removals of this id that were added so far. Undefined if there are none in progress. */
  last(id: string): Effect.Effect<void> | undefined {
    const gone = this.#running.get(id)
    return gone === undefined ? undefined : Deferred.await(gone)
  }

  /** Adds a removal at once. It is in progress until the effect that this returns has run. */
  add<A, E>(id: string, removal: Effect.Effect<A, E>): Effect.Effect<A, E> {
    const before = this.last(id) ?? Effect.void
    const gone = makeDeferred<void>()
    this.#running.set(id, gone)
    return Effect.ensuring(
      Effect.zipRight(before, removal),
      Effect.suspend(() => {
        if (this.#running.get(id) === gone) this.#running.delete(id)
        return Deferred.succeed(gone, undefined)
      })
    )
  }
}
