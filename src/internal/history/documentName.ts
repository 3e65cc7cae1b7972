/**
 * Converts ids of conversations to document names that are safe as file names and keys. Different ids have different names.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Sha256 from "./sha256.ts"

/** Ids that are safe as they are. Upper case is not, because file systems may ignore case. */
const safeId = /^[a-z0-9][a-z0-9_-]{0,63}$/

const prefix = "id-"

/** `id-` and the id if it is safe, `sha-` and the SHA-256 of the id otherwise. */
export const toName = (id: string): Effect.Effect<string> =>
  safeId.test(id) ? Effect.succeed(prefix + id) : Effect.map(sha256(id), (digest) => `sha-${digest}`)

/** The id, if the name contains it. */
export const fromName = (name: string): Option.Option<string> =>
  Option.liftPredicate(name.slice(prefix.length), (id) => name.startsWith(prefix) && safeId.test(id))

/** The digest of the text as 64 hexadecimal digits. */
export const sha256 = (text: string): Effect.Effect<string> => Effect.sync(() => Sha256.digest(utf16(text)))

/** The UTF-16 code units of the text. UTF-8 encodes all lone surrogates as the same bytes. */
const utf16 = (text: string): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(text.length * 2)
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    bytes[2 * i] = unit >> 8
    bytes[2 * i + 1] = unit & 255
  }
  return bytes
}
