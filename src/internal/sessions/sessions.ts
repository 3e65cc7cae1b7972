/**
 * The sessions of a manager: by id, and the idle ones in the order in which they became idle.
 *
 * All sessions of a manager may be idle for the same time, so that order is also the order of their deadlines, and of
 * their last use. Every operation takes constant time. Mutable: a map that is copied on write costs more the more
 * sessions there are.
 */
import type { Conversation } from "../turn/conversation.ts"

/** One conversation that is in memory. */
export interface Session {
  readonly id: string
  readonly conversation: Conversation
  /** How many calls use it now. In use, it is in no idle order. */
  users: number
  /** In monotonic milliseconds. */
  lastActivity: number
  older: Session | undefined
  newer: Session | undefined
  isIdle: boolean
}

/** All sessions of a manager. */
export class Sessions {
  private readonly byId: Map<string, Session> = new Map()
  private oldest: Session | undefined
  private newest: Session | undefined

  get size(): number {
    return this.byId.size
  }

  /** The ids, in the order in which the sessions were created. */
  get ids(): ReadonlyArray<string> {
    return Array.from(this.byId.keys())
  }

  get(id: string): Session | undefined {
    return this.byId.get(id)
  }

  /** Those that are in use, or have a turn that their store did not take. */
  get busy(): ReadonlyArray<Session> {
    const busy: Array<Session> = []
    for (const session of this.byId.values()) if (!session.isIdle) busy.push(session)
    return busy
  }

  /** A new session, idle from now. */
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
    this.byId.set(id, session)
    this.append(session)
    return session
  }

  /** A call begins to use the session. */
  enter(session: Session): void {
    session.users++
    this.unlink(session)
  }

  /** A call no longer uses the session, which is idle if that was the last one. A session with an unsaved turn stays. */
  leave(session: Session, now: number): void {
    session.users--
    session.lastActivity = now
    if (session.users > 0 || session.conversation.hasUnsavedTurn) return
    if (this.byId.get(session.id) === session) this.append(session)
  }

  delete(session: Session): void {
    this.byId.delete(session.id)
    this.unlink(session)
  }

  /** The session that has been idle for longest. */
  get longestIdle(): Session | undefined {
    return this.oldest
  }

  private append(session: Session): void {
    session.isIdle = true
    session.older = this.newest
    if (this.newest === undefined) this.oldest = session
    else this.newest.newer = session
    this.newest = session
  }

  private unlink(session: Session): void {
    if (!session.isIdle) return
    if (session.older === undefined) this.oldest = session.newer
    else session.older.newer = session.newer
    if (session.newer === undefined) this.newest = session.older
    else session.newer.older = session.older
    session.isIdle = false
    session.older = undefined
    session.newer = undefined
  }
}
