/**
 * Bytes of UTF-8 in chunks → text.
 *
 * Runtimes decode what is whole in itself several times faster than what may begin or end within a character. A chunk
 * that ends with ASCII, after another that did, is whole: nearly every chunk of a server is.
 */

const isAscii = (byte: number | undefined): boolean => byte !== undefined && byte < 0x80

const first = new TextDecoder()

const later = new TextDecoder("utf-8", { ignoreBOM: true })

/** A decoder of one body. Bytes that are no UTF-8 become U+FFFD, and a byte order mark at the start is left out. */
export class Utf8 {
  #hasBegun = false
  #isBetween = true
  /** For chunks that are not whole in themselves. Its making costs more than most answers' decoding. */
  #streaming: TextDecoder | undefined

  decode(bytes: Uint8Array): string {
    if (bytes.length === 0) return ""
    const hasBegun = this.#hasBegun
    const wasBetween = this.#isBetween
    this.#hasBegun = true
    this.#isBetween = isAscii(bytes[bytes.length - 1])
    if (wasBetween && this.#isBetween) return (hasBegun ? later : first).decode(bytes)
    this.#streaming ??= new TextDecoder("utf-8", { ignoreBOM: hasBegun })
    return this.#streaming.decode(bytes, { stream: true })
  }

  /** What the end of the body cut off. */
  end(): string {
    return this.#streaming?.decode() ?? ""
  }
}
