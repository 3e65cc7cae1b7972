/**
 * Ids → names that are safe for files and keys, one for one.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sha256 from "./sha256.ts"

/** What stays readable: lower case, since file systems may not tell it from upper case. */
const readable = /^[a-z0-9][a-z0-9_-]{0,63}$/

const prefix = "id-"

/** `id-` and the id where that is safe, else `sha-` and its SHA-256. */
export const toName = (id: string): Effect.Effect<string> =>
  readable.test(id) ? Effect.succeed(prefix + id) : Effect.map(sha256(id), (digest) => `sha-${digest}`)

/** The id, where the name tells it. */
export const fromName = (name: string): Option.Option<string> =>
  Option.liftPredicate(name.slice(prefix.length), (id) => name.startsWith(prefix) && readable.test(id))

/** The digest of a text, 64 digits of lower case. */
export const sha256 = (text: string): Effect.Effect<string> => Effect.sync(() => Sha256.digest(utf16(text)))

/** The text's own units: as UTF-8, texts with different lone surrogates would be one. */
const utf16 = (text: string): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(text.length * 2)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit >> 8
    bytes[2 * i + 1] = unit & 255
  }
  return bytes
}
