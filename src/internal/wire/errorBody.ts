/**
 * What a server says went wrong, read out of the many shapes in which servers say it.
 *
 * Pure functions over text and parsed JSON. Which class of error it is, is decided in `classify.ts`.
 *
 * @internal
 */
import * as Predicate from "effect/Predicate"

/** @internal */
export interface ErrorInfo {
  /** The server's own words, unchanged; empty where it said nothing. */
  readonly message: string
  readonly code: string | undefined
  readonly type: string | undefined
  /** The request field at fault: `param`, or the `loc` path of a validation error joined by dots. */
  readonly param: string | undefined
  /** An HTTP status stated in the body: all there is when the error comes inside a 200. */
  readonly status?: number | undefined
  /** Names beside code and type that tell the class: Google's `status` and `reason`, Azure's `innererror.code`. */
  readonly hints?: ReadonlyArray<string> | undefined
  /** A wait stated as a field of the body, as a duration: `34s`, `1200ms`. */
  readonly retryDelay?: string | undefined
  /** The error of the server behind a gateway, opened (`metadata.raw` of OpenRouter, JSON within the message). */
  readonly upstream?: ErrorInfo | undefined
}

type Fields = { readonly [x: string | symbol]: unknown }

// A hostile or broken body may nest without end; no server's error is deeper than this.
const maxDepth = 6

// In order: who has several means the first.
const messageKeys =
  "message Message msg error_msg error_message errorMessage detail details error_description description faultstring status_msg errors title reason text helicone-message"
    .split(" ")
const codeKeys = ["code", "Code", "error_code", "errorCode", "errorcode"]
const typeKeys = ["type", "error_type"]
const statusKeys = "status_code statusCode raw_status_code http_status http_status_code http_code httpCode status code"
  .split(" ")
// Gateways that answer { success, data } put their errors there as well.
const wrapperKeys = ["data", "result", "response"]

const nonEmpty = (value: unknown): string | undefined =>
  typeof value === "string" && value.trim() !== "" ? value : undefined

const label = (value: unknown): string | undefined =>
  typeof value === "number" && Number.isFinite(value) ? String(value) : nonEmpty(value)

const fieldsOf = (value: unknown): Fields => Predicate.isRecord(value) ? value : {}

const itemsOf = (value: unknown): ReadonlyArray<unknown> => Array.isArray(value) ? value : []

const first = <A, B>(items: ReadonlyArray<A>, read: (item: A) => B | undefined): B | undefined => {
  for (const item of items) {
    const found = read(item)
    if (found !== undefined) {
      return found
    }
  }
  return undefined
}

const firstOf = <A>(fields: Fields, keys: ReadonlyArray<string>, read: (value: unknown) => A | undefined) =>
  first(keys, (key) => read(fields[key]))

const parseJson = (text: string): { readonly value: unknown } | undefined => {
  try {
    return { value: JSON.parse(text) }
  } catch {
    return undefined
  }
}

const plain = (message: string): ErrorInfo => ({ message, code: undefined, type: undefined, param: undefined })

const messageIn = (value: unknown, depth: number): string | undefined => {
  if (depth <= 0) {
    return undefined
  }
  if (Array.isArray(value)) {
    return first(value, (item) => messageIn(item, depth - 1))
  }
  return Predicate.isRecord(value)
    ? firstOf(value, messageKeys, (field) => messageIn(field, depth - 1))
    : nonEmpty(value)
}

const statusIn = (value: unknown): number | undefined => {
  const status = typeof value === "string" && /^\d{3}$/.test(value) ? Number(value) : value
  return typeof status === "number" && status >= 400 && status <= 599 ? status : undefined
}

const typeIn = (value: unknown): string | undefined => value === "error" ? undefined : nonEmpty(value)

const paramIn = (fields: Fields): string | undefined => {
  const named = nonEmpty(fields.param)
  if (named !== undefined) {
    return named
  }
  const detail = fieldsOf(fields.message).detail ?? fields.detail
  const path = itemsOf(fieldsOf(itemsOf(detail)[0]).loc).map(label)
  return path.length === 0 ? undefined : path.filter(Predicate.isNotUndefined).join(".")
}

const seconds = (value: unknown): string | undefined =>
  typeof value === "number" && value >= 0 ? `${value}s` : nonEmpty(value)

const millis = (value: unknown): string | undefined =>
  typeof value === "number" && value >= 0 ? `${value}ms` : undefined

const retryDelayIn = (fields: Fields): string | undefined => {
  const places = [fields, fieldsOf(fields.metadata), ...itemsOf(fields.details).map(fieldsOf)]
  return first(places, (place) =>
    firstOf(place, ["retry_after_ms", "retryAfterMs"], millis) ??
      firstOf(place, ["retryDelay", "retry_after", "retry_after_seconds", "retryAfter"], seconds))
}

const hintsIn = (fields: Fields): ReadonlyArray<string> => {
  const metadata = fieldsOf(fields.metadata)
  return [
    nonEmpty(fields.status),
    nonEmpty(fields.reason),
    nonEmpty(fields.__type),
    nonEmpty(fieldsOf(fields.innererror ?? fields.inner_error).code),
    ...itemsOf(fields.details).map(fieldsOf).flatMap((detail) => [
      nonEmpty(detail.reason),
      // Google names the quota that ran out: GenerateRequestsPerMinutePerProjectPerModel-FreeTier.
      ...itemsOf(detail.violations).map((violation) => nonEmpty(fieldsOf(violation).quotaId))
    ]),
    nonEmpty(metadata.error_type),
    // OpenRouter lists why its moderation refused the prompt.
    itemsOf(metadata.reasons).length > 0 && metadata.flagged_input !== undefined ? "moderation_blocked" : undefined
  ].filter(Predicate.isNotUndefined)
}

const upstreamIn = (fields: Fields, depth: number): ErrorInfo | undefined => {
  const raw = fieldsOf(fields.metadata).raw
  if (typeof raw === "string" && raw.trim() !== "") {
    return fromBody(raw, undefined, depth - 1)
  }
  if (Predicate.isRecord(raw)) {
    return fromJson(raw, depth - 1)
  }
  // Gateways put the whole answer of the server behind them into the message.
  const inner = nonEmpty(fields.message)
  const parsed = inner !== undefined && /^\s*[{[]/.test(inner) ? parseJson(inner) : undefined
  return parsed === undefined ? undefined : fromJson(parsed.value, depth - 1)
}

/** Reads the object that holds message, code and type side by side, whichever of them it has. */
const read = (fields: Fields, depth: number): ErrorInfo => {
  const upstream = upstreamIn(fields, depth)
  return {
    message: messageIn(fields, depth) ?? upstream?.message ?? "",
    code: firstOf(fields, codeKeys, label) ?? nonEmpty(fields.__type),
    type: firstOf(fields, typeKeys, typeIn),
    param: paramIn(fields),
    status: firstOf(fields, statusKeys, statusIn),
    hints: hintsIn(fields),
    retryDelay: retryDelayIn(fields),
    upstream
  }
}

const fromFields = (fields: Fields, depth: number): ErrorInfo | undefined => {
  const info = read(fields, depth)
  return info.message === "" && info.code === undefined && info.hints?.length === 0 ? undefined : info
}

// Web frameworks put the bare reason phrase under `error` and say what is wrong under `message`.
const reasonPhrase =
  /^(?:bad request|unauthorized|forbidden|not found|conflict|payload too large|unprocessable entity|too many requests|internal server error|bad gateway|service unavailable|gateway timeout)$/i

const fromErrorField = (error: unknown, outer: Fields, depth: number): ErrorInfo | undefined => {
  if (depth <= 0) {
    return undefined
  }
  if (Predicate.isRecord(error)) {
    const info = fromFields(error, depth) ?? fromJson(error, depth - 1)
    return info && {
      ...info,
      status: info.status ?? firstOf(outer, statusKeys, statusIn),
      retryDelay: info.retryDelay ?? retryDelayIn(outer),
      // LM Studio repeats the text beside an error object that may hold none.
      message: info.message === "" ? messageIn(outer, depth) ?? "" : info.message
    }
  }
  if (Array.isArray(error)) {
    return first(error, (item) => fromErrorField(item, outer, depth - 1))
  }
  const said = nonEmpty(error)
  if (said === undefined) {
    return undefined
  }
  const around = read(outer, depth)
  const opened = /^\s*[{[]/.test(said) ? parseJson(said) : undefined
  return {
    ...around,
    message: reasonPhrase.test(said) && around.message !== "" ? around.message : said,
    upstream: opened === undefined ? around.upstream : fromJson(opened.value, depth - 1)
  }
}

/** MiniMax answers 200 with `base_resp`, Tencent with `Response.Error`, Apigee with `fault`. */
const fromEnvelope = (fields: Fields, depth: number): ErrorInfo | undefined => {
  const base = fieldsOf(fields.base_resp)
  if (label(base.status_code) !== undefined && label(base.status_code) !== "0") {
    return { ...plain(nonEmpty(base.status_msg) ?? ""), code: label(base.status_code) }
  }
  const wrapped = fieldsOf(fields.Response).Error ?? fields.fault
  if (Predicate.isRecord(wrapped)) {
    const info = fromFields(wrapped, depth)
    return info && { ...info, code: info.code ?? firstOf(fieldsOf(wrapped.detail), codeKeys, label) }
  }
  return fields.Output === undefined ? undefined : fromFields(fieldsOf(fields.Output), depth)
}

/**
 * The error in a parsed body, or `undefined` where the value has nothing that reads as one.
 *
 * @internal
 */
export const fromJson = (value: unknown, depth: number = maxDepth): ErrorInfo | undefined => {
  if (depth <= 0) {
    return undefined
  }
  if (typeof value === "string") {
    const parsed = /^\s*[{["]/.test(value) ? parseJson(value) : undefined
    const said = nonEmpty(value)
    return (parsed && fromJson(parsed.value, depth - 1)) ?? (said === undefined ? undefined : plain(said.trim()))
  }
  if (Array.isArray(value)) {
    return first(value, (item) => fromJson(item, depth - 1))
  }
  if (!Predicate.isRecord(value)) {
    return undefined
  }
  const said = nonEmpty(value.message) ?? nonEmpty(value.detail)
  return fromErrorField(value.error, value, depth) ??
    fromErrorField(value.Error, value, depth) ??
    fromEnvelope(value, depth) ??
    (said === undefined && Predicate.isRecord(value.detail) ? fromJson(value.detail, depth - 1) : undefined) ??
    (said === undefined && Array.isArray(value.errors) ? fromErrorField(value.errors, value, depth) : undefined) ??
    fromFields(value, depth) ??
    firstOf(value, wrapperKeys, (inner) => Predicate.isRecord(inner) ? fromJson(inner, depth - 1) : undefined)
}

const fromServerSentEvents = (text: string, depth: number): ErrorInfo | undefined => {
  if (!/^(?:data|event|error|id|retry)?:/.test(text)) {
    return undefined
  }
  const said: Array<string> = []
  for (const event of text.split(/(?:\r\n|\r|\n){2,}/)) {
    const lines = event.split(/\r\n|\r|\n/)
    const data = lines.filter((line) => /^(?:data|error):/.test(line)).map((line) => line.replace(/^\w+: ?/, ""))
    const parsed = parseJson(data.join("\n"))
    const info = parsed && fromJson(parsed.value, depth - 1)
    if (info !== undefined) {
      return info
    }
    // Text that merely starts with "error:" is no event stream.
    said.push(...lines.filter((line) => line.startsWith("data:")).map((line) => line.replace(/^data: ?/, "")))
  }
  const message = said.join("\n").trim()
  return message === "" || message === "[DONE]" ? undefined : plain(message)
}

const entities = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", "\""], ["#39", "'"], ["nbsp", " "]])

const htmlText = (html: string): string =>
  html.replace(/<[^<>]*>/g, " ").replace(/&([\w#]+);/g, (whole, name: string) => entities.get(name) ?? whole)
    .replace(/\s+/g, " ").trim()

const element = (html: string, name: string): string | undefined =>
  nonEmpty(htmlText(new RegExp(`<${name}\\b[^<>]*>([\\s\\S]*?)</${name}>`, "i").exec(html)?.[1] ?? ""))

const maxStripped = 500

// What a page is about stands at its top; searching all of a broken one for a closing tag takes long.
const maxMarkup = 20_000

/** A page from a proxy says what happened in its title; the rest is styling and advice. */
const fromMarkup = (page: string, contentType: string | undefined): string | undefined => {
  const text = page.slice(0, maxMarkup)
  if (/^<(?:\?xml|Error\b)/i.test(text) && !/<html/i.test(text)) {
    return element(text, "message") ?? htmlText(text).slice(0, maxStripped)
  }
  const isHtml = /\bhtml\b/i.test(contentType ?? "") ||
    /^(?:<!--[\s\S]*?-->\s*)?<(?:!doctype|\/?[a-z]+[\s>])/i.test(text)
  return isHtml
    ? element(text, "title") ?? element(text, "h1") ??
      htmlText(text.replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, " ")).slice(0, maxStripped)
    : undefined
}

/**
 * The error in a body of any kind. What the text is decides, not the content type, which servers get wrong. The
 * message is empty where the body has none; the caller then says the HTTP status in words.
 *
 * @internal
 */
export const fromBody = (body: string, contentType: string | undefined, depth: number = maxDepth): ErrorInfo => {
  const text = body.trim()
  // Some gateways write one JSON object a line; the first says it.
  const json = parseJson(text) ?? (text.startsWith("{") ? parseJson(text.split("\n", 1)[0] ?? "") : undefined)
  if (json !== undefined && (json.value === null || typeof json.value === "object" || typeof json.value === "string")) {
    return fromJson(json.value, depth) ?? plain("")
  }
  return fromServerSentEvents(text, depth) ?? plain(fromMarkup(text, contentType) ?? text)
}

const isSet = (value: unknown): boolean =>
  value !== undefined && value !== null && value !== false && value !== "" && value !== 0

const isSuccessCode = (code: unknown): boolean => /^(?:0|2\d\d|success|ok)$/i.test(label(code) ?? "0")

/** Names that stand in objects that are no errors as well. */
const notes = { description: undefined, title: undefined, reason: undefined, text: undefined }

/** An object without `choices` that says something: not usage, not a status line, not another protocol's chunk. */
const isFlatError = (fields: Fields): boolean => {
  const chunk = typeof fields.object === "string" && fields.object !== "error"
  const other = chunk || fields.success === true || isSet(fields.usage) || isSet(fields.model)
  if (other || /^(?:ping|heartbeat|keep-?alive|status|info)$/i.test(nonEmpty(fields.type) ?? "")) {
    return false
  }
  return isSet(fields.code)
    ? !isSuccessCode(fields.code)
    : isSet(fields.error_code) ||
      messageIn({ ...fields, ...notes }, maxDepth) !== undefined
}

/**
 * The error in a parsed `data:` of a stream (or in a 200's JSON body), or `undefined` where it is a regular chunk.
 *
 * @internal
 */
export const fromStreamData = (value: unknown, depth: number = maxDepth): ErrorInfo | undefined => {
  if (Array.isArray(value)) {
    return value.length === 0 || depth <= 0 ? undefined : fromStreamData(value[0], depth - 1)
  }
  if (!Predicate.isRecord(value)) {
    return undefined
  }
  const choices = Array.isArray(value.choices) ? value.choices : undefined
  const empty = Predicate.isRecord(value.error) && !Object.values(value.error).some(isSet)
  if (isSet(value.error) && !(empty && choices !== undefined)) {
    return fromJson(value) ?? plain("")
  }
  if (value.object === "error" || value.type === "error") {
    return fromJson(value) ?? plain("")
  }
  // OpenRouter may put the error on the choice that failed.
  const failed = choices?.map((choice) => fieldsOf(choice).error).find((error) => Predicate.isRecord(error)) ??
    // Groq says so why it ended a stream early.
    nonEmpty(fieldsOf(value.x_groq).error)
  return (failed === undefined ? undefined : fromJson({ error: failed })) ??
    fromEnvelope(value, maxDepth) ??
    (choices === undefined && isFlatError(value) ? fromJson(value) ?? plain("") : undefined)
}

const statusTexts: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorized",
  402: "Payment required",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
  409: "Conflict",
  410: "Gone",
  413: "Request too large",
  415: "Unsupported media type",
  422: "Unprocessable request",
  425: "Too early",
  429: "Too many requests",
  451: "Unavailable for legal reasons",
  500: "Internal server error",
  502: "Bad gateway",
  503: "Service unavailable",
  504: "Gateway timeout",
  524: "Origin timed out",
  529: "Overloaded"
}

/**
 * A few words for an HTTP status, for servers that answer without a message.
 *
 * @internal
 */
export const statusText = (status: number): string => {
  const known = statusTexts[status]
  return known === undefined ? `HTTP status ${status}` : `${known} (HTTP ${status})`
}
