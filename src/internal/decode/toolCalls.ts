/**
 * Pieces of tool calls → whole calls.
 *
 * A piece belongs to the call with its id; else to the last call with its index; else, where servers give neither, to
 * the last call unless it names a function. Ids come late, repeat, change or are absent; indexes are absent (Gemini),
 * all 0 (Ollama), from 1, or used twice. Arguments stay text: whether they are whole is known at the answer's end only,
 * and whole ones end a call only where a piece that names a function begins anew.
 */
import * as Arr from "effect/Array"
import * as Option from "effect/Option"
import type { ToolCall } from "../../ChatResponse.ts"
import { parseJson } from "../json.ts"
import type { ToolCallPiece } from "./chunk.ts"

/** A call in the making. `place` counts the answer's calls from 0; `index` is the server's own number. */
export interface OpenCall {
  readonly place: number
  readonly index: number | undefined
  id: string
  name: string
  arguments: string
}

const lastWhere = (calls: ReadonlyArray<OpenCall>, test: (call: OpenCall) => boolean): OpenCall | undefined =>
  Option.getOrUndefined(Arr.findLast(calls, test))

/** The last call with the index; the last of all where there is none. */
const atIndex = (calls: ReadonlyArray<OpenCall>, index: number | undefined): OpenCall | undefined =>
  lastWhere(calls, (call) => index === undefined || call.index === index)

const hasWhole = (call: OpenCall): boolean => parseJson(call.arguments) !== undefined

/** Names come in pieces as well (Gemini): before the arguments begin, and with no id that would be another call's. */
const isMoreName = (call: OpenCall, { arguments: more, id, index }: ToolCallPiece): boolean =>
  index !== undefined && call.arguments === "" && (id === undefined ? more === "" : id === call.id)

/**
 * Whether a piece begins another call than the one that its index names: it brings another name, or it names the same
 * function and begins its arguments anew after whole ones.
 */
const isAnother = (call: OpenCall, piece: ToolCallPiece): boolean => {
  const { arguments: more, id, name } = piece
  return name !== undefined && call.name !== "" && !isMoreName(call, piece) &&
    (name !== call.name || (id === undefined && more.trimStart().startsWith("{") && hasWhole(call)))
}

const byId = (calls: ReadonlyArray<OpenCall>, { id, index, name }: ToolCallPiece): OpenCall | undefined =>
  lastWhere(
    calls,
    (call) =>
      call.id === id && (name === undefined || index === undefined || call.index === undefined || call.index === index)
  )

/** The call whose id comes late, or that goes on under another id: Poolside gives each piece an id of its own. */
const goesOn = (calls: ReadonlyArray<OpenCall>, { index, name }: ToolCallPiece): OpenCall | undefined => {
  const call = atIndex(calls, index)
  if (call === undefined) return undefined
  if (call.id === "") return name === undefined || index !== undefined ? call : undefined
  return name === undefined && call.name !== "" ? call : undefined
}

const byPlace = (calls: ReadonlyArray<OpenCall>, { index, name }: ToolCallPiece): OpenCall | undefined => {
  const call = atIndex(calls, index)
  return call !== undefined && index === undefined && name !== undefined && hasWhole(call) ? undefined : call
}

/** A name that is repeated is one name, also where it is longer each time. */
const withName = (call: OpenCall, name: string): string => {
  if (call.name === "" || (call.arguments === "" && name.startsWith(call.name))) return name
  return call.arguments === "" ? call.name + name : call.name
}

const find = (calls: ReadonlyArray<OpenCall>, piece: ToolCallPiece): OpenCall | undefined => {
  const call = piece.id === undefined ? byPlace(calls, piece) : byId(calls, piece) ?? goesOn(calls, piece)
  return call === undefined || isAnother(call, piece) ? undefined : call
}

/**
 * Adds a piece to the calls so far and returns the call that it belongs to. Undefined for a piece that says nothing. In a
 * document every piece is a call.
 */
export const addPiece = (calls: Array<OpenCall>, piece: ToolCallPiece, isWhole: boolean): OpenCall | undefined => {
  const found = isWhole ? undefined : find(calls, piece)
  const { arguments: more, id, index, name } = piece
  if (found === undefined && id === undefined && name === undefined && more === "") return undefined
  const call = found ?? { place: calls.length, index, id: "", name: "", arguments: "" }
  if (found === undefined) calls.push(call)
  call.id ||= id ?? ""
  if (name !== undefined) call.name = withName(call, name)
  call.arguments += more
  return call
}

/** The calls as they are now. */
export const toToolCalls = (calls: ReadonlyArray<OpenCall>): ReadonlyArray<ToolCall> =>
  calls.map((call) => ({ id: call.id, name: call.name, arguments: call.arguments }))
