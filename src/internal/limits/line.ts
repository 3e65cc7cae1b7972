/**
 * Who waits, in an order that is fair between groups: each group's first in turn.
 */

/** A line of members, each of a group. All operations cost the same, however long the line is. */
export class Line<Member> {
  private readonly groups = new Map<unknown, Set<Member>>()

  /** Who is next. Who comes later does not change that. */
  get head(): Member | undefined {
    for (const members of this.groups.values()) {
      for (const member of members) return member
    }
    return undefined
  }

  /** Goes to the end of the group's own line. A group without one gets its turn after all others. */
  join(group: unknown, member: Member): void {
    const members = this.groups.get(group)
    if (members === undefined) this.groups.set(group, new Set([member]))
    else members.add(member)
  }

  /** Leaves the line unserved. The group keeps its place. */
  leave(group: unknown, member: Member): void {
    const members = this.groups.get(group)
    if (members?.delete(member) === true && members.size === 0) this.groups.delete(group)
  }

  /** Leaves the line served: the group's next turn comes after those of all others. */
  served(group: unknown, member: Member): void {
    const members = this.groups.get(group)
    this.leave(group, member)
    if (members !== undefined && this.groups.delete(group)) this.groups.set(group, members)
  }

  /** Everybody leaves. */
  clear(): ReadonlyArray<Member> {
    const all = Array.from(this.groups.values(), (members) => [...members]).flat()
    this.groups.clear()
    return all
  }
}
