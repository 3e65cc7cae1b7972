/**
 * Who is in memory: creates sessions, lends them out, and evicts those that are idle for too long or too many.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as PubSub from "effect/PubSub"
import * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { SessionEvent } from "../../SessionEvent.ts"
import { monotonicMillis } from "../time.ts"
import { Background } from "../turn/background.ts"
import type { Conversation } from "../turn/conversation.ts"
import type { Lender } from "../turn/run.ts"
import { Removals } from "./removals.ts"
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

/** The sessions of one manager. */
export interface Registry {
  /** The conversation with this id, which is begun if there is none. */
  readonly create: (id: string, begin: Begin) => Effect.Effect<Conversation>
  /** Lends the session out: it is created if need be, and not idle meanwhile. */
  readonly lender: (id: string, begin: Begin) => Lender
  /** Ends the session, and does `forget` then; whether there was one to end or to forget. */
  readonly remove: <E>(id: string, forget: Effect.Effect<boolean, E>) => Effect.Effect<boolean, E>
  /** Like `remove`, but not while the session is in use, or has a turn that its store did not take. */
  readonly removeUnused: <E>(id: string, forget: Effect.Effect<boolean, E>) => Effect.Effect<boolean, E>
  /** Runs a write of what is stored, after removals. The session reads it with its next use. */
  readonly write: <A, E>(id: string, write: Effect.Effect<A, E>) => Effect.Effect<A, E>
  readonly has: (id: string) => Effect.Effect<boolean>
  readonly size: Effect.Effect<number>
  readonly ids: Effect.Effect<ReadonlyArray<string>>
  readonly events: Stream.Stream<SessionEvent>
}

/** Sessions that live as long as the scope. */
export const make = ({ capacity, grace, timeout }: Limits): Effect.Effect<Registry, never, Scope.Scope> =>
  Effect.gen(function*() {
    const sessions = yield* SynchronizedRef.make(new Sessions())
    const events = yield* PubSub.unbounded<SessionEvent>()
    const someIdle = yield* Effect.makeLatch(false)
    const idleMillis = Duration.toMillis(timeout)
    const removals = new Removals()
    const leaving = new Background()
    const removing = new Background()
    let isOpen = true

    // What is synchronous needs no lock. The map is mutable, so that there is nothing to set.
    const withSessions = <A>(f: (sessions: Sessions, now: number) => A): Effect.Effect<A> =>
      Effect.clockWith((clock) => Effect.map(SynchronizedRef.get(sessions), (all) => f(all, monotonicMillis(clock))))

    const tell = (event: SessionEvent): void => {
      events.unsafeOffer(event)
    }

    const evict = (all: Sessions, session: Session, reason: "idle" | "capacity"): void => {
      all.delete(session)
      tell({ _tag: "Evicted", id: session.id, reason })
    }

    const shrink = (all: Sessions): void => {
      for (let idle = all.longestIdle; idle !== undefined && all.size > capacity; idle = all.longestIdle) {
        evict(all, idle, "capacity")
      }
    }

    const getOrCreate = (all: Sessions, id: string, begin: Begin, now: number): Session => {
      const existing = all.get(id)
      if (existing !== undefined) return existing
      tell({ _tag: "Created", id })
      return all.create(id, begin(removals.last(id)), now)
    }

    const enter = (id: string, begin: Begin): Effect.Effect<Session> =>
      Effect.flatten(withSessions((all, now) => {
        if (!isOpen) return Effect.interrupt
        const session = getOrCreate(all, id, begin, now)
        all.enter(session)
        shrink(all)
        return Effect.succeed(session)
      }))

    const leaveNow = (session: Session): Effect.Effect<void> =>
      withSessions((all, now) => {
        all.leave(session, now)
        shrink(all)
      }).pipe(Effect.zipRight(someIdle.open))

    /** A session is in use until what its conversation writes is stored. */
    const leave = (session: Session): Effect.Effect<void> =>
      Effect.suspend(() => {
        const { background } = session.conversation
        return background.isIdle
          ? leaveNow(session)
          : leaving.start(Effect.zipRight(background.settled, leaveNow(session)))
      })

    /** Evicts a batch of those whose time is over, and gives the time that the next one has left. */
    const evictExpired = withSessions((all, now) => {
      let idle = all.longestIdle
      for (let n = 0; n < evictionBatch && idle !== undefined && idle.lastActivity + idleMillis <= now; n++) {
        evict(all, idle, "idle")
        idle = all.longestIdle
      }
      return idle === undefined ? undefined : idle.lastActivity + idleMillis - now
    })

    // In milliseconds. What is longer than a timer can be, the live Clock takes for ever.
    const longestSleep = 24 * 60 * 60 * 1000

    // The latch is closed before the look, so that a session that becomes idle after it opens it again.
    const evictForever = someIdle.close.pipe(
      Effect.zipRight(evictExpired),
      Effect.flatMap((left) => {
        if (left === undefined) return someIdle.await
        return left > 0 ? Effect.sleep(Math.min(Math.max(1, Math.ceil(left)), longestSleep)) : Effect.yieldNow()
      }),
      Effect.forever
    )
    if (Duration.isFinite(timeout)) yield* Effect.forkScoped(evictForever)

    const remove = <E>(
      id: string,
      forget: Effect.Effect<boolean, E>,
      isAllowed: (session: Session) => boolean = () => true
    ): Effect.Effect<boolean, E> =>
      Effect.flatten(withSessions((all) => {
        const session = all.get(id)
        if (session === undefined) return removals.add(id, forget)
        if (!isAllowed(session)) return Effect.succeed(false)
        all.delete(session)
        tell({ _tag: "Removed", id })
        return removals.add(id, Effect.as(Effect.zipRight(session.conversation.remove, forget), true))
      })).pipe((removal) => removing.run(removal))

    const shutdown = withSessions((all) => {
      isOpen = false
      return all.busy.map(({ conversation }) => conversation.end(grace))
    }).pipe(
      Effect.flatMap((ends) => Effect.all(ends, { concurrency: "unbounded", discard: true })),
      Effect.zipRight(removing.settled),
      Effect.zipRight(PubSub.shutdown(events))
    )
    yield* Effect.addFinalizer(() => shutdown)

    return {
      create: (id, begin) =>
        withSessions((all, now) => {
          const { conversation } = getOrCreate(all, id, begin, now)
          shrink(all)
          return conversation
        }).pipe(Effect.zipLeft(someIdle.open), Effect.uninterruptible),
      lender: (id, begin) => ({
        // Suspended, because a chat has some 20 effects that most callers never run.
        with: (f) =>
          Effect.suspend(() =>
            Effect.acquireUseRelease(enter(id, begin), ({ conversation }) => f(conversation), leave)
          ),
        acquire: (scope) =>
          Effect.uninterruptible(Effect.flatMap(
            enter(id, begin),
            (session) => Effect.as(Scope.addFinalizer(scope, leave(session)), session.conversation)
          ))
      }),
      remove,
      removeUnused: (id, forget) =>
        remove(id, forget, ({ conversation, users }) => users === 0 && !conversation.isUnsaved),
      write: (id, write) =>
        Effect.suspend(() => removals.last(id) ?? Effect.void).pipe(
          Effect.zipRight(write),
          Effect.ensuring(
            Effect.flatMap(
              withSessions((all) => all.get(id)),
              (session) => session === undefined ? Effect.void : session.conversation.reload
            )
          )
        ),
      has: (id) => withSessions((all) => all.get(id) !== undefined),
      size: withSessions((all) => all.size),
      ids: withSessions((all) => all.ids),
      events: Stream.fromPubSub(events)
    }
  })
