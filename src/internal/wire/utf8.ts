/**
 * Bytes of UTF-8 in chunks → text.
 *
 * Runtimes decode what is whole in itself several times faster than what may begin or end within a character. A chunk
 * that ends with ASCII, after another that did, is whole: nearly every chunk of a server is.
 */

const isAscii = (byte: number | undefined): boolean => byte !== undefined && byte < 0x80

/** A decoder of one body. Bytes that are no UTF-8 become U+FFFD, and a byte order mark at the start is left out. */
export class Utf8 {
  readonly #streaming = new TextDecoder()
  readonly #whole = new TextDecoder("utf-8", { ignoreBOM: true })
  #isBetween = false

  decode(bytes: Uint8Array): string {
    const endsBetween = isAscii(bytes[bytes.length - 1])
    const text = this.#isBetween && endsBetween
      ? this.#whole.decode(bytes)
      : this.#streaming.decode(bytes, { stream: true })
    if (bytes.length > 0) this.#isBetween = endsBetween
    return text
  }

  /** What the end of the body cut off. */
  end(): string {
    return this.#streaming.decode()
  }
}
