/**
 * A set in insertion order. Finding and removing its first value takes constant time.
 */

interface Link<Value> {
  readonly value: Value
  before: Link<Value> | undefined
  after: Link<Value> | undefined
}

/**
 * A set in insertion order. A `Map` alone is slower, because it skips deleted entries one by one to find its first entry.
 */
export class LinkedSet<Value> {
  readonly #links = new Map<Value, Link<Value>>()
  #first: Link<Value> | undefined
  #last: Link<Value> | undefined

  get size(): number {
    return this.#links.size
  }

  get values(): Iterable<Value> {
    return this.#links.keys()
  }

  get head(): Value | undefined {
    return this.#first?.value
  }

  /** Adds a value to the end. A value that is already in the set keeps its position. */
  add(value: Value): void {
    if (this.#links.has(value)) return
    const link: Link<Value> = { value, before: this.#last, after: undefined }
    this.#links.set(value, link)
    if (this.#last === undefined) this.#first = link
    else this.#last.after = link
    this.#last = link
  }

  /** Adds a value to the front. A value that is already in the set keeps its position. */
  addFirst(value: Value): void {
    if (this.#links.has(value)) return
    const link: Link<Value> = { value, before: undefined, after: this.#first }
    this.#links.set(value, link)
    if (this.#first === undefined) this.#last = link
    else this.#first.before = link
    this.#first = link
  }

  /** Removes a value. Returns whether it was in the set. */
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
