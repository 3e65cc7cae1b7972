/**
 * Ids → names that are safe for files and keys, one for one.
 */
import * as Effect from "effect/Effect"

/** What stays readable: lower case, since file systems may not tell it from upper case. */
const readable = /^[a-z0-9][a-z0-9_-]{0,63}$/

const hex = (bytes: ArrayBuffer): string =>
  Array.from(new Uint8Array(bytes), (byte) => byte.toString(16).padStart(2, "0")).join("")

/** `id-` and the id where that is safe, else `sha-` and its SHA-256. */
export const toName = (id: string): Effect.Effect<string> =>
  readable.test(id)
    ? Effect.succeed(`id-${id}`)
    : Effect.map(
      Effect.promise(() => globalThis.crypto.subtle.digest("SHA-256", utf16(id))),
      (digest) => `sha-${hex(digest)}`
    )

/** The text's own units: as UTF-8, texts with different lone surrogates would be one. */
const utf16 = (id: string): Uint8Array<ArrayBuffer> => {
  const bytes = new Uint8Array(id.length * 2)
  for (let i = 0; i < id.length; i++) {
    const unit = id.charCodeAt(i)
    bytes[2 * i] = unit >> 8
    bytes[2 * i + 1] = unit & 255
  }
  return bytes
}
