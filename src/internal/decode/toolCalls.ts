/**
 * Deltas of tool calls → complete tool calls.
 *
 * A delta belongs to the call with its id; else to the last call with its index; else, if the server sends neither, to
 * the last call unless the delta names a function. Ids come late, repeat, change or are absent; indexes are absent
 * (Gemini), all 0 (Ollama), from 1, or used twice.
 *
 * What the arguments of a call are is decided at the end of the answer, by what parses: most servers append, some send
 * all arguments so far in each delta, repeat them at the end, or put two calls under one id.
 */
import type { ToolCall } from "../../ChatResponse.ts"
import { isRecord, type JsonRecord, parseJson } from "../json.ts"
import { longestName, type ToolCallPiece } from "./chunk.ts"
import { JsonScanner, scan, valuesIn } from "./jsonScanner.ts"
import { Block, newEntry } from "./members.ts"
import { splitHalf } from "./sse.ts"

/** Up to how many characters, or so many keys and values, arguments are compared with others. */
const comparable = 2 ** 22

/** A call in the making. `place` counts the calls of the answer from 0; `index` is the server's own number. */
export class OpenCall {
  readonly place: number
  readonly index: number | undefined
  readonly #pieces: Array<string> = []
  readonly #scanner = new JsonScanner(comparable)
  #extra: Block | undefined
  /** The first half of a character whose second half has not come. */
  #half = ""
  id = ""
  name = ""
  /** For how much the call counts, in characters. At the end, the arguments are read several times. */
  size = 8 * newEntry

  constructor(place: number, index: number | undefined) {
    this.place = place
    this.index = index
  }

  /** The pieces of the arguments, none of them empty. */
  get pieces(): ReadonlyArray<string> {
    return this.#pieces
  }

  /** Whether the arguments are a closed object or list. */
  get isClosed(): boolean {
    return this.#scanner.isClosed
  }

  /** Whether the arguments are too much to be compared with others: they stay as they came. */
  get isHeavy(): boolean {
    return this.#scanner.excess !== undefined
  }

  /** Members of the call that have no field of their own. */
  get extra(): JsonRecord | undefined {
    return this.#extra?.value
  }

  /** Adds members, or further pieces of them: Gemini's thought signature can come in several deltas. */
  addExtra(extra: JsonRecord): void {
    this.#extra ??= new Block()
    this.size += this.#extra.add(extra)
  }

  /** A piece as a consumer can encode it: the first half of a character waits for the second one. */
  toEncodable(piece: string): string {
    const { complete, half } = splitHalf(this.#half + piece)
    this.#half = half
    return complete
  }

  /** The half of a character that is still held back. */
  takeHalf(): string {
    const half = this.#half
    this.#half = ""
    return half
  }

  append(piece: string): void {
    if (piece === "") return
    this.#pieces.push(piece)
    this.#scanner.read(piece)
    this.size += 4 * piece.length + 16
  }
}

/** The calls of one answer. Mutable: one answer has one reader. */
export class ToolCalls {
  readonly #calls: Array<OpenCall> = []
  readonly #byIndex = new Map<number, OpenCall>()
  /** The last call with an id, and the last one with an id and an index. */
  readonly #byId = new Map<string, OpenCall>()
  /** For how much all calls count, in characters. */
  contentSize = 0

  get size(): number {
    return this.#calls.length
  }

  /** The calls in the making, in their order. */
  get open(): ReadonlyArray<OpenCall> {
    return this.#calls
  }

  /**
   * Adds a delta and returns the call that it belongs to, or undefined if the delta is empty. In a document every entry
   * is a call.
   */
  add(piece: ToolCallPiece, isDocument: boolean): OpenCall | undefined {
    const found = isDocument ? undefined : this.#find(piece)
    const { arguments: more, extra, id, index, name } = piece
    if (found === undefined && id === undefined && name === undefined && more === "") return undefined
    const before = found?.size ?? 0
    const call = found ?? this.#open(index)
    if (id !== undefined && call.id === "") call.id = id
    if (call.id !== "") this.#remember(call)
    if (name !== undefined) call.name = withName(call, name)
    if (extra !== undefined) call.addExtra(extra)
    call.append(more)
    this.contentSize += call.size - before
    return call
  }

  /** The calls as they are now. */
  get complete(): ReadonlyArray<ToolCall> {
    return withOwnIds(withoutRepeats(this.#calls.flatMap(toToolCalls)))
  }

  #open(index: number | undefined): OpenCall {
    const call = new OpenCall(this.#calls.length, index)
    this.#calls.push(call)
    if (index !== undefined) this.#byIndex.set(index, call)
    return call
  }

  #remember(call: OpenCall): void {
    this.#byId.set(call.id, call)
    this.#byId.set(keyOf(call.id, call.index), call)
  }

  #find(piece: ToolCallPiece): OpenCall | undefined {
    const call = piece.id === undefined ? this.#withoutId(piece) : this.#withId(piece.id, piece) ?? this.#goesOn(piece)
    return call === undefined || isAnother(call, piece) ? undefined : call
  }

  /** The last call with the index, or the last one of all if there is no index. */
  #at(index: number | undefined): OpenCall | undefined {
    return index === undefined ? this.#calls.at(-1) : this.#byIndex.get(index)
  }

  #withId(id: string, { index, name }: ToolCallPiece): OpenCall | undefined {
    if (name === undefined || index === undefined) return this.#byId.get(id)
    const same = this.#byId.get(keyOf(id, index))
    const unnumbered = this.#byId.get(keyOf(id, undefined))
    return (same?.place ?? -1) > (unnumbered?.place ?? -1) ? same : unnumbered
  }

  #withoutId({ index, name }: ToolCallPiece): OpenCall | undefined {
    const call = this.#at(index)
    if (call !== undefined) return index === undefined && name !== undefined && call.isClosed ? undefined : call
    // The last piece of a call can have the next index, and neither id nor name (Nebius).
    const last = this.#calls.at(-1)
    return name === undefined && last !== undefined && !last.isClosed ? last : undefined
  }

  /** The call whose id comes late, or that goes on under another id: Poolside gives each delta an id of its own. */
  #goesOn({ index, name }: ToolCallPiece): OpenCall | undefined {
    const call = this.#at(index)
    if (call === undefined) return undefined
    if (call.id === "") return name === undefined || index !== undefined ? call : undefined
    return name === undefined && call.name !== "" ? call : undefined
  }
}

const keyOf = (id: string, index: number | undefined): string => JSON.stringify([id, index ?? null])

/** Names come in pieces as well (Gemini): before the arguments begin, and with no id that would be another call's. */
const isMoreName = (call: OpenCall, { arguments: more, id, index }: ToolCallPiece): boolean =>
  index !== undefined && call.pieces.length === 0 && (id === undefined ? more === "" : id === call.id)

/**
 * Whether a delta begins another call than the one that its index names: it brings another name, or it names the same
 * function and begins its arguments anew after closed ones.
 */
const isAnother = (call: OpenCall, piece: ToolCallPiece): boolean => {
  const { arguments: more, id, name } = piece
  return name !== undefined && call.name !== "" && !isMoreName(call, piece) &&
    (name !== call.name ||
      (id === undefined && more.trimStart().startsWith("{") && call.isClosed && !repeats(call, more)))
}

/** Whether a piece is what the call has so far, once more or with more to it. */
const repeats = (call: OpenCall, piece: string): boolean => {
  const last = call.pieces.at(-1) ?? ""
  return piece === last || (call.pieces.length > 1 && piece === call.pieces.join(""))
}

/** A name that is repeated is one name, also if it is longer each time. */
const withName = (call: OpenCall, name: string): string => {
  if (call.name === "" || (call.pieces.length === 0 && name.startsWith(call.name))) return name
  return call.pieces.length === 0 ? (call.name + name).slice(0, longestName) : call.name
}

/** The call, or the calls if one id holds several. */
const toToolCalls = ({ extra, id, isHeavy, name, pieces }: OpenCall): ReadonlyArray<ToolCall> =>
  (isHeavy ? [pieces.join("")] : argumentsOf(pieces)).map((text) => ({
    id,
    name,
    arguments: text,
    ...(extra === undefined ? {} : { extra })
  }))

/** The arguments of one call, or of several, by what parses. */
const argumentsOf = (pieces: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = pieces.join("")
  const last = pieces.at(-1) ?? ""
  if (pieces.length < 2 || parseJson(text) !== undefined) return [text]
  if (pieces.every((piece, index) => index === 0 || piece.startsWith(pieces[index - 1] ?? ""))) return [last]
  const { open, outside, values } = valuesIn(text)
  // What is no sequence of values was cut, or is no JSON: it stays as it came.
  if (values.length === 0 || outside.trim() !== "" || values.some((value) => parseJson(value) === undefined)) {
    return [text]
  }
  const distinct = withoutSnapshots(values)
  return values.some((value) => value.startsWith(open)) ? distinct : [...distinct, open]
}

/** The values without those that the next one repeats or extends. */
const withoutSnapshots = (values: ReadonlyArray<string>): ReadonlyArray<string> =>
  values.filter((value, index) => {
    const next = values[index + 1]
    return next === undefined || !(value === next || isExtendedBy(valueOf(value), valueOf(next)))
  })

/** The value of a text, or the text itself if it is too much to be compared. */
const valueOf = (text: string): unknown => scan(text, comparable).excess !== undefined ? text : parseJson(text)?.value

/** Whether the other value is the same one, or the same one with more to it. */
const isExtendedBy = (value: unknown, other: unknown): boolean => {
  if (typeof value === "string") return typeof other === "string" && other.startsWith(value)
  if (Array.isArray(value)) {
    return Array.isArray(other) && value.length <= other.length &&
      value.every((item, index) => isExtendedBy(item, other[index]))
  }
  if (isRecord(value)) {
    return isRecord(other) && Object.keys(value).every((key) => key in other && isExtendedBy(value[key], other[key]))
  }
  return value === other
}

/** The calls without those that repeat one with the same id: a server can send one call under two indexes. */
const withoutRepeats = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<ToolCall> => {
  const kept: Array<ToolCall> = []
  const places = new Map<string, number>()
  for (const call of calls) {
    const place = call.id === "" ? undefined : places.get(call.id)
    const merged = place === undefined ? undefined : merge(kept[place], call)
    if (place === undefined || merged === undefined) {
      if (call.id !== "") places.set(call.id, kept.length)
      kept.push(call)
    } else {
      kept[place] = merged
    }
  }
  return kept
}

/** Both calls as one, if one repeats the other, lacks what the other has, or goes on where the other breaks off. */
const merge = (call: ToolCall | undefined, other: ToolCall): ToolCall | undefined => {
  if (call === undefined || (call.name !== "" && other.name !== "" && call.name !== other.name)) return undefined
  const text = mergedArguments(call.arguments, other.arguments)
  return text === undefined ? undefined : { ...call, ...other, name: other.name || call.name, arguments: text }
}

const mergedArguments = (one: string, other: string): string | undefined => {
  if (one === "" || other === "" || one === other) return one || other
  const value = valueOf(one)
  if (value === undefined) return parseJson(one + other) === undefined ? undefined : one + other
  const otherValue = valueOf(other)
  return isExtendedBy(value, otherValue) && isExtendedBy(otherValue, value) ? other : undefined
}

/** The calls with an id of its own for each that has one: results go by it. */
const withOwnIds = (calls: ReadonlyArray<ToolCall>): ReadonlyArray<ToolCall> => {
  const taken = new Set(calls.map(({ id }) => id))
  const counts = new Map<string, number>()
  return calls.map((call) => {
    const { id } = call
    let number = counts.get(id) ?? 0
    if (id !== "" && number > 0) { while (taken.has(`${id}_${number}`)) number++ }
    counts.set(id, number + 1)
    return id === "" || number === 0 ? call : { ...call, id: `${id}_${number}` }
  })
}
