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
  readonly longest: number
}

const replacement = "<redacted>"

// A shorter text is not a secret, and replacing it would garble the text around it.
const shortest = 4

/** Finds these texts. Those that are too short are no secrets. */
export const secretsFrom = (texts: Iterable<string>): Secrets => {
  const secrets = [...new Set(texts)].filter((text) => text.length >= shortest)
  // A pattern has more than a hundred characters for each character of a secret, and its size is limited.
  const most = 4_000
  let total = 0
  const short = secrets.filter((secret) => total + secret.length <= most && (total += secret.length) > 0)
  // The maximum number of characters for one character in an encoded text: `&amp;#x00002f;`.
  const widest = 14
  return {
    pattern: short.length === 0 ? undefined : patternOf(short),
    long: secrets.filter((secret) => !short.includes(secret)),
    longest: widest * Math.max(0, ...secrets.map((secret) => secret.length))
  }
}

const hasSecrets = ({ long, pattern }: Secrets): boolean => pattern !== undefined || long.length > 0

/** The text with every secret in it replaced. */
export const scrub = (text: string, { long, pattern }: Secrets): string => {
  const rest = long.reduce((rest, secret) => rest.replaceAll(secret, replacement), text)
  return pattern === undefined ? rest : rest.replace(pattern, replacement)
}

/**
 * The first `kept` characters of the text with every secret replaced. Secrets are replaced before the text is cut, because
 * a part of one would not be found. Only the start of a long text is searched; it may end within a secret, so its end is
 * dropped.
 */
export const scrubAndCut = (text: string, secrets: Secrets, kept: number): string => {
  const searched = 2 ** 16
  const clean = scrub(text.slice(0, searched), secrets)
  const whole = text.length < searched || !hasSecrets(secrets) ? clean : clean.slice(0, -secrets.longest)
  // Copied, so that the short text does not keep the long one in memory.
  return whole.length <= kept && text.length <= kept ? whole : whole.slice(0, kept).split("").join("")
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

/** All texts in which a cause may be shown: message, stack, string form and its own causes. */
const shown = (cause: unknown, depth = 8): string => {
  const text = Inspectable.toStringUnknown(cause, 0)
  if (!(cause instanceof Error) || depth === 0) return text
  return `${cause.message}\n${cause.stack ?? ""}\n${text}\n${shown(cause.cause, depth - 1)}`
}

/** The error itself if it shows no secret, or else its name and message without secrets. */
export const scrubCause = (cause: unknown, secrets: Secrets): unknown => {
  if (!hasSecrets(secrets)) return cause
  const text = shown(cause)
  const clean = scrub(text, secrets)
  if (clean === text) return cause
  return cause instanceof Error ? new Error(`${cause.name}: ${scrub(cause.message, secrets)}`) : clean
}

/** Words that name a secret at any place in a name, and those that do only at its end: `x-api-key`, not `x-key-id`. */
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
const partsOf = (value: string): ReadonlyArray<string> => {
  const shortestPart = 8
  const token = /^(?:bearer|basic|token|key|apikey)\s+(.+)$/i.exec(value)?.[1]
  const cookies = value.split(/;\s*/).map((pair) => pair.slice(pair.indexOf("=") + 1))
  return [value, ...token === undefined ? [] : [token], ...cookies.filter((part) => part.length >= shortestPart)]
}

const known = new WeakMap<LLMConfig["headers"], { readonly config: LLMConfig; readonly secrets: Secrets }>()

/**
 * The secrets of a config: the key, and the values of headers and query parameters whose names are those of secrets. The
 * value of another header is no secret, because it may be a common word.
 */
export const secretsOf = (config: LLMConfig): Secrets => {
  const { apiKey, headers, wire } = config
  const last = known.get(headers)
  if (last?.config.apiKey === apiKey && last?.config.wire.query === wire.query) return last.secrets
  const values = [
    ...apiKey === undefined ? [] : [Redacted.value(apiKey).trim()],
    ...Object.entries(headers).flatMap(([name, header]) => {
      const value = Redacted.value(header).trim()
      return isSecretName(name) || looksSecret(value) ? partsOf(value) : []
    }),
    ...Object.entries(wire.query).flatMap(([name, value]) => isSecretName(name) ? [value] : [])
  ]
  const secrets = secretsFrom(values)
  known.set(headers, { config, secrets })
  return secrets
}

const named = new Map([["&", "amp"], ["<", "lt"], [">", "gt"], ["\"", "quot"], ["'", "apos"]])

const short = new Map([["\n", "n"], ["\r", "r"], ["\t", "t"], ["\b", "b"], ["\f", "f"]])

const literal = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")

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
  const entities = [`#0{0,5}${code}`, `#[xX]0{0,5}${hex}`, ...named.has(character) ? [named.get(character)] : []]
  // JSON escapes these with a backslash, which may be percent-encoded.
  const backslash = /["\\/]/.test(character) ? "(?:%(?:25)?5[cC]){0,3}" : ""
  const forms = [
    // JSON within JSON has more than one backslash.
    `\\\\{0,3}${literal(character)}`,
    backslash + percent,
    `\\\\{1,3}u${anyCase(code.toString(16).padStart(4, "0"))}`,
    `&(?:amp;)?(?:${entities.join("|")});`,
    ...short.has(character) ? [`\\\\{1,3}${short.get(character)}`] : [],
    ...character === " " ? ["\\+"] : []
  ]
  return `(?:${forms.join("|")})`
}

const knownForms = new Map<string, string>()

const knownFormsOf = (character: string): string => {
  const forms = knownForms.get(character) ?? formsOf(character)
  // Only ASCII is cached: keys have few other characters.
  if (character <= "\x7f") knownForms.set(character, forms)
  return forms
}

const formsOfText = (text: string): string =>
  Array.from({ length: text.length }, (_, at) => knownFormsOf(text.charAt(at))).join("")

/** The base64 forms of a text within other text. They differ by the position of the text modulo 3. */
const base64Of = (secret: string): ReadonlyArray<string> => {
  const bytes = Array.from(new TextEncoder().encode(secret), (byte) => String.fromCharCode(byte)).join("")
  const shortestForm = 8
  return [0, 1, 2].flatMap((before) => {
    // The first and the last character also encode the neighbours of the text.
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

/** A pattern that finds the secrets in every encoding. A longer one is first, because it may start with a shorter one. */
const patternOf = (secrets: ReadonlyArray<string>): RegExp =>
  new RegExp(
    [...longestFirst(secrets).map(formsOfText), ...longestFirst(secrets.flatMap(base64Of)).map(formsOfBase64)].join(
      "|"
    ),
    "g"
  )
