/**
 * What a server says went wrong, read out of the many shapes in which servers say it.
 *
 * Pure functions over text and parsed JSON. Which class of error it is, is decided in `classify.ts`.
 *
 * @internal
 */
import * as Struct from "effect/Struct"
import * as Sse from "../decode/sse.ts"
import { asArray, fieldsOf, first, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"

/** @internal */
export interface ErrorInfo {
  /** The server's own words, unchanged; empty where it said nothing. */
  readonly message: string
  readonly code?: string | undefined
  readonly type?: string | undefined
  /** An HTTP status stated in the body: all there is when the error comes inside a 200. */
  readonly status?: number | undefined
  /** Names beside code and type that tell the class: Google's `status` and `reason`, Azure's `innererror.code`. */
  readonly hints?: ReadonlyArray<string> | undefined
  /** A wait stated as a field of the body, as a duration: `34s`, `1200ms`. */
  readonly retryDelay?: string | undefined
  /** The error of the server behind a gateway, opened (`metadata.raw` of OpenRouter, JSON within the message). */
  readonly upstream?: ErrorInfo | undefined
}

/** The error, and those of the servers behind it. */
export const layersOf = (info: ErrorInfo): ReadonlyArray<ErrorInfo> =>
  info.upstream === undefined ? [info] : [info, ...layersOf(info.upstream)]

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

const label = (value: unknown): string | undefined => Number.isFinite(value) ? String(value) : nonEmpty(value)

const isSomething = <A>(value: A | undefined): value is A => value !== undefined

const firstOf = <A>(fields: JsonRecord, keys: ReadonlyArray<string>, read: (value: unknown) => A | undefined) =>
  first(keys, (key) => read(fields[key]))

const messageIn = (value: unknown, depth: number = maxDepth): string | undefined => {
  if (depth <= 0) return undefined
  if (Array.isArray(value)) return first(value, (item) => messageIn(item, depth - 1))
  return isRecord(value) ? firstOf(value, messageKeys, (field) => messageIn(field, depth - 1)) : nonEmpty(value)
}

const codeIn = (fields: JsonRecord): string | undefined => firstOf(fields, codeKeys, label)

const statusIn = (fields: JsonRecord): number | undefined =>
  firstOf(fields, statusKeys, (value) => {
    const status = Number(label(value))
    return status >= 400 && status <= 599 ? status : undefined
  })

const typeIn = (value: unknown): string | undefined => value === "error" ? undefined : nonEmpty(value)

const timeIn = (unit: "ms" | "s") => (value: unknown): string | undefined =>
  typeof value === "number" && value >= 0 ? `${value}${unit}` : unit === "s" ? nonEmpty(value) : undefined

const retryDelayIn = (fields: JsonRecord): string | undefined =>
  first(
    [fields, fields.metadata, ...itemsOf(fields.details)].map(fieldsOf),
    (place) =>
      firstOf(place, ["retry_after_ms", "retryAfterMs"], timeIn("ms")) ??
        firstOf(place, ["retryDelay", "retry_after", "retry_after_seconds", "retryAfter"], timeIn("s"))
  )

const hintsIn = ({ __type, details, inner_error, innererror = inner_error, reason, status, ...fields }: JsonRecord) => {
  const metadata = fieldsOf(fields.metadata)
  return [
    status,
    reason,
    __type,
    fieldsOf(innererror).code,
    ...itemsOf(details).map(fieldsOf).flatMap((detail) => [
      detail.reason,
      // Google names the quota that ran out: GenerateRequestsPerMinutePerProjectPerModel-FreeTier.
      ...itemsOf(detail.violations).map((violation) => fieldsOf(violation).quotaId)
    ]),
    metadata.error_type,
    // OpenRouter lists why its moderation refused the prompt.
    itemsOf(metadata.reasons).length > 0 && metadata.flagged_input !== undefined ? "moderation_blocked" : undefined
  ].map(nonEmpty).filter(isSomething)
}

/** Servers put whole answers of other servers into texts. */
const fromText = (text: unknown, depth: number): ErrorInfo | undefined =>
  typeof text === "string" ? fromJson(parseJson(text)?.value, depth - 1) : undefined

const upstreamIn = (fields: JsonRecord, depth: number): ErrorInfo | undefined => {
  const { raw } = fieldsOf(fields.metadata)
  const said = nonEmpty(raw)
  if (said !== undefined) return fromBody(said, "", depth - 1)
  return isRecord(raw) ? fromJson(raw, depth - 1) : fromText(fields.message, depth)
}

/** Reads the object that holds message, code and type side by side, whichever of them it has. */
const read = (fields: JsonRecord, depth: number): ErrorInfo => {
  const upstream = upstreamIn(fields, depth)
  return {
    message: messageIn(fields, depth) ?? upstream?.message ?? "",
    code: codeIn(fields) ?? nonEmpty(fields.__type),
    type: firstOf(fields, typeKeys, typeIn),
    status: statusIn(fields),
    hints: hintsIn(fields),
    retryDelay: retryDelayIn(fields),
    upstream
  }
}

const fromFields = (fields: JsonRecord, depth: number): ErrorInfo | undefined => {
  const info = read(fields, depth)
  return info.message === "" && info.code === undefined && info.hints?.length === 0 ? undefined : info
}

const fromErrorField = (error: unknown, outer: JsonRecord, depth: number): ErrorInfo | undefined => {
  if (depth <= 0) return undefined
  if (Array.isArray(error)) return first(error, (item) => fromErrorField(item, outer, depth - 1))
  if (isRecord(error)) {
    const info = fromFields(error, depth) ?? fromJson(error, depth - 1)
    return info && {
      ...info,
      status: info.status ?? statusIn(outer),
      retryDelay: info.retryDelay ?? retryDelayIn(outer),
      // LM Studio repeats the text beside an error object that may hold none.
      message: info.message === "" ? messageIn(outer, depth) ?? "" : info.message
    }
  }
  const said = nonEmpty(error)
  if (said === undefined) return undefined
  const around = read(outer, depth)
  return {
    ...around,
    // Web frameworks put the bare reason phrase under `error` and say what is wrong under `message`.
    message: isReasonPhrase(said) && around.message !== "" ? around.message : said,
    upstream: fromText(said, depth) ?? around.upstream
  }
}

/** MiniMax answers 200 with `base_resp`, Tencent with `Response.Error`, Apigee with `fault`. */
const fromEnvelope = (fields: JsonRecord, depth: number = maxDepth): ErrorInfo | undefined => {
  const base = fieldsOf(fields.base_resp)
  const code = label(base.status_code) ?? "0"
  if (code !== "0") return { message: nonEmpty(base.status_msg) ?? "", code }
  const wrapped = fieldsOf(fields.Response).Error ?? fields.fault
  if (!isRecord(wrapped)) return fromFields(fieldsOf(fields.Output), depth)
  const info = fromFields(wrapped, depth)
  return info && { ...info, code: info.code ?? codeIn(fieldsOf(wrapped.detail)) }
}

/**
 * The error in a parsed body, or `undefined` where the value has nothing that reads as one.
 *
 * @internal
 */
export const fromJson = (value: unknown, depth: number = maxDepth): ErrorInfo | undefined => {
  if (depth <= 0) return undefined
  if (Array.isArray(value)) return first(value, (item) => fromJson(item, depth - 1))
  if (!isRecord(value)) {
    const message = nonEmpty(value)?.trim()
    return fromText(message, depth) ?? (message === undefined ? undefined : { message })
  }
  const { detail, errors } = value
  const isSilent = (nonEmpty(value.message) ?? nonEmpty(detail)) === undefined
  return fromErrorField(value.error, value, depth) ??
    fromErrorField(value.Error, value, depth) ??
    fromEnvelope(value, depth) ??
    (isSilent && isRecord(detail) ? fromJson(detail, depth - 1) : undefined) ??
    (isSilent && Array.isArray(errors) ? fromErrorField(errors, value, depth) : undefined) ??
    fromFields(value, depth) ??
    firstOf(value, wrapperKeys, (inner) => isRecord(inner) ? fromJson(inner, depth - 1) : undefined)
}

const fromServerSentEvents = (text: string, depth: number): ErrorInfo | undefined => {
  if (!Sse.fieldAtStart.test(text)) return undefined
  const parser = Sse.make(Infinity)
  const data = [...parser.push(text), ...parser.end()].map((event) => event.data)
  // Text that merely starts with "error:" is no event stream.
  const message = text.startsWith("error:") ? "" : data.join("\n").trim()
  return first(data, (one) => fromText(one, depth)) ??
    (message === "" || message === "[DONE]" ? undefined : { message })
}

const entities = new Map([["amp", "&"], ["lt", "<"], ["gt", ">"], ["quot", "\""], ["#39", "'"], ["nbsp", " "]])

const htmlText = (html: string): string =>
  html.replace(/<[^<>]*>/g, " ").replace(/&([\w#]+);/g, (whole, name: string) => entities.get(name) ?? whole)
    .replace(/\s+/g, " ").trim()

const element = (html: string, name: string): string | undefined =>
  nonEmpty(htmlText(new RegExp(`<${name}\\b[^<>]*>([\\s\\S]*?)</${name}>`, "i").exec(html)?.[1] ?? ""))

/** A page from a proxy says what happened in its title; the rest is styling and advice. XML has a message. */
const fromMarkup = (page: string, contentType: string): string | undefined => {
  const maxStripped = 500
  // What a page is about stands at its top; searching all of a broken one for a closing tag takes long.
  const maxMarkup = 20_000
  const text = page.slice(0, maxMarkup)
  const isMarkup = /\bhtml\b/i.test(contentType) ||
    /^(?:<!--[\s\S]*?-->\s*)?<(?:!doctype|\?xml|\/?[a-z]+[\s>])/i.test(text)
  return isMarkup
    ? first(["message", "title", "h1"], (name) => element(text, name)) ??
      htmlText(text.replace(/<(script|style)\b[\s\S]*?<\/\1>/gi, " ")).slice(0, maxStripped)
    : undefined
}

/**
 * The error in a body of any kind. What the text is decides, not the content type, which servers get wrong. The
 * message is empty where the body has none; the caller then says the HTTP status in words.
 *
 * @internal
 */
export const fromBody = (body: string, contentType = "", depth: number = maxDepth): ErrorInfo => {
  const text = body.trim()
  // Some gateways write one JSON object a line; the first says it.
  const json = parseJson(text) ?? (text.startsWith("{") ? parseJson(text.split("\n", 1).join()) : undefined)
  if (json !== undefined && /object|string/.test(typeof json.value)) return fromJson(json.value, depth) ?? silent
  return fromServerSentEvents(text, depth) ?? { message: fromMarkup(text, contentType) ?? text }
}

const silent: ErrorInfo = { message: "" }

/** An object without `choices` that says something: not usage, not a status line, not another protocol's chunk. */
const isFlatError = (fields: JsonRecord): boolean => {
  const { code, error_code, model, object, success, type, usage } = fields
  if (typeof object === "string" || success === true || Boolean(usage) || Boolean(model)) return false
  if (/^(?:ping|heartbeat|keep-?alive|status|info)$/i.test(nonEmpty(type) ?? "")) return false
  return code
    ? !/^(?:0|2\d\d|success|ok)$/i.test(label(code) ?? "0")
    // The other names of messages stand in objects that are no errors as well.
    : Boolean(error_code) || messageIn(Struct.omit(fields, "description", "title", "reason", "text")) !== undefined
}

/**
 * The error in a parsed `data:` of a stream (or in a 200's JSON body), or `undefined` where it is a regular chunk.
 *
 * @internal
 */
export const fromStreamData = (data: unknown): ErrorInfo | undefined => {
  let value = data
  while (Array.isArray(value)) value = value[0]
  if (!isRecord(value)) return undefined
  const { error, object, type } = value
  const choices = asArray(value.choices)
  const saysMore = choices === undefined || !isRecord(error) || Object.values(error).some(Boolean)
  if ((error && saysMore) || object === "error" || type === "error") return fromJson(value) ?? silent
  // OpenRouter may put the error on the choice that failed. Groq says so why it ended a stream early.
  const failed = choices?.map((choice) => fieldsOf(choice).error).find(isRecord) ??
    nonEmpty(fieldsOf(value.x_groq).error)
  return fromJson({ error: failed }) ??
    fromEnvelope(value) ??
    (choices === undefined && isFlatError(value) ? fromJson(value) ?? silent : undefined)
}

/** The reason phrases of the statuses that servers of chats send, as web frameworks write them. */
const reasonPhrases: Readonly<Record<number, string>> = {
  400: "Bad request",
  401: "Unauthorized",
  402: "Payment required",
  403: "Forbidden",
  404: "Not found",
  405: "Method not allowed",
  408: "Request timeout",
  413: "Payload too large",
  422: "Unprocessable entity",
  429: "Too many requests",
  500: "Internal server error",
  502: "Bad gateway",
  503: "Service unavailable",
  504: "Gateway timeout",
  529: "Overloaded"
}

const isReasonPhrase = (text: string): boolean =>
  Object.values(reasonPhrases).some((phrase) => phrase.toLowerCase() === text.toLowerCase())

/**
 * A few words for an HTTP status, for servers that answer without a message.
 *
 * @internal
 */
export const statusText = (status: number): string => {
  const phrase = reasonPhrases[status]
  return phrase === undefined ? `HTTP status ${status}` : `${phrase} (HTTP ${status})`
}
