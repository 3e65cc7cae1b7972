/**
 * Joins the deltas of tool calls into complete tool calls.
 *
 * A delta belongs to the call with its id; else to the last call with its index; else, if the server sends neither, to
 * the last call unless the delta names a function. Ids come late, repeat, change or are absent; indexes are absent
 * (Gemini), all 0 (Ollama), from 1, or used twice.
 *
 * Most servers send the arguments in fragments. Some send all arguments so far in each delta, repeat them at the end, or
 * send two calls with one id. At the end of the answer, the interpretation that parses as JSON is chosen.
 */
import type { ToolCall } from "../../ChatResponse.ts"
import { isRecord, type JsonRecord, parseJson } from "../json.ts"
import { maxNameLength, type ServerToolCallDelta } from "./chunk.ts"
import { JsonScanner, scan, valuesIn } from "./jsonScanner.ts"
import { Block, entrySize } from "./members.ts"
import { splitSurrogate } from "./sse.ts"

/** Arguments that exceed this limit of a {@link JsonScanner} are not compared with others. */
const comparisonLimit = 2 ** 22

/** A call that is still arriving. `position` counts the calls of the answer from 0; `index` is the server's own number. */
export class PartialCall {
  readonly position: number
  readonly index: number | undefined
  readonly #fragments: Array<string> = []
  readonly #scanner = new JsonScanner(comparisonLimit)
  #extra: Block | undefined
  /** A high surrogate that waits for its low surrogate. */
  #surrogate = ""
  id = ""
  name = ""
  /** What the call adds to the size of the answer, in characters. Arguments are read several times at the end. */
  size = 8 * entrySize

  constructor(position: number, index: number | undefined) {
    this.position = position
    this.index = index
  }

  /** The fragments of the arguments, none of them empty. */
  get fragments(): ReadonlyArray<string> {
    return this.#fragments
  }

  /** Whether the arguments are a closed object or list. */
  get isClosed(): boolean {
    return this.#scanner.isClosed
  }

  /** Whether the arguments are too large to compare with others. They are kept unchanged. */
  get isTooLarge(): boolean {
    return this.#scanner.excess !== undefined
  }

  /** Members of the call that have no field of their own. */
  get extra(): JsonRecord | undefined {
    return this.#extra?.value
  }

  /** Adds members or further fragments of them: Gemini's thought signature can arrive in several deltas. */
  addExtra(extra: JsonRecord): void {
    this.#extra ??= new Block()
    this.size += this.#extra.add(extra)
  }

  /** The fragment as a consumer can encode it: a high surrogate at its end waits for the low surrogate. */
  toEncodable(fragment: string): string {
    const { complete, surrogate } = splitSurrogate(this.#surrogate + fragment)
    this.#surrogate = surrogate
    return complete
  }

  /** Removes and returns the high surrogate that waits. */
  takeSurrogate(): string {
    const surrogate = this.#surrogate
    this.#surrogate = ""
    return surrogate
  }

  append(fragment: string): void {
    if (fragment === "") return
    this.#fragments.push(fragment)
    this.#scanner.read(fragment)
    this.size += 4 * fragment.length + 16
  }
}

/** The calls of one answer. Mutable: one answer has one reader. */
export class ToolCalls {
  readonly #calls: Array<PartialCall> = []
  readonly #byIndex = new Map<number, PartialCall>()
  /** The last call with an id, and the last one with an id and an index. */
  readonly #byId = new Map<string, PartialCall>()
  /** The sum of the sizes of all calls, in characters. */
  contentSize = 0

  get size(): number {
    return this.#calls.length
  }

  /** The calls that are still arriving, in order. */
  get partial(): ReadonlyArray<PartialCall> {
    return this.#calls
  }

  /**
   * Adds a delta and returns the call that it belongs to, or undefined if the delta is empty. In a document every entry
   * is a call.
   */
  add(delta: ServerToolCallDelta, isDocument: boolean): PartialCall | undefined {
    const found = isDocument ? undefined : this.#find(delta)
    const { arguments: text, extra, id, index, name } = delta
    if (found === undefined && id === undefined && name === undefined && text === "") return undefined
    const before = found?.size ?? 0
    const call = found ?? this.#addCall(index)
    if (id !== undefined && call.id === "") call.id = id
    if (call.id !== "") this.#registerId(call)
    if (name !== undefined) call.name = mergedName(call, name)
    if (extra !== undefined) call.addExtra(extra)
    call.append(text)
    this.contentSize += call.size - before
    return call
  }

  /** The calls as they are now. */
  get complete(): ReadonlyArray<ToolCall> {
    return withUniqueIds(withoutDuplicates(this.#calls.flatMap(toToolCalls)))
  }

  #addCall(index: number | undefined): PartialCall {
    const call = new PartialCall(this.#calls.length, index)
    this.#calls.push(call)
    if (index !== undefined) this.#byIndex.set(index, call)
    return call
  }

  #registerId(call: PartialCall): void {
    this.#byId.set(call.id, call)
    this.#byId.set(keyOf(call.id, call.index), call)
  }

  #find(delta: ServerToolCallDelta): PartialCall | undefined {
    const call = delta.id === undefined
      ? this.#findWithoutId(delta)
      : this.#findById(delta.id, delta) ?? this.#findByNewId(delta)
    return call === undefined || startsNewCall(call, delta) ? undefined : call
  }

  /** The last call with the index, or the last one of all if there is no index. */
  #callAt(index: number | undefined): PartialCall | undefined {
    return index === undefined ? this.#calls.at(-1) : this.#byIndex.get(index)
  }

  #findById(id: string, { index, name }: ServerToolCallDelta): PartialCall | undefined {
    if (name === undefined || index === undefined) return this.#byId.get(id)
    const numbered = this.#byId.get(keyOf(id, index))
    const unnumbered = this.#byId.get(keyOf(id, undefined))
    return (numbered?.position ?? -1) > (unnumbered?.position ?? -1) ? numbered : unnumbered
  }

  #findWithoutId({ index, name }: ServerToolCallDelta): PartialCall | undefined {
    const call = this.#callAt(index)
    if (call !== undefined) return index === undefined && name !== undefined && call.isClosed ? undefined : call
    // The last delta of a call can have the next index, and neither id nor name (Nebius).
    const last = this.#calls.at(-1)
    return name === undefined && last !== undefined && !last.isClosed ? last : undefined
  }

  /** The call that a delta with a new id continues: its id arrives late or changes (Poolside, with every delta). */
  #findByNewId({ index, name }: ServerToolCallDelta): PartialCall | undefined {
    const call = this.#callAt(index)
    if (call === undefined) return undefined
    if (call.id === "") return name === undefined || index !== undefined ? call : undefined
    return name === undefined && call.name !== "" ? call : undefined
  }
}

const keyOf = (id: string, index: number | undefined): string => JSON.stringify([id, index ?? null])

/** Whether a delta continues the name, which can arrive in fragments before the arguments (Gemini). */
const continuesName = (call: PartialCall, { arguments: text, id, index }: ServerToolCallDelta): boolean =>
  index !== undefined && call.fragments.length === 0 && (id === undefined ? text === "" : id === call.id)

/**
 * Whether a delta starts another call, although it has the index or id of this one: it has another name, or the same name
 * and new arguments after complete ones.
 */
const startsNewCall = (call: PartialCall, delta: ServerToolCallDelta): boolean => {
  const { arguments: text, id, name } = delta
  return name !== undefined && call.name !== "" && !continuesName(call, delta) &&
    (name !== call.name ||
      (id === undefined && text.trimStart().startsWith("{") && call.isClosed && !isRepetition(call, text)))
}

/** Whether a fragment of the arguments repeats the last fragment or all arguments so far. */
const isRepetition = (call: PartialCall, fragment: string): boolean => {
  const last = call.fragments.at(-1) ?? ""
  return fragment === last || (call.fragments.length > 1 && fragment === call.fragments.join(""))
}

/** The name after another delta. A name that is repeated, even if longer each time, is one name. */
const mergedName = (call: PartialCall, name: string): string => {
  if (call.name === "" || (call.fragments.length === 0 && name.startsWith(call.name))) return name
  return call.fragments.length === 0 ? (call.name + name).slice(0, maxNameLength) : call.name
}

/** The call, or several calls if they have the same id. */
const toToolCalls = ({ extra, fragments, id, isTooLarge, name }: PartialCall): ReadonlyArray<ToolCall> =>
  (isTooLarge ? [fragments.join("")] : splitArguments(fragments)).map((text) => ({
    id,
    name,
    arguments: text,
    ...(extra === undefined ? {} : { extra })
  }))

/** The arguments of one call or of several, whichever parses as JSON. */
const splitArguments = (fragments: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = fragments.join("")
  const last = fragments.at(-1) ?? ""
  if (fragments.length < 2 || parseJson(text) !== undefined) return [text]
  if (fragments.every((fragment, index) => index === 0 || fragment.startsWith(fragments[index - 1] ?? ""))) {
    return [last]
  }
  const { outside, unclosed, values } = valuesIn(text)
  // Anything but a sequence of values was cut off or is not JSON: it is kept unchanged.
  if (values.length === 0 || outside.trim() !== "" || values.some((value) => parseJson(value) === undefined)) {
    return [text]
  }
  const distinct = withoutSnapshots(values)
  return values.some((value) => value.startsWith(unclosed)) ? distinct : [...distinct, unclosed]
}

/** The values without those that the next one repeats or extends. */
const withoutSnapshots = (values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.filter((value, index) => {
    const next = values[index + 1]
    return next === undefined || !(value === next || isExtendedBy(valueOf(value), valueOf(next)))
  })

/** The value of a text, or the text itself if it is too large to compare. */
const valueOf = (text: string): unknown =>
  scan(text, comparisonLimit).excess !== undefined ? text : parseJson(text)?.value

/** Whether the other value equals or extends this value. */
const isExtendedBy = (value: unknown, later: unknown): boolean => {
  if (typeof value === "string") return typeof later === "string" && later.startsWith(value)
  if (Array.isArray(value)) {
    return Array.isArray(later) && value.length <= later.length &&
      value.every((item, index) => isExtendedBy(item, later[index]))
  }
  if (isRecord(value)) {
    return isRecord(later) && Object.keys(value).every((key) => key in later && isExtendedBy(value[key], later[key]))
  }
  return value === later
}

/** Merges calls with the same id that repeat each other: a server can send one call under two indexes. */
const withoutDuplicates = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<ToolCall> => {
  const distinct: Array<ToolCall> = []
  const positions = new Map<string, number>()
  for (const call of calls) {
    const position = call.id === "" ? undefined : positions.get(call.id)
    const merged = position === undefined ? undefined : merge(distinct[position], call)
    if (position === undefined || merged === undefined) {
      if (call.id !== "") positions.set(call.id, distinct.length)
      distinct.push(call)
    } else {
      distinct[position] = merged
    }
  }
  return distinct
}

/** Merges two calls if one repeats, completes or continues the other. */
const merge = (earlier: ToolCall | undefined, later: ToolCall): ToolCall | undefined => {
  if (earlier === undefined || (earlier.name !== "" && later.name !== "" && earlier.name !== later.name)) {
    return undefined
  }
  const text = mergedArguments(earlier.arguments, later.arguments)
  return text === undefined ? undefined : { ...earlier, ...later, name: later.name || earlier.name, arguments: text }
}

const mergedArguments = (earlier: string, later: string): string | undefined => {
  if (earlier === "" || later === "" || earlier === later) return earlier || later
  const earlierValue = valueOf(earlier)
  if (earlierValue === undefined) return parseJson(earlier + later) === undefined ? undefined : earlier + later
  const laterValue = valueOf(later)
  return isExtendedBy(earlierValue, laterValue) && isExtendedBy(laterValue, earlierValue) ? later : undefined
}

/** Makes ids unique, because results refer to them. Calls without an id keep none. */
const withUniqueIds = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<ToolCall> => {
  const usedIds = new Set(calls.map(({ id }) => id))
  const counts = new Map<string, number>()
  return calls.map((call) => {
    const { id } = call
    let number = counts.get(id) ?? 0
    if (id !== "" && number > 0) { while (usedIds.has(`${id}_${number}`)) number++ }
    counts.set(id, number + 1)
    return id === "" || number === 0 ? call : { ...call, id: `${id}_${number}` }
  })
}
