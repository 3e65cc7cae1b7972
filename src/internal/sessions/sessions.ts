/**
 * The collection of the sessions of a manager: a map by id, and a linked list of the idle sessions in the order in which
 * they became idle.
 *
 * All sessions have the same idle timeout, so this is also the order in which they expire. It is mutable, so that every
 * operation takes constant time.
 */
import type { Conversation } from "../turn/conversation.ts"

/** A conversation in memory. */
export interface Session {
  readonly id: string
  readonly conversation: Conversation
  /** The number of calls that use the session. The idle list contains no session in use. */
  users: number
  /** In monotonic milliseconds. */
  lastActivity: number
  older: Session | undefined
  newer: Session | undefined
  isIdle: boolean
}

/** All sessions of a manager. */
export class Sessions {
  readonly #byId: Map<string, Session> = new Map()
  #oldest: Session | undefined
  #newest: Session | undefined

  get size(): number {
    return this.#byId.size
  }

  /** The ids, in the order in which the sessions were created. */
  get ids(): ReadonlyArray<string> {
    return Array.from(this.#byId.keys())
  }

  get(id: string): Session | undefined {
    return this.#byId.get(id)
  }

  /** The sessions that are in use or have an unsaved turn. */
  get busy(): ReadonlyArray<Session> {
    const busy: Array<Session> = []
    for (const session of this.#byId.values()) if (!session.isIdle) busy.push(session)
    return busy
  }

  /** Adds a session, which is idle at first. */
  create(id: string, conversation: Conversation, now: number): Session {
    const session: Session = {
      id,
      conversation,
      users: 0,
      lastActivity: now,
      older: undefined,
      newer: undefined,
      isIdle: false
    }
    this.#byId.set(id, session)
    this.#append(session)
    return session
  }

  /** Marks the session as used by one more call. */
  use(session: Session): void {
    session.users++
    this.#unlink(session)
  }

  /** Marks the session as used by one call less. It becomes idle after the last call, unless it has an unsaved turn. */
  release(session: Session, now: number): void {
    session.users--
    session.lastActivity = now
    if (session.users > 0 || session.conversation.hasUnsavedTurn) return
    if (this.#byId.get(session.id) === session) this.#append(session)
  }

  delete(session: Session): void {
    this.#byId.delete(session.id)
    this.#unlink(session)
  }

  /** The session that has been idle for the longest time. */
  get longestIdle(): Session | undefined {
    return this.#oldest
  }

  #append(session: Session): void {
    session.isIdle = true
    session.older = this.#newest
    if (this.#newest === undefined) this.#oldest = session
    else this.#newest.newer = session
    this.#newest = session
  }

  #unlink(session: Session): void {
    if (!session.isIdle) return
    if (session.older === undefined) this.#oldest = session.newer
    else session.older.newer = session.newer
    if (session.newer === undefined) this.#newest = session.older
    else session.newer.older = session.older
    session.isIdle = false
    session.older = undefined
    session.newer = undefined
  }
}
