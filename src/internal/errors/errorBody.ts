/**
 * Reads an error from the many shapes in which servers send one. `classify.ts` chooses its class.
 *
 * A body can be of any size and nesting, so the number of values and characters that are read is limited.
 */
import * as Sse from "../decode/sse.ts"
import { asArray, fieldsOf, firstDefined, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { firstField, label, maxTextLength, nonEmpty, recordsOf } from "./fields.ts"
import { textOfPage } from "./markup.ts"
import { datesIn, retryDelayIn } from "./waitFields.ts"

export interface ErrorInfo {
  /** The server's message, unchanged. Empty if there is none. */
  readonly message: string
  readonly code?: string | undefined
  readonly type?: string | undefined
  /** The HTTP status in the body: the only one for an error inside a 200. */
  readonly status?: number | undefined
  /** Other names that show the class: Google's `status` and `reason`, Azure's `innererror.code`. */
  readonly hints?: ReadonlyArray<string> | undefined
  /** The wait in a field of the body, as a duration: `34s`, `1200ms`. */
  readonly retryDelay?: string | undefined
  /** When the limits that are used up reset, by the body: durations or dates. */
  readonly resets?: ReadonlyArray<string> | undefined
  /** The parsed error of the server behind a gateway (`metadata.raw` of OpenRouter, JSON within the message). */
  readonly upstream?: ErrorInfo | undefined
}

/** The error and its upstream errors. */
export const layersOf = (info: ErrorInfo): ReadonlyArray<ErrorInfo> =>
  info.upstream === undefined ? [info] : [info, ...layersOf(info.upstream)]

/** The remaining depth and number of values that may be read. Real errors stay below the limits. */
interface ReadBudget {
  readonly depth: number
  readonly values: { remaining: number }
}

const newBudget = (): ReadBudget => ({ depth: 6, values: { remaining: 2_000 } })

const nested = ({ depth, values }: ReadBudget): ReadBudget => ({ depth: depth - 1, values })

const isExhausted = ({ depth, values }: ReadBudget): boolean => depth <= 0 || values.remaining-- <= 0

// In order of precedence.
const messageKeys =
  `message Message msg Msg error_msg error_message errorMessage ErrorMessage errMsg errmsg err_msg user_message userMessage
   detail details error_description errorDescription description faultstring status_msg status_message statusMessage retMsg
   errors title reason text helicone-message html-message err exception failure error_info desc issue info cause messages`
    .split(/\s+/)
const codeKeys = ["code", "Code", "error_code", "errorCode", "errorcode"]
const typeKeys = ["type", "error_type"]
const statusKeys = "status_code statusCode raw_status_code http_status http_status_code http_code httpCode status code"
  .split(" ")
// Gateways that answer { success, data } put their errors there as well.
const wrapperKeys = ["data", "result", "response"]

const isDefined = <A>(value: A | undefined): value is A => value !== undefined

const messageIn = (value: unknown, budget: ReadBudget = newBudget()): string | undefined => {
  if (isExhausted(budget)) return undefined
  if (Array.isArray(value)) return firstItem(value, budget, messageIn)
  if (!isRecord(value)) return nonEmpty(value)
  let phrase: string | undefined
  const message = firstField(value, messageKeys, (field) => {
    const text = field === undefined ? undefined : messageIn(field, nested(budget))
    if (text === undefined || !isReasonPhrase(text)) return text
    phrase ??= text
    return undefined
  })
  return message ?? phrase
}

/** The first result of reading the items of a list, within the budget. */
const firstItem = <A>(
  items: ReadonlyArray<unknown>,
  budget: ReadBudget,
  read: (item: unknown, budget: ReadBudget) => A | undefined
): A | undefined => {
  for (const item of items) {
    if (budget.values.remaining <= 0) return undefined
    const found = read(item, nested(budget))
    if (found !== undefined) return found
  }
  return undefined
}

const codeIn = (fields: JsonRecord): string | undefined => firstField(fields, codeKeys, label)

const statusIn = (fields: JsonRecord): number | undefined =>
  firstField(fields, statusKeys, (value) => {
    const status = Number(label(value))
    return status >= 400 && status <= 599 ? status : undefined
  })

const typeIn = (value: unknown): string | undefined => value === "error" ? undefined : nonEmpty(value)

const hintsIn = (fields: JsonRecord): ReadonlyArray<string> => {
  const metadata = fieldsOf(fields.metadata)
  return [
    fields.status,
    fields.reason,
    fields.__type,
    fieldsOf(fields.innererror ?? fields.inner_error).code,
    ...recordsOf(fields.details).flatMap((detail) => [
      detail.reason,
      // Google names the quota that ran out: GenerateRequestsPerMinutePerProjectPerModel-FreeTier.
      ...recordsOf(detail.violations).map((violation) => violation.quotaId)
    ]),
    metadata.error_type,
    // OpenRouter lists why its moderation refused the prompt.
    itemsOf(metadata.reasons).length > 0 && metadata.flagged_input !== undefined ? "moderation_blocked" : undefined
  ].map(nonEmpty).filter(isDefined)
}

/** The error in the JSON of a text: gateways put complete responses of other servers into texts. */
const fromText = (text: unknown, budget: ReadBudget): ErrorInfo | undefined => {
  if (typeof text !== "string" || text.length > maxTextLength || !/[[{"]/.test(text)) return undefined
  // 100 characters cost as much as one value.
  budget.values.remaining -= text.length / 100
  const json = parseJson(text)
  return json === undefined ? fromEndOfText(text, budget) : fromJson(json.value, nested(budget))
}

/** The error in JSON after some words: `OpenAIException - {"error": …}`. JSON without `error` may be the echoed request. */
const fromEndOfText = (text: string, budget: ReadBudget): ErrorInfo | undefined => {
  const value = parseJson(text.slice(text.indexOf("{"), text.lastIndexOf("}") + 1))?.value
  return isRecord(value) && Boolean(value.error) ? fromJson(value, nested(budget)) : undefined
}

const upstreamIn = (fields: JsonRecord, budget: ReadBudget): ErrorInfo | undefined => {
  const { raw } = fieldsOf(fields.metadata)
  const text = nonEmpty(raw)
  if (text !== undefined) return fromBody(text, "", nested(budget))
  // Vercel's gateway puts the other server's error into `value` if it could not read it.
  const inner = [raw, fields.value].find(isRecord)
  if (inner !== undefined) return fromJson(inner, nested(budget))
  const message = nonEmpty(fields.message) ?? nonEmpty(fields.error_message)
  if (message !== undefined) return fromText(message, budget)
  // Serialized errors of HTTP clients contain the server's response.
  return firstDefined([fields.data, fields.response], (answer) => fromJson(answer, nested(budget)))
}

/** Reads an object with a message, code or type. */
const readError = (fields: JsonRecord, budget: ReadBudget): ErrorInfo => {
  const upstream = upstreamIn(fields, budget)
  const dates = datesIn(fields)
  const message = messageIn(fields, budget)
  // An object without a message is an envelope.
  const inner = message === undefined ? upstream : undefined
  return {
    message: message ?? inner?.message ?? "",
    code: codeIn(fields) ?? nonEmpty(fields.__type) ?? inner?.code,
    type: firstField(fields, typeKeys, typeIn) ?? inner?.type,
    status: statusIn(fields) ?? inner?.status,
    hints: hintsIn(fields),
    retryDelay: retryDelayIn(fields),
    resets: dates.length === 0 ? undefined : dates,
    upstream
  }
}

const fromFields = (fields: JsonRecord, budget: ReadBudget): ErrorInfo | undefined => {
  const info = readError(fields, budget)
  return info.message === "" && info.code === undefined && info.hints?.length === 0 ? undefined : info
}

const fromErrorField = (error: unknown, parent: JsonRecord, budget: ReadBudget): ErrorInfo | undefined => {
  if (isExhausted(budget)) return undefined
  if (Array.isArray(error)) return firstItem(error, budget, (item, inner) => fromErrorField(item, parent, inner))
  if (isRecord(error)) {
    const info = fromFields(error, budget) ?? fromJson(error, nested(budget))
    if (info === undefined) return undefined
    const parentMessage = info.message === "" || isReasonPhrase(info.message) ? messageIn(parent, budget) : undefined
    const dates = info.resets ?? datesIn(parent)
    return {
      ...info,
      status: info.status ?? statusIn(parent),
      retryDelay: info.retryDelay ?? retryDelayIn(parent),
      resets: dates.length === 0 ? undefined : dates,
      // LM Studio may put the message beside the error object instead of into it.
      message: parentMessage ?? info.message
    }
  }
  const text = nonEmpty(error)
  if (text === undefined) return undefined
  const parentInfo = readError(parent, budget)
  const upstream = fromText(text, budget) ?? parentInfo.upstream
  // Web frameworks put the name of the error, or the reason phrase, into `error` and the message into `message`.
  const isName = /^[a-z][\w.-]{0,63}$/i.test(text)
  return parentInfo.message !== "" && (isName || isReasonPhrase(text))
    ? { ...parentInfo, code: parentInfo.code ?? (isReasonPhrase(text) ? undefined : text), upstream }
    : { ...parentInfo, message: text, upstream }
}

/** MiniMax answers 200 with `base_resp`, Tencent with `Response.Error`, Apigee with `fault`. */
const fromEnvelope = (fields: JsonRecord, budget: ReadBudget = newBudget()): ErrorInfo | undefined => {
  const base = fieldsOf(fields.base_resp)
  const code = label(base.status_code) ?? "0"
  if (code !== "0") return { message: nonEmpty(base.status_msg) ?? "", code }
  const wrapped = fieldsOf(fields.Response).Error ?? fields.fault
  if (!isRecord(wrapped)) return isRecord(fields.Output) ? fromFields(fields.Output, budget) : undefined
  const info = fromFields(wrapped, budget)
  return info && { ...info, code: info.code ?? codeIn(fieldsOf(wrapped.detail)) }
}

/** The error in a parsed body. Undefined if there is none. */
export const fromJson = (value: unknown, budget: ReadBudget = newBudget()): ErrorInfo | undefined => {
  if (isExhausted(budget)) return undefined
  if (Array.isArray(value)) return firstItem(value, budget, fromJson)
  if (!isRecord(value)) {
    const message = nonEmpty(value)?.trim()
    return fromText(message, budget) ?? (message === undefined ? undefined : { message })
  }
  const { detail, errors } = value
  const hasNoMessage = (nonEmpty(value.message) ?? nonEmpty(detail)) === undefined
  return fromErrorField(value.error, value, budget) ??
    fromErrorField(value.Error, value, budget) ??
    fromEnvelope(value, budget) ??
    (hasNoMessage && isRecord(detail) ? fromJson(detail, nested(budget)) : undefined) ??
    (hasNoMessage && Array.isArray(errors) ? fromErrorField(errors, value, budget) : undefined) ??
    fromFields(value, budget) ??
    firstField(value, wrapperKeys, (inner) => isRecord(inner) ? fromJson(inner, nested(budget)) : undefined)
}

const fromServerSentEvents = (text: string, budget: ReadBudget): ErrorInfo | undefined => {
  if (!Sse.fieldAtStart.test(text)) return undefined
  const parser = Sse.make(Infinity)
  const data = parser.push(text).concat(parser.end()).map((event) => event.data)
  // Text that starts with "error:" need not be an event stream.
  const message = text.startsWith("error:") ? "" : data.join("\n").trim()
  return firstDefined(data, (text) => fromText(text, budget)) ??
    (message === "" || message === "[DONE]" ? undefined : { message })
}

/**
 * The error in a body of any kind. Its text shows the kind, because content types are often wrong. If the body has no
 * message, the message of the error is empty, and the caller describes the HTTP status in words.
 */
export const fromBody = (body: string, contentType = "", budget: ReadBudget = newBudget()): ErrorInfo => {
  const text = body.trim()
  // Some gateways write one JSON object per line. The first one is the error.
  const json = parseJson(text) ?? (text.startsWith("{") ? parseJson(text.split("\n", 1).join()) : undefined)
  if (json !== undefined && /object|string/.test(typeof json.value)) {
    return fromJson(json.value, budget) ?? emptyInfo
  }
  const start = text.slice(0, maxTextLength)
  return fromServerSentEvents(start, budget) ?? { message: textOfPage(start, contentType) ?? start }
}

const emptyInfo: ErrorInfo = { message: "" }

/**
 * The message to show: that of the upstream error if the message is JSON, the title if it is a page, else the message.
 */
export const displayMessage = ({ message, upstream }: ErrorInfo): string =>
  upstream !== undefined && upstream.message !== "" && /^\s*[[{"]/.test(message)
    ? displayMessage(upstream)
    : textOfPage(message.trim(), "") ?? message

/** Names of events, types and states that report progress. */
const progressName =
  /(?:^|[._-])(?:ping|heartbeat|keep-?alive|status|info|progress|log|notice|debug|trace|step|tool|queued?|running|pending|processing|started|completed)(?:$|[._-])/i

/** Names of events with an answer or its error. */
const answerName = /error|exception|fail|^(?:message|data|chunk|delta|chat|completion|response|answer|result|usage)\b/i

/**
 * Whether a named event is a gateway's report and not part of the answer. An event with an unknown name is a report
 * unless its data is a chunk or an error. An error in a progress report is the error of a tool.
 */
export const isReport = (event: string | undefined, data: unknown): boolean => {
  if (event === undefined || answerName.test(event)) return false
  const { choices, error, object, type, usage } = fieldsOf(data)
  const isAnswer = choices !== undefined || Boolean(usage)
  return !isAnswer && (progressName.test(event) || !(Boolean(error) || object === "error" || type === "error"))
}

/** Whether an object without `choices` is an error, and not usage, a status or a chunk of another protocol. */
const isFlatError = (fields: JsonRecord): boolean => {
  const { code, error_code, model, object, status, success, type, usage } = fields
  if (typeof object === "string" || success === true || Boolean(usage) || Boolean(model)) return false
  if (progressName.test(`${label(type)} ${label(status)}`.slice(0, 200).replaceAll(" ", "."))) return false
  return code
    ? !/^(?:0|2\d\d|success|ok)$/i.test(label(code) ?? "0")
    // The ambiguous keys also occur in objects that are not errors.
    : Boolean(error_code) || messageIn(withoutAmbiguous(fields)) !== undefined
}

const withoutAmbiguous = (fields: JsonRecord): JsonRecord => ({
  ...Object.fromEntries(messageKeys.map((key) => [key, fields[key]])),
  description: undefined,
  title: undefined,
  reason: undefined,
  text: undefined,
  desc: undefined,
  issue: undefined,
  info: undefined,
  cause: undefined,
  messages: undefined
})

/** The error in a parsed `data:` of a stream, or in the JSON body of a 200. Undefined for a regular chunk. */
export const fromStreamData = (data: unknown): ErrorInfo | undefined => {
  let value = data
  while (Array.isArray(value)) value = value[0]
  if (!isRecord(value)) return undefined
  const { error, object, type } = value
  const choices = asArray(value.choices)
  const isFilled = choices === undefined || !isRecord(error) || hasTruthyField(error)
  if ((error && isFilled) || object === "error" || type === "error") return fromJson(value) ?? emptyInfo
  // OpenRouter may put the error into the failed choice. Groq reports in `x_groq` why it ended a stream early.
  const failed = firstDefined((choices ?? []).slice(0, 100), (choice) => {
    const { error } = fieldsOf(choice)
    return isRecord(error) ? error : undefined
  }) ?? nonEmpty(fieldsOf(value.x_groq).error)
  // OpenAI's Responses API has the error in `response`.
  return fromJson({ error: failed ?? (choices === undefined ? fieldsOf(value.response).error : undefined) }) ??
    fromEnvelope(value) ??
    (choices === undefined && isFlatError(value) ? fromJson(value) ?? emptyInfo : undefined)
}

const hasTruthyField = (fields: JsonRecord): boolean => {
  for (const key in fields) if (fields[key]) return true
  return false
}

/** The reason phrases of common statuses, as web frameworks write them. */
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

const phrases = new Set(Object.values(reasonPhrases).map((phrase) => phrase.toLowerCase()))

/** Whether a text is only the phrase of an HTTP status: `Not Found`, `404 Not Found`. */
const isReasonPhrase = (text: string): boolean =>
  text.length < 40 && phrases.has(text.toLowerCase().replace(/^(?:http )?\d{3}:? /, ""))

/** Describes an HTTP status in words, for errors without a message. */
export const statusText = (status: number): string => {
  const phrase = reasonPhrases[status]
  return phrase === undefined ? `HTTP status ${status}` : `${phrase} (HTTP ${status})`
}
