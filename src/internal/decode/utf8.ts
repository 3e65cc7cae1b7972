/**
 * Bytes of UTF-8 in chunks → text.
 *
 * Runtimes decode what is whole in itself several times faster than what may begin or end within a character. A chunk
 * that ends with ASCII, after another that did, is whole: nearly every chunk of a server is.
 */

const whole = new TextDecoder("utf-8", { ignoreBOM: true })

/** A decoder of one body. Bytes that are no UTF-8 become U+FFFD, and byte order marks stay. */
export class Utf8 {
  #isBetween = true
  /** For chunks that are not whole in themselves. Its making costs more than most answers' decoding. */
  #streaming: TextDecoder | undefined

  decode(bytes: Uint8Array): string {
    const wasBetween = this.#isBetween
    this.#isBetween = (bytes.at(-1) ?? 0x80) < 0x80
    if (wasBetween && this.#isBetween) return whole.decode(bytes)
    this.#streaming ??= new TextDecoder("utf-8", { ignoreBOM: true })
    return this.#streaming.decode(bytes, { stream: true })
  }

  /** What the end of the body cut off. */
  end(): string {
    return this.#streaming?.decode() ?? ""
  }
}

/** A text without the first half of a character at its end, and that half. No consumer could encode a half. */
export const splitHalf = (text: string): { readonly complete: string; readonly half: string } => {
  const last = text.charCodeAt(text.length - 1)
  return last >= 0xd800 && last < 0xdc00
    ? { complete: text.slice(0, -1), half: text.slice(-1) }
    : { complete: text, half: "" }
}
