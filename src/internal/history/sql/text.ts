/**
 * Any text as one that every database keeps: PostgreSQL refuses NUL and lone surrogates, SQLite's drivers cut at NUL.
 */
import * as Effect from "effect/Effect"
import { sha256 } from "../documentName.ts"

/** Almost every text is unchanged, so stored texts can be read and searched. */
export const escape = (text: string): string =>
  text.replace(/[\0\\]|\p{Surrogate}/gu, (unit) => {
    if (unit === "\\") return "\\\\"
    if (unit === "\0") return "\\0"
    return `\\u${unit.charCodeAt(0).toString(16)}`
  })

export const unescape = (escaped: string): string =>
  escaped.replace(/\\(?:([\\0])|u([0-9a-f]{4}))/g, (_, short: string | undefined, unit: string | undefined) => {
    if (unit !== undefined) return String.fromCharCode(Number.parseInt(unit, 16))
    return short === "0" ? "\0" : "\\"
  })

/** PostgreSQL indexes up to 2 704 bytes, which is three for each of these, twice over. */
const longest = 255

/** An id as a row has it. */
export interface Key {
  /** The escaped id, or what stands for one that is too long for an index. No escape begins like the latter. */
  readonly key: string
  /** The escaped id, if the key does not have it. */
  readonly longId: string | null
}

export const toKey = (id: string): Effect.Effect<Key> => {
  const escaped = escape(id)
  if (escaped.length <= longest) return Effect.succeed({ key: escaped, longId: null })
  return Effect.map(sha256(id), (digest) => ({ key: `\\#${digest}`, longId: escaped }))
}

export const fromKey = ({ key, longId }: Key): string => unescape(longId ?? key)
