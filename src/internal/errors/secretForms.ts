/**
 * The forms in which a secret can stand in a text: as it is, and escaped as JSON, a URL, HTML or base64 do it.
 */

const named = new Map([["&", "amp"], ["<", "lt"], [">", "gt"], ["\"", "quot"], ["'", "apos"]])

const short = new Map([["\n", "n"], ["\r", "r"], ["\t", "t"], ["\b", "b"], ["\f", "f"]])

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

const anyCase = (hex: string): string =>
  hex.replace(/[a-f]/gi, (digit) => `[${digit.toLowerCase()}${digit.toUpperCase()}]`)

/** A pattern for one character in all of its forms. Letters and digits are never escaped. */
const formsOf = (character: string): string => {
  if (/[a-z\d]/i.test(character)) return character
  const code = character.charCodeAt(0)
  const hex = anyCase(code.toString(16))
  const percent = Array.from(
    new TextEncoder().encode(character),
    (byte) => `%(?:25)?${anyCase(byte.toString(16).padStart(2, "0"))}`
  ).join("")
  const entities = [`#0{0,5}${code}`, `#[xX]0{0,5}${hex}`, ...named.has(character) ? [named.get(character)] : []]
  // JSON escapes these with a backslash, which a URL escapes in turn.
  const backslash = /["\\/]/.test(character) ? "(?:%(?:25)?5[cC]){0,3}" : ""
  const forms = [
    // Text within text has more than one backslash.
    `\\\\{0,3}${literal(character)}`,
    backslash + percent,
    `\\\\{1,3}u${anyCase(code.toString(16).padStart(4, "0"))}`,
    `&(?:amp;)?(?:${entities.join("|")});`,
    ...short.has(character) ? [`\\\\{1,3}${short.get(character)}`] : [],
    ...character === " " ? ["\\+"] : []
  ]
  return `(?:${forms.join("|")})`
}

const known = new Map<string, string>()

const knownFormsOf = (character: string): string => {
  const forms = known.get(character) ?? formsOf(character)
  // There are few other characters in keys.
  if (character <= "\x7f") known.set(character, forms)
  return forms
}

const formsOfText = (text: string): string =>
  Array.from({ length: text.length }, (_, at) => knownFormsOf(text.charAt(at))).join("")

/** How base64 encodes a text wherever it stands among others: each of three positions gives other characters. */
const base64Of = (secret: string): ReadonlyArray<string> => {
  const bytes = Array.from(new TextEncoder().encode(secret), (byte) => String.fromCharCode(byte)).join("")
  const shortestForm = 8
  return [0, 1, 2].flatMap((before) => {
    // The characters at both ends are also those of the neighbours.
    const start = Math.ceil(before * 8 / 6)
    const end = Math.floor((before + bytes.length) * 8 / 6)
    const form = btoa("\0".repeat(before) + bytes).slice(start, end)
    return form.length < shortestForm ? [] : [form]
  })
}

const formsOfBase64 = (form: string): string =>
  formsOfText(form).replaceAll(formsOf("+"), `(?:${formsOf("+")}|-)`).replaceAll(formsOf("/"), `(?:${formsOf("/")}|_)`)

const longestFirst = (texts: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...texts].sort((one, other) => other.length - one.length)

/** A pattern that finds the secrets in every form. A longer one comes first: it may begin with a shorter one. */
export const patternOf = (secrets: ReadonlyArray<string>): RegExp =>
  new RegExp(
    [...longestFirst(secrets).map(formsOfText), ...longestFirst(secrets.flatMap(base64Of)).map(formsOfBase64)].join(
      "|"
    ),
    "g"
  )
