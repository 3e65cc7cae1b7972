/**
 * A queue that is fair between groups (conversations in `Limits`). It serves the groups in rotation, one member at a time.
 */
import { LinkedSet } from "../linkedSet.ts"

/** A queue of members that belong to groups. Each operation but `clear` takes constant time. */
export class FairQueue<Member> {
  readonly #groups = new LinkedSet<unknown>()
  readonly #members = new Map<unknown, LinkedSet<Member>>()

  /** The next member. A member that joins later never comes before it. */
  get head(): Member | undefined {
    return this.#members.get(this.#groups.head)?.head
  }

  /** Adds a member to the end of its group. A new group is added after all others. */
  join(group: unknown, member: Member): void {
    const own = this.#members.get(group) ?? new LinkedSet<Member>()
    own.add(member)
    this.#members.set(group, own)
    this.#groups.add(group)
  }

  /** Removes a member that was not served. Its group keeps its position. */
  leave(group: unknown, member: Member): void {
    const own = this.#members.get(group)
    if (own?.delete(member) !== true || own.size > 0) return
    this.#members.delete(group)
    this.#groups.delete(group)
  }

  /** Removes a member that was served, and moves its group after all others. */
  removeServed(group: unknown, member: Member): void {
    this.leave(group, member)
    if (this.#groups.delete(group)) this.#groups.add(group)
  }

  /** Removes and returns all members. */
  clear(): ReadonlyArray<Member> {
    const all: Array<Member> = []
    for (let head = this.head; head !== undefined; head = this.head) {
      all.push(head)
      this.leave(this.#groups.head, head)
    }
    return all
  }
}
