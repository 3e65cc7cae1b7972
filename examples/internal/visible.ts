/**
 * Text from elsewhere, made safe to print on a terminal.
 *
 * A server's text can hold escape sequences that rewrite the screen, set its title or hide what follows. So control
 * characters (C0 but line feed and tab, DEL, C1), bidirectional overrides and isolates, and half surrogates are shown
 * as escapes such as `\x1b`. A carriage return before a line feed is dropped.
 */

const unsafe = /(?![\n\t])[\p{Cc}\p{Cs}\u202a-\u202e\u2066-\u2069]/gu

const escape = (character: string): string => {
  const code = character.charCodeAt(0)
  return code <= 0xff ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`
}

/** A complete text. */
export const visible = (text: string): string => text.replaceAll("\r\n", "\n").replace(unsafe, escape)

/** A complete text in one line of at most `longest` characters. */
export const oneLine = (text: string, longest = 500): string => {
  const line = visible(text).replace(/\s+/g, " ").trim()
  return line.length > longest ? `${line.slice(0, longest)}…` : line
}

/**
 * The next piece of a text that arrives in pieces: what is held back until its next piece is known, and what can be
 * printed. Begin with nothing held back; at the end print `visible` of what is.
 */
export const next = (held: string, piece: string): readonly [held: string, shown: string] => {
  const text = held + piece
  const whole = /[\r\ud800-\udbff]$/.test(text) ? text.slice(0, -1) : text
  return [text.slice(whole.length), visible(whole)]
}
