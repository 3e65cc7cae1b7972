/**
 * JSON text that strict parsers accept.
 */

/** A pair of escaped surrogates, a lone one, or any other escape. */
const escapes = /\\(?:(ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2})|(ud[89a-f][0-9a-f]{2})|[^])/gi

/** JSON text whose lone surrogates, which `JSON.stringify` escapes, are replacement characters. */
export const wellFormed = (json: string): string =>
  /\\ud[89a-f]/i.test(json)
    ? json.replace(escapes, (escape, _pair, lone) => lone === undefined ? escape : "\ufffd")
    : json

/** The JSON of a value as well-formed Unicode, keys included. Throws as `JSON.stringify` does. */
export const toJsonText = (value: object): string => wellFormed(JSON.stringify(value))
