/**
 * Who waits, in an order that is fair between groups: each group's first in turn.
 */

/** A line of members, each of a group. All operations cost the same, however long the line is. */
export class Line<Member> {
  private readonly groups = new Queue<unknown>()
  private readonly members = new Map<unknown, Queue<Member>>()

  /** Who is next. Who comes later does not change that. */
  get head(): Member | undefined {
    return this.members.get(this.groups.head)?.head
  }

  /** Goes to the end of the group's own line. A group without one gets its turn after all others. */
  join(group: unknown, member: Member): void {
    const own = this.members.get(group) ?? new Queue<Member>()
    own.add(member)
    this.members.set(group, own)
    this.groups.add(group)
  }

  /** Leaves the line unserved. The group keeps its place. */
  leave(group: unknown, member: Member): void {
    const own = this.members.get(group)
    if (own?.delete(member) !== true || own.size > 0) return
    this.members.delete(group)
    this.groups.delete(group)
  }

  /** Leaves the line served: the group's next turn comes after those of all others. */
  served(group: unknown, member: Member): void {
    this.leave(group, member)
    if (this.groups.delete(group)) this.groups.add(group)
  }

  /** Everybody leaves. */
  clear(): ReadonlyArray<Member> {
    const all: Array<Member> = []
    for (let head = this.head; head !== undefined; head = this.head) {
      all.push(head)
      this.leave(this.groups.head, head)
    }
    return all
  }
}

interface Place<Value> {
  readonly value: Value
  before: Place<Value> | undefined
  after: Place<Value> | undefined
}

/** Values in the order in which they came. A `Map` alone has that order too, but to its first entry it steps over gaps. */
class Queue<Value> {
  private readonly places = new Map<Value, Place<Value>>()
  private first: Place<Value> | undefined
  private last: Place<Value> | undefined

  get size(): number {
    return this.places.size
  }

  get head(): Value | undefined {
    return this.first?.value
  }

  /** Goes to the end. A value that is there keeps its place. */
  add(value: Value): void {
    if (this.places.has(value)) return
    const place: Place<Value> = { value, before: this.last, after: undefined }
    this.places.set(value, place)
    if (this.last === undefined) this.first = place
    else this.last.after = place
    this.last = place
  }

  /** Whether it was there. */
  delete(value: Value): boolean {
    const place = this.places.get(value)
    if (place === undefined) return false
    this.places.delete(value)
    if (place.before === undefined) this.first = place.after
    else place.before.after = place.after
    if (place.after === undefined) this.last = place.before
    else place.after.before = place.before
    return true
  }
}
