/**
 * A set in insertion order. Finding and removing its first value takes constant time.
 */

interface Link<Value> {
  readonly value: Value
  previous: Link<Value> | undefined
  next: Link<Value> | undefined
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
    const link: Link<Value> = { value, previous: this.#last, next: undefined }
    this.#links.set(value, link)
    if (this.#last === undefined) this.#first = link
    else this.#last.next = link
    this.#last = link
  }

  /** Adds a value to the front. A value that is already in the set keeps its position. */
  addFirst(value: Value): void {
    if (this.#links.has(value)) return
    const link: Link<Value> = { value, previous: undefined, next: this.#first }
    this.#links.set(value, link)
    if (this.#first === undefined) this.#last = link
    else this.#first.previous = link
    this.#first = link
  }

  /** Removes a value. Returns whether it was in the set. */
  delete(value: Value): boolean {
    const link = this.#links.get(value)
    if (link === undefined) return false
    this.#links.delete(value)
    if (link.previous === undefined) this.#first = link.next
    else link.previous.next = link.next
    if (link.next === undefined) this.#last = link.previous
    else link.next.previous = link.previous
    return true
  }
}
