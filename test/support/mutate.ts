/**
 * Mutations of recorded bodies, as by networks, proxies and broken servers. They depend only on a generator of random
 * numbers, so a seed repeats them.
 */

/** A change of a body, and its name. */
export interface Mutation {
  readonly name: string
  readonly apply: (body: Uint8Array, random: () => number) => Uint8Array
}

/** A mutated body, and the names of its mutations. */
export interface Mutant {
  readonly body: Uint8Array
  /** The names of the mutations, in order. */
  readonly names: ReadonlyArray<string>
}

/** An integer from 0 to below `limit`. 0 if `limit` is 0. */
export const below = (limit: number, random: () => number): number => Math.floor(random() * limit)

/** One of several. */
export const choose = <A>(items: readonly [A, ...ReadonlyArray<A>], random: () => number): A =>
  items[below(items.length, random)] ?? items[0]

const concat = (...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0))
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

const splice = (body: Uint8Array, at: number, removed: number, added: Uint8Array): Uint8Array =>
  concat(body.subarray(0, at), added, body.subarray(at + removed))

const none = new Uint8Array(0)

/** A range of the body: usually short, sometimes most of it. */
const stretch = (body: Uint8Array, random: () => number): readonly [at: number, length: number] => {
  const at = below(body.length, random)
  const longest = random() < 0.8 ? 12 : body.length
  return [at, 1 + below(Math.min(longest, body.length - at), random)]
}

/** The events of the body, by their blank lines. */
const eventsOf = (body: Uint8Array): ReadonlyArray<Uint8Array> => {
  const events: Array<Uint8Array> = []
  let begin = 0
  for (let at = 1; at < body.length; at++) {
    const isBlank = body[at] === 10 && (body[at - 1] === 10 || (body[at - 1] === 13 && body[at - 2] === 10))
    if (!isBlank) continue
    events.push(body.subarray(begin, at + 1))
    begin = at + 1
  }
  return begin < body.length ? [...events, body.subarray(begin)] : events
}

const onEvents = (
  change: (events: Array<Uint8Array>, at: number, random: () => number) => void
): Mutation["apply"] =>
(body, random) => {
  const events = [...eventsOf(body)]
  change(events, below(events.length, random), random)
  return concat(...events)
}

/** Bytes to insert: NUL, CR, LF, CRLF, BOM, incomplete characters, and characters of the protocol. */
const intruders = [
  [0],
  [13],
  [10],
  [13, 10],
  [10, 10],
  [0xef, 0xbb, 0xbf],
  [0xe4, 0xbd],
  [0xff],
  [0xed, 0xa0, 0x80],
  [0x20],
  [0x22],
  [0x5c],
  [0x7b],
  [0x7d]
].map((bytes) => Uint8Array.from(bytes)) as [Uint8Array, ...Array<Uint8Array>]

const words = [
  "data: [DONE]\n\n",
  "data:\n\n",
  ": keep-alive\n\n",
  "data: : keepalive\n\n",
  "event: error\n",
  "id: 1\0\n",
  "retry: 10\n",
  "data: null\n\n",
  "data: {}\n\n",
  "data: {\"choices\":[]}\n\n",
  "data: {\"error\":{\"message\":\"overloaded\",\"code\":503}}\n\n",
  "[DONE]",
  "\"finish_reason\":\"stop\"",
  "null",
  "\ndata: "
].map((text) => new TextEncoder().encode(text)) as [Uint8Array, ...Array<Uint8Array>]

const swapped = (body: Uint8Array, random: () => number): Uint8Array => {
  const [first = 0, second = 0, third = 0, fourth = 0] = Array.from({ length: 4 }, () => below(body.length + 1, random))
    .sort((a, b) => a - b)
  return concat(
    body.subarray(0, first),
    body.subarray(third, fourth),
    body.subarray(second, third),
    body.subarray(first, second),
    body.subarray(fourth)
  )
}

/** All mutations. Each takes a body with at least one byte. */
export const mutations: readonly [Mutation, ...ReadonlyArray<Mutation>] = [
  { name: "cut", apply: (body, random) => body.subarray(0, below(body.length, random)) },
  {
    name: "drop bytes",
    apply: (body, random) => {
      const [at, length] = stretch(body, random)
      return splice(body, at, length, none)
    }
  },
  {
    name: "duplicate bytes",
    apply: (body, random) => {
      const [at, length] = stretch(body, random)
      return splice(body, at, 0, body.subarray(at, at + length))
    }
  },
  {
    name: "flip a bit",
    apply: (body, random) => {
      const at = below(body.length, random)
      return splice(body, at, 1, Uint8Array.of((body[at] ?? 0) ^ (1 << below(8, random))))
    }
  },
  {
    name: "replace a byte",
    apply: (body, random) => splice(body, below(body.length, random), 1, Uint8Array.of(below(256, random)))
  },
  {
    name: "insert an intruder",
    apply: (body, random) => splice(body, below(body.length + 1, random), 0, choose(intruders, random))
  },
  {
    name: "insert words",
    apply: (body, random) => splice(body, below(body.length + 1, random), 0, choose(words, random))
  },
  { name: "swap stretches", apply: swapped },
  { name: "drop an event", apply: onEvents((events, at) => void events.splice(at, 1)) },
  {
    name: "duplicate an event",
    apply: onEvents((events, at) => void events.splice(at, 0, ...events.slice(at, at + 1)))
  },
  {
    name: "move an event",
    apply: onEvents((events, at, random) =>
      void events.splice(below(events.length, random), 0, ...events.splice(at, 1))
    )
  },
  {
    name: "insert an event",
    apply: onEvents((events, at, random) => void events.splice(at, 0, choose(words, random)))
  },
  { name: "lose the last events", apply: onEvents((events, at) => void events.splice(at)) }
]

/** A body with one to three mutations. */
export const mutate = (body: Uint8Array, random: () => number): Mutant => {
  const names: Array<string> = []
  let mutant = body
  for (let more = 1 + below(3, random); more > 0 && mutant.length > 0; more--) {
    const mutation = choose(mutations, random)
    names.push(mutation.name)
    mutant = mutation.apply(mutant, random)
  }
  return { body: mutant, names }
}
