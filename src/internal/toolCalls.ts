/**
 * Pieces of tool calls → whole calls.
 *
 * A piece belongs to the call with its id; else to the last call with its index; else, where servers give neither, to
 * the last call unless it names a function. Ids come late, repeat, or are absent; indexes are absent (Gemini), all 0
 * (Ollama), from 1, or used twice. Arguments stay text: whether they are whole is known at the answer's end only.
 */
import type { ToolCall } from "../ChatResponse.ts"
import type { ToolCallPiece } from "./delta.ts"

/** A call in the making. `place` counts the answer's calls from 0; `index` is the server's own number. */
export interface OpenCall {
  readonly place: number
  readonly index: number | undefined
  id: string
  name: string
  arguments: string
}

const lastWhere = (calls: ReadonlyArray<OpenCall>, test: (call: OpenCall) => boolean): OpenCall | undefined => {
  for (let i = calls.length - 1; i >= 0; i--) {
    const call = calls[i]
    if (call !== undefined && test(call)) return call
  }
  return undefined
}

/** A name that differs from the one at hand begins another call, also where index or id say otherwise. */
const namesAnother = (call: OpenCall, piece: ToolCallPiece): boolean =>
  piece.name !== undefined && call.name !== "" && piece.name !== call.name

const find = (calls: ReadonlyArray<OpenCall>, piece: ToolCallPiece): OpenCall | undefined => {
  const { id, index, name } = piece
  if (id !== undefined) {
    const same = lastWhere(calls, (call) => call.id === id && (index === undefined || call.index === index))
    if (same !== undefined) return namesAnother(same, piece) ? undefined : same
    const late = lastWhere(calls, (call) => call.id === "" && index !== undefined && call.index === index)
    return late === undefined || namesAnother(late, piece) ? undefined : late
  }
  if (index !== undefined) {
    const same = lastWhere(calls, (call) => call.index === index)
    return same === undefined || namesAnother(same, piece) ? undefined : same
  }
  return name === undefined ? calls[calls.length - 1] : undefined
}

/** Adds a piece to the calls so far and returns the call that it belongs to. Undefined for a piece that says nothing. */
export const addPiece = (calls: Array<OpenCall>, piece: ToolCallPiece): OpenCall | undefined => {
  const found = find(calls, piece)
  if (found === undefined) {
    if (piece.id === undefined && piece.name === undefined && piece.arguments === "") return undefined
    const call: OpenCall = {
      place: calls.length,
      index: piece.index,
      id: piece.id ?? "",
      name: piece.name ?? "",
      arguments: piece.arguments
    }
    calls.push(call)
    return call
  }
  if (found.id === "" && piece.id !== undefined) found.id = piece.id
  if (found.name === "" && piece.name !== undefined) found.name = piece.name
  found.arguments += piece.arguments
  return found
}

/** The calls as they are now. */
export const toToolCalls = (calls: ReadonlyArray<OpenCall>): ReadonlyArray<ToolCall> =>
  calls.map((call) => ({ id: call.id, name: call.name, arguments: call.arguments }))
