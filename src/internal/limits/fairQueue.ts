/**
 * A queue that is fair between groups: it serves the first member of each group in turn.
 */

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

interface Link<Value> {
  readonly value: Value
  before: Link<Value> | undefined
  after: Link<Value> | undefined
}

/** Values in the order of insertion. A `Map` has that order too, but skips deleted entries one by one to find its first. */
class LinkedSet<Value> {
  readonly #links = new Map<Value, Link<Value>>()
  #first: Link<Value> | undefined
  #last: Link<Value> | undefined

  get size(): number {
    return this.#links.size
  }

  get head(): Value | undefined {
    return this.#first?.value
  }

  /** Adds a value to the end. A value that is there keeps its place. */
  add(value: Value): void {
    if (this.#links.has(value)) return
    const link: Link<Value> = { value, before: this.#last, after: undefined }
    this.#links.set(value, link)
    if (this.#last === undefined) this.#first = link
    else this.#last.after = link
    this.#last = link
  }

  /** Removes a value; returns whether it was there. */
  delete(value: Value): boolean {
    const link = this.#links.get(value)
    if (link === undefined) return false
    this.#links.delete(value)
    if (link.before === undefined) this.#first = link.after
    else link.before.after = link.after
    if (link.after === undefined) this.#last = link.before
    else link.after.before = link.before
    return true
  }
}
