/**
 * Escapes texts for databases, and converts ids to keys of rows. PostgreSQL refuses NUL and lone surrogates, and drivers of
 * SQLite truncate texts at NUL.
 */
import * as Effect from "effect/Effect"
import { sha256 } from "../documentName.ts"

/** Escapes a text. Most texts do not change, so that they can be searched in the database. */
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

/** The maximum number of characters of a key. PostgreSQL cannot index texts of more than 2,704 bytes. */
const maxKeyLength = 255

/** An id as it is stored in a row. */
export interface Key {
  /** The escaped id, or `\#` and a hash if the id is too long for an index. No escaped id begins with `\#`. */
  readonly key: string
  /** The escaped id if the key is a hash. */
  readonly longId: string | null
}

export const toKey = (id: string): Effect.Effect<Key> => {
  const escaped = escape(id)
  if (escaped.length <= maxKeyLength) return Effect.succeed({ key: escaped, longId: null })
  return Effect.map(sha256(id), (digest) => ({ key: `\\#${digest}`, longId: escaped }))
}

export const fromKey = ({ key, longId }: Key): string => unescape(longId ?? key)
