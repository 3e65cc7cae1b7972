/**
 * Ids → names that are safe for files and keys, one for one.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sha256 from "./sha256.ts"

/** Ids that stay readable: lower case only, because file systems may ignore case. */
const readable = /^[a-z0-9][a-z0-9_-]{0,63}$/

const prefix = "id-"

/** `id-` and the id if that is safe, or else `sha-` and its SHA-256. */
export const toName = (id: string): Effect.Effect<string> =>
  readable.test(id) ? Effect.succeed(prefix + id) : Effect.map(sha256(id), (digest) => `sha-${digest}`)

/** The id, if the name has it. */
export const fromName = (name: string): Option.Option<string> =>
  Option.liftPredicate(name.slice(prefix.length), (id) => name.startsWith(prefix) && readable.test(id))

/** The digest of a text, 64 digits of lower case. */
export const sha256 = (text: string): Effect.Effect<string> => Effect.sync(() => Sha256.digest(utf16(text)))

/** The UTF-16 units of the text. In UTF-8, texts with different lone surrogates would be equal. */
const utf16 = (text: string): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(text.length * 2)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit >> 8
    bytes[2 * i + 1] = unit & 255
  }
  return bytes
}
