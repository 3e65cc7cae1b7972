/**
 * Keeps secrets out of errors and spans, because servers and sockets repeat data of the request.
 */
import * as Inspectable from "effect/Inspectable"
import * as Redacted from "effect/Redacted"
import type { LLMConfig } from "../../LLMConfig.ts"

/** Finds the secrets of one config in a text. */
export interface Secrets {
  /** Matches a secret in any encoding, the longest one first. Undefined if there is none. */
  readonly pattern: RegExp | undefined
  /** Secrets that are too long for a pattern: only their plain form is found. */
  readonly long: ReadonlyArray<string>
  /** The maximum number of characters of an encoded secret in a text. */
  readonly maxEncodedLength: number
}

const replacement = "<redacted>"

// A shorter text is not a secret, and replacing it would garble other text.
const minSecretLength = 4

/** The secrets with these texts. Texts that are too short are no secrets. */
export const secretsFrom = (texts: Iterable<string>): Secrets => {
  const secrets = [...new Set(texts)].filter((text) => text.length >= minSecretLength)
  // A pattern has more than a hundred characters for each character of a secret, and its size is limited.
  const maxPatternLength = 4_000
  let total = 0
  const patternSecrets = secrets.filter((secret) =>
    total + secret.length <= maxPatternLength && (total += secret.length) > 0
  )
  // The maximum number of characters that encode one character: `&amp;#x00002f;`.
  const maxEncodedWidth = 14
  return {
    pattern: patternSecrets.length === 0 ? undefined : patternOf(patternSecrets),
    long: secrets.filter((secret) => !patternSecrets.includes(secret)),
    maxEncodedLength: maxEncodedWidth * Math.max(0, ...secrets.map((secret) => secret.length))
  }
}

const hasSecrets = ({ long, pattern }: Secrets): boolean => pattern !== undefined || long.length > 0

/** The text with every secret in it replaced. */
export const scrub = (text: string, { long, pattern }: Secrets): string => {
  const rest = long.reduce((rest, secret) => rest.replaceAll(secret, replacement), text)
  return pattern === undefined ? rest : rest.replace(pattern, replacement)
}

/**
 * The first `maxLength` characters of the text with every secret replaced. Secrets are replaced before the text is cut,
 * because a part of one would not be found. Only the start of a long text is searched. It may end within a secret, so its
 * end is dropped.
 */
export const scrubAndCut = (text: string, secrets: Secrets, maxLength: number): string => {
  const maxSearchedLength = 2 ** 16
  const scrubbed = scrub(text.slice(0, maxSearchedLength), secrets)
  const safe = text.length < maxSearchedLength || !hasSecrets(secrets)
    ? scrubbed
    : scrubbed.slice(0, -secrets.maxEncodedLength)
  // Copied, so that the short text does not keep the long one in memory.
  return safe.length <= maxLength && text.length <= maxLength
    ? safe
    : safe.slice(0, maxLength).split("").join("")
}

/** Replaces every secret in all texts of a value. Returns the value itself if it has none. */
export const scrubAll = (value: unknown, secrets: Secrets, depth = 64): unknown => {
  if (typeof value === "string") return scrub(value, secrets)
  if (!hasSecrets(secrets) || typeof value !== "object" || value === null) return value
  if (depth === 0) return undefined
  if (Array.isArray(value)) {
    const items = value.map((item) => scrubAll(item, secrets, depth - 1))
    return items.every((item, index) => item === value[index]) ? value : items
  }
  let isClean = true
  const fields = Object.fromEntries(
    Object.entries(value).map(([name, field]) => {
      const clean = [scrub(name, secrets), scrubAll(field, secrets, depth - 1)] as const
      isClean &&= clean[0] === name && clean[1] === field
      return clean
    })
  )
  return isClean ? value : fields
}

/** All texts that show a cause: its message, its stack, its string form, and those of its own causes. */
const shownText = (cause: unknown, depth = 8): string => {
  const text = Inspectable.toStringUnknown(cause, 0)
  if (!(cause instanceof Error) || depth === 0) return text
  return `${cause.message}\n${cause.stack ?? ""}\n${text}\n${shownText(cause.cause, depth - 1)}`
}

/** The error itself if it shows no secret, or else its name and message without secrets. */
export const scrubCause = (cause: unknown, secrets: Secrets): unknown => {
  if (!hasSecrets(secrets)) return cause
  const text = shownText(cause)
  const clean = scrub(text, secrets)
  if (clean === text) return cause
  return cause instanceof Error ? new Error(`${cause.name}: ${scrub(cause.message, secrets)}`) : clean
}

// A name is that of a secret if one of its words matches `secretWord`, or if its last word matches `secretEnd`: `x-api-key`
// is one, `x-key-id` is not.
const secretWord = /^(?:authorization|cookies?|credentials?|passwd|.*(?:secret|password))$/
const secretEnd =
  /^(?:auth|authentication|jwt|bearer|pass|pwd|sig|signature|keys?|(?:api|access|auth|private|subscription|master)key|.*token)$/

/** Whether the value of a header or query parameter with this name is a secret. */
const isSecretName = (name: string): boolean => {
  const words = name.toLowerCase().split(/[-_.\s]/)
  return words.some((word) => secretWord.test(word)) || secretEnd.test(words.at(-1) ?? "")
}

/** Values that are secrets under any name: redacted ones, and keys with a known prefix. */
const looksSecret = (value: string): boolean =>
  /secret|password|^(?:bearer|basic) |^(?:sk|pk|rk)-\w|^(?:sk|gsk|hf|ghp|glpat|xai|pplx|nvapi|tgp)[-_]\w{8}|^AIza\w{8}|^eyJ\w{8}/i
    .test(value)

/** A value and its parts that are secrets on their own: the token after a scheme, the values of cookies. */
const secretParts = (value: string): ReadonlyArray<string> => {
  const minPartLength = 8
  const token = /^(?:bearer|basic|token|key|apikey)\s+(.+)$/i.exec(value)?.[1]
  const cookies = value.split(/;\s*/).map((pair) => pair.slice(pair.indexOf("=") + 1))
  return [value, ...token === undefined ? [] : [token], ...cookies.filter((part) => part.length >= minPartLength)]
}

const secretsCache = new WeakMap<LLMConfig["headers"], { readonly config: LLMConfig; readonly secrets: Secrets }>()

/**
 * The secrets of a config: the key, and the values of headers and query parameters that look like secrets by their name. A
 * header with another name is a secret only if its value looks like one, because the value may be a common word.
 */
export const secretsOf = (config: LLMConfig): Secrets => {
  const { apiKey, headers, wire } = config
  const cached = secretsCache.get(headers)
  if (cached?.config.apiKey === apiKey && cached?.config.wire.query === wire.query) return cached.secrets
  const values = [
    ...apiKey === undefined ? [] : [Redacted.value(apiKey).trim()],
    ...Object.entries(headers).flatMap(([name, header]) => {
      const value = Redacted.value(header).trim()
      return isSecretName(name) || looksSecret(value) ? secretParts(value) : []
    }),
    ...Object.entries(wire.query).flatMap(([name, value]) => isSecretName(name) ? [value] : [])
  ]
  const secrets = secretsFrom(values)
  secretsCache.set(headers, { config, secrets })
  return secrets
}

const namedEntities = new Map([["&", "amp"], ["<", "lt"], [">", "gt"], ["\"", "quot"], ["'", "apos"]])

const shortEscapes = new Map([["\n", "n"], ["\r", "r"], ["\t", "t"], ["\b", "b"], ["\f", "f"]])

const escapeForPattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

const anyCase = (hex: string): string =>
  hex.replace(/[a-f]/gi, (digit) => `[${digit.toLowerCase()}${digit.toUpperCase()}]`)

/** A pattern for one character in all of its encodings. Letters and digits are never escaped. */
const formsOf = (character: string): string => {
  if (/[a-z\d]/i.test(character)) return character
  const code = character.charCodeAt(0)
  const hex = anyCase(code.toString(16))
  const percent = Array.from(
    new TextEncoder().encode(character),
    (byte) => `%(?:25)?${anyCase(byte.toString(16).padStart(2, "0"))}`
  ).join("")
  const entities = [
    `#0{0,5}${code}`,
    `#[xX]0{0,5}${hex}`,
    ...namedEntities.has(character) ? [namedEntities.get(character)] : []
  ]
  // JSON escapes these with a backslash, which may be percent-encoded.
  const backslash = /["\\/]/.test(character) ? "(?:%(?:25)?5[cC]){0,3}" : ""
  const forms = [
    // JSON within JSON has more than one backslash.
    `\\\\{0,3}${escapeForPattern(character)}`,
    backslash + percent,
    `\\\\{1,3}u${anyCase(code.toString(16).padStart(4, "0"))}`,
    `&(?:amp;)?(?:${entities.join("|")});`,
    ...shortEscapes.has(character) ? [`\\\\{1,3}${shortEscapes.get(character)}`] : [],
    ...character === " " ? ["\\+"] : []
  ]
  return `(?:${forms.join("|")})`
}

const formsCache = new Map<string, string>()

const cachedFormsOf = (character: string): string => {
  const forms = formsCache.get(character) ?? formsOf(character)
  // Only ASCII is cached: keys have few other characters.
  if (character <= "\x7f") formsCache.set(character, forms)
  return forms
}

const formsOfText = (text: string): string =>
  Array.from({ length: text.length }, (_, at) => cachedFormsOf(text.charAt(at))).join("")

/** The base64 forms of a text within other text. They depend on the position of the text modulo 3. */
const base64Of = (secret: string): ReadonlyArray<string> => {
  const bytes = Array.from(new TextEncoder().encode(secret), (byte) => String.fromCharCode(byte)).join("")
  const minFormLength = 8
  return [0, 1, 2].flatMap((before) => {
    // The first and the last character also encode the neighbours of the text.
    const start = Math.ceil(before * 8 / 6)
    const end = Math.floor((before + bytes.length) * 8 / 6)
    const form = btoa("\0".repeat(before) + bytes).slice(start, end)
    return form.length < minFormLength ? [] : [form]
  })
}

const formsOfBase64 = (form: string): string =>
  formsOfText(form).replaceAll(formsOf("+"), `(?:${formsOf("+")}|-)`).replaceAll(formsOf("/"), `(?:${formsOf("/")}|_)`)

const longestFirst = (texts: ReadonlyArray<string>): ReadonlyArray<string> =>
  [...texts].sort((a, b) => b.length - a.length)

/** A pattern that finds the secrets in every encoding. A longer one is first, because it may start with a shorter one. */
const patternOf = (secrets: ReadonlyArray<string>): RegExp =>
  new RegExp(
    [...longestFirst(secrets).map(formsOfText), ...longestFirst(secrets.flatMap(base64Of)).map(formsOfBase64)].join(
      "|"
    ),
    "g"
  )
