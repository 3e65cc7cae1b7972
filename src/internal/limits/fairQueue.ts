/**
 * A queue that is fair between groups: it serves the first member of each group in turn.
 */
import { LinkedSet } from "../linkedSet.ts"

/** A queue of members, each of a group. Every operation takes constant time. */
export class FairQueue<Member> {
  readonly #groups = new LinkedSet<unknown>()
  readonly #members = new Map<unknown, LinkedSet<Member>>()

  /** The next member. Members that join later do not change it. */
  get head(): Member | undefined {
    return this.#members.get(this.#groups.head)?.head
  }

  /** Adds a member to the end of its group. A new group comes after all others. */
  join(group: unknown, member: Member): void {
    const own = this.#members.get(group) ?? new LinkedSet<Member>()
    own.add(member)
    this.#members.set(group, own)
    this.#groups.add(group)
  }

  /** Removes a member that was not served. Its group keeps its place. */
  leave(group: unknown, member: Member): void {
    const own = this.#members.get(group)
    if (own?.delete(member) !== true || own.size > 0) return
    this.#members.delete(group)
    this.#groups.delete(group)
  }

  /** Removes a member that was served: its group comes after all others now. */
  served(group: unknown, member: Member): void {
    this.leave(group, member)
    if (this.#groups.delete(group)) this.#groups.add(group)
  }

  /** Removes all members. */
  clear(): ReadonlyArray<Member> {
    const all: Array<Member> = []
    for (let head = this.head; head !== undefined; head = this.head) {
      all.push(head)
      this.leave(this.#groups.head, head)
    }
    return all
  }
}
