/**
 * Joins the deltas of tool calls into complete tool calls.
 *
 * A delta belongs to the call with its id; else to the last call with its index; else, if the server sends neither, to
 * the last call unless the delta names a function. Ids come late, repeat, change or are absent; indexes are absent
 * (Gemini), all 0 (Ollama), from 1, or used twice.
 *
 * Most servers send the arguments in pieces. Some send all arguments so far in each delta, repeat them at the end, or send
 * two calls with one id. At the end of the answer, the reading that parses as JSON is chosen.
 */
import type { ToolCall } from "../../ChatResponse.ts"
import { isRecord, type JsonRecord, parseJson } from "../json.ts"
import { longestName, type ToolCallPiece } from "./chunk.ts"
import { JsonScanner, scan, valuesIn } from "./jsonScanner.ts"
import { Block, newEntry } from "./members.ts"
import { splitHalf } from "./sse.ts"

/** Arguments that exceed this limit of a {@link JsonScanner} are not compared with others. */
const comparable = 2 ** 22

/** A call that is still arriving. `place` counts the calls of the answer from 0; `index` is the server's own number. */
export class OpenCall {
  readonly place: number
  readonly index: number | undefined
  readonly #pieces: Array<string> = []
  readonly #scanner = new JsonScanner(comparable)
  #extra: Block | undefined
  /** A high surrogate, held until its low surrogate arrives. */
  #half = ""
  id = ""
  name = ""
  /** What the call adds to the size of the answer, in characters. Arguments are read several times at the end. */
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

  /** Whether the arguments are too large to compare with others. They are kept unchanged. */
  get isHeavy(): boolean {
    return this.#scanner.excess !== undefined
  }

  /** Members of the call that have no field of their own. */
  get extra(): JsonRecord | undefined {
    return this.#extra?.value
  }

  /** Adds members or further pieces of them: Gemini's thought signature can arrive in several deltas. */
  addExtra(extra: JsonRecord): void {
    this.#extra ??= new Block()
    this.size += this.#extra.add(extra)
  }

  /** The piece that a consumer can encode: a high surrogate at its end waits for the low surrogate. */
  toEncodable(piece: string): string {
    const { complete, half } = splitHalf(this.#half + piece)
    this.#half = half
    return complete
  }

  /** Removes and returns the high surrogate that is held back. */
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
  /** The sum of the sizes of all calls, in characters. */
  contentSize = 0

  get size(): number {
    return this.#calls.length
  }

  /** The calls that are still arriving, in order. */
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
    const call = piece.id === undefined
      ? this.#withoutId(piece)
      : this.#withId(piece.id, piece) ?? this.#withNewId(piece)
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

  /** The call that a delta with a new id continues: its id arrives late or changes (Poolside, with every delta). */
  #withNewId({ index, name }: ToolCallPiece): OpenCall | undefined {
    const call = this.#at(index)
    if (call === undefined) return undefined
    if (call.id === "") return name === undefined || index !== undefined ? call : undefined
    return name === undefined && call.name !== "" ? call : undefined
  }
}

const keyOf = (id: string, index: number | undefined): string => JSON.stringify([id, index ?? null])

/** Whether a delta continues the name, which can arrive in pieces before the arguments (Gemini). */
const isMoreName = (call: OpenCall, { arguments: more, id, index }: ToolCallPiece): boolean =>
  index !== undefined && call.pieces.length === 0 && (id === undefined ? more === "" : id === call.id)

/**
 * Whether a delta starts another call, although it has the index or id of this one: it has another name, or the same name
 * and new arguments after complete ones.
 */
const isAnother = (call: OpenCall, piece: ToolCallPiece): boolean => {
  const { arguments: more, id, name } = piece
  return name !== undefined && call.name !== "" && !isMoreName(call, piece) &&
    (name !== call.name ||
      (id === undefined && more.trimStart().startsWith("{") && call.isClosed && !repeats(call, more)))
}

/** Whether a piece repeats the last piece or all arguments so far. */
const repeats = (call: OpenCall, piece: string): boolean => {
  const last = call.pieces.at(-1) ?? ""
  return piece === last || (call.pieces.length > 1 && piece === call.pieces.join(""))
}

/** The name with another piece. A name that is repeated, even if longer each time, is one name. */
const withName = (call: OpenCall, name: string): string => {
  if (call.name === "" || (call.pieces.length === 0 && name.startsWith(call.name))) return name
  return call.pieces.length === 0 ? (call.name + name).slice(0, longestName) : call.name
}

/** The call, or several calls if they have the same id. */
const toToolCalls = ({ extra, id, isHeavy, name, pieces }: OpenCall): ReadonlyArray<ToolCall> =>
  (isHeavy ? [pieces.join("")] : argumentsOf(pieces)).map((text) => ({
    id,
    name,
    arguments: text,
    ...(extra === undefined ? {} : { extra })
  }))

/** The arguments of one call or of several, whichever parses as JSON. */
const argumentsOf = (pieces: ReadonlyArray<string>): ReadonlyArray<string> => {
  const text = pieces.join("")
  const last = pieces.at(-1) ?? ""
  if (pieces.length < 2 || parseJson(text) !== undefined) return [text]
  if (pieces.every((piece, index) => index === 0 || piece.startsWith(pieces[index - 1] ?? ""))) return [last]
  const { open, outside, values } = valuesIn(text)
  // Anything but a sequence of values was cut off or is not JSON: it is kept unchanged.
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

/** The value of a text, or the text itself if it is too large to compare. */
const valueOf = (text: string): unknown => scan(text, comparable).excess !== undefined ? text : parseJson(text)?.value

/** Whether the other value equals or extends this value. */
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

/** Merges two calls if one repeats, completes or continues the other. */
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

/** Makes ids unique, because results refer to them. Calls without an id keep none. */
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
