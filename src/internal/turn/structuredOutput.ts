/**
 * Answers that are values: a Schema becomes what is asked of the server, and the answer's text is decoded by it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as JSONSchema from "effect/JSONSchema"
import type * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { JsonSchema, ObjectOptions, ResponseFormat } from "../../CallOptions.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type ChatError, InvalidRequestError, MalformedResponseError } from "../../ChatError.ts"
import { assistant, type ChatMessage, system, user } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { escapeLineBreaks, scan, valuesIn } from "../decode/jsonScanner.ts"
import { type Issue, issueOf } from "../issue.ts"
import { asText, fieldsOf, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { yieldToEventLoop } from "../transport/pacing.ts"

/** A whole answer, and the value that its text stands for. */
export interface Decoded<A> {
  readonly response: ChatResponse
  readonly value: A
}

/** Servers want an object at the root: another shape goes under this name. */
const wrapper = "value"

/** The part of the longest answer that is read as a value. A text is read several times, and a Schema takes its time. */
const textShare = 4

/** An answer with its value, or one whose calls come first. */
export type Answer<A> = Pick<Decoded<A>, "response"> & Partial<Decoded<A>>

/** How the value is asked for. */
interface Options extends Pick<ObjectOptions, "name" | "repair"> {
  /** Whether the calls of an answer are run. Such an answer has no value yet. */
  readonly runsCalls?: boolean
}

/** Asks for an answer that decodes. With `repair` the model is told once what was wrong. */
export const ask = <A, I>(
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  options: Options
): Effect.Effect<Answer<A>, ChatError> =>
  Effect.flatMap(
    Effect.try({
      try: () => shapeOf(schema),
      catch: (cause) => new InvalidRequestError({ message: "The Schema of the answer has no JSON Schema", cause })
    }),
    (shape) =>
      options.runsCalls === true && !request.config.wire.toolsWithFormat
        ? askApart(shape, complete, request, schema, options)
        : askFor(shape, complete, request, schema, options)
  )

/** For servers that do not take tools and a form in one request: the form is asked for once the model calls no tool. */
const askApart = <A, I>(
  asked: Shape,
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  options: Options
): Effect.Effect<Answer<A>, ChatError> => {
  const formed = { ...request, options: { ...request.options, tools: undefined, toolChoice: undefined } }
  const form = askFor(asked, complete, formed, schema, options)
  if (request.options?.toolChoice === "none" || !request.options?.tools?.length) return form
  return Effect.flatMap(
    complete(request),
    (response): Effect.Effect<Answer<A>, ChatError> =>
      response.toolCalls.length > 0
        ? Effect.succeed({ response })
        : Effect.catchAll(decode(schema, asked.isWrapped, response, request.config.maxBodySize / textShare), () => form)
  )
}

/** The value of an answer that is there already. */
export const decoded = <A, I>(schema: Schema.Schema<A, I>, response: ChatResponse): Effect.Effect<A, ChatError> =>
  Effect.map(decode(schema, shapeOf(schema).isWrapped, response, Infinity), ({ value }) => value)

const askFor = <A, I>(
  asked: Shape,
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  { name = "answer", repair = false, runsCalls = false }: Options
): Effect.Effect<Answer<A>, ChatError> => {
  const responseFormat = formatOf(request.config.wire.structuredOutput, name, asked.schema)
  const attempt = (messages: ReadonlyArray<ChatMessage>): Effect.Effect<Answer<A>, ChatError> =>
    Effect.flatMap(
      complete({ ...request, messages, options: { ...request.options, responseFormat } }),
      (response): Effect.Effect<Answer<A>, MalformedResponseError> =>
        runsCalls && response.toolCalls.length > 0
          ? Effect.succeed({ response })
          : decode(schema, asked.isWrapped, response, request.config.maxBodySize / textShare)
    )
  const messages = responseFormat?.type === "json_schema"
    ? request.messages
    : withInstruction(request.messages, asked.schema)
  return Effect.catchTag(attempt(messages), "MalformedResponseError", (error) => {
    const said = asText(error.partial?.text)
    return repair && said !== undefined
      ? attempt([...messages, assistant(said), user(`${error.message}\nAnswer again, with the JSON alone.`)])
      : Effect.fail(error)
  })
}

/** The JSON Schema that is asked for, with an object at its root. */
export interface Shape {
  readonly schema: JsonSchema
  readonly isWrapped: boolean
}

/** The JSON Schema of a Schema. Throws for a Schema that has none. */
export const shapeOf = <A, I, R>(schema: Schema.Schema<A, I, R>): Shape => {
  const definitions: Record<string, JSONSchema.JsonSchema7> = {}
  const root: JsonRecord = { ...JSONSchema.fromAST(schema.ast, { definitions, topLevelReferenceStrategy: "skip" }) }
  const isWrapped = root["type"] !== "object"
  const shape = isWrapped
    ? { type: "object", properties: { [wrapper]: root }, required: [wrapper], additionalProperties: false }
    : root
  return { isWrapped, schema: Object.keys(definitions).length === 0 ? shape : { ...shape, $defs: definitions } }
}

/** The form that is asked for, undefined for servers that take none. */
export const formatOf = (
  kind: "json_schema" | "json_object" | "none",
  name: string,
  schema: JsonSchema
): ResponseFormat | undefined => {
  if (kind === "json_schema") return { type: kind, name, schema, strict: isStrict(schema) }
  return kind === "none" ? undefined : { type: kind }
}

/** What OpenAI's strict mode takes in a schema. A server refuses (400) a strict schema that has more. */
const strictKeywords = new Set(
  `$ref $defs $id $schema title description examples default type properties required additionalProperties items anyOf
   enum const pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems`.split(
    /\s+/
  )
)

/** Whether OpenAI's strict mode takes a schema: every object says all of its members and needs each. */
export const isStrict = (schema: unknown): boolean => {
  if (!isRecord(schema) || !Object.keys(schema).every((keyword) => strictKeywords.has(keyword))) return false
  if ("$ref" in schema) return Object.keys(schema).length === 1
  const { $defs, additionalProperties, anyOf, properties, required, type } = schema
  const members = Object.keys(fieldsOf(properties))
  const isOpen = additionalProperties !== false || !members.every((name) => itemsOf(required).includes(name))
  if (type === "object" && isOpen) return false
  const items = "items" in schema ? [schema["items"]] : []
  const inner = [fieldsOf(properties), fieldsOf($defs), itemsOf(anyOf), items].flatMap(Object.values)
  return ["type", "anyOf", "enum", "const"].some((keyword) => keyword in schema) && inner.every(isStrict)
}

/** For servers that take no schema, the schema is said in words: in what is sent, not in what is kept. */
export const withInstruction = (
  messages: ReadonlyArray<ChatMessage>,
  schema: JsonSchema
): ReadonlyArray<ChatMessage> => {
  const words = `Answer with JSON alone, by this JSON Schema:\n${JSON.stringify(schema)}`
  const [first, ...rest] = messages
  return first?.role === "system" ? [system(`${first.content}\n\n${words}`), ...rest] : [system(words), ...messages]
}

/**
 * The texts in an answer that may be the JSON that was asked for, the likeliest first: models put JSON into a fence,
 * behind their reasoning, or between sentences. Their sizes add up to a few times the answer's.
 */
function* candidates(text: string): Generator<string> {
  const most = 8
  const answer = withoutReasoning(text).trim()
  yield answer
  yield fenced(answer)
  const start = answer.search(/[{[]/)
  const end = Math.max(answer.lastIndexOf("}"), answer.lastIndexOf("]")) + 1
  yield start === -1 || end <= start ? "" : answer.slice(start, end)
  const { unclosed, values } = valuesIn(answer)
  yield* values.slice(-most).reverse()
  yield unclosed
  yield* values.slice(0, most)
}

/** The text behind reasoning in tags. The opening tag may be missing. */
const withoutReasoning = (text: string): string => {
  const close = /<\/(?:think|thinking|reasoning|thought)\s{0,16}>/g
  const starts = /^\s*<(?:think|thinking|reasoning|thought)\s{0,16}>/.test(text.slice(0, 1024).trimStart())
  let end = 0
  for (let found = close.exec(text); found !== null; found = close.exec(text)) {
    end = close.lastIndex
    if (starts) break
  }
  const rest = text.slice(end)
  return rest.trim() === "" ? text : rest
}

/** The first fenced block. */
const fenced = (text: string): string => {
  const fence = "```"
  const open = text.indexOf(fence)
  const begin = open === -1 ? -1 : text.indexOf("\n", open)
  const end = begin === -1 ? -1 : text.indexOf(fence, begin)
  return end === -1 ? "" : text.slice(begin, end).trim()
}

/** Models say null for what they leave out. Where a value does not decode, the null members at fault are left out. */
const decodeLeniently = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown
): Either.Either<A, ParseResult.ParseError> => {
  const decodeOnce = Schema.decodeUnknownEither(schema)
  return Either.orElse(decodeOnce(value), (error) => {
    const all = Schema.decodeUnknownEither(schema, { errors: "all" })(value)
    const faults: Faults = new Map()
    if (Either.isLeft(all)) addFaults(faults, all.left.issue)
    return Either.mapLeft(decodeOnce(withoutNulls(value, faults)), () => error)
  })
}

/** Adds where an issue is. To format the issues would take ten times as long. */
const addFaults = (faults: Faults, issue: ParseResult.ParseIssue): void => {
  if (issue._tag === "Composite") {
    for (const inner of "_tag" in issue.issues ? [issue.issues] : issue.issues) addFaults(faults, inner)
  } else if (issue._tag === "Pointer") {
    let at = faults
    for (const key of typeof issue.path === "object" ? issue.path : [issue.path]) {
      const next: Faults = at.get(key) ?? new Map()
      at.set(key, next)
      at = next
    }
    addFaults(at, issue.issue)
  } else if ("issue" in issue) {
    addFaults(faults, issue.issue)
  }
}

/** Where values do not decode, by key. */
interface Faults extends Map<PropertyKey, Faults> {}

const withoutNulls = (value: unknown, faults: Faults): unknown => {
  if (Array.isArray(value)) return value.map((item, index) => withoutNulls(item, faults.get(index) ?? new Map()))
  if (!isRecord(value) || faults.size === 0) return value
  const rest: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    const inner = faults.get(key)
    if (inner === undefined || member !== null) rest[key] = inner === undefined ? member : withoutNulls(member, inner)
  }
  return rest
}

const decode = <A, I>(
  schema: Schema.Schema<A, I>,
  isWrapped: boolean,
  response: ChatResponse,
  limit: number
): Effect.Effect<Decoded<A>, MalformedResponseError> =>
  Effect.gen(function*() {
    const fail = (message: string, path: ReadonlyArray<PropertyKey> = []) =>
      new MalformedResponseError({
        message,
        path: path.map((key) => typeof key === "number" ? key : String(key)),
        body: response.text,
        partial: response
      })
    if (response.refusal !== "") return yield* fail(`The model refused: ${response.refusal}`)
    // Servers that read JSON without a closing tag as reasoning have it there alone (vLLM, SGLang).
    const answer = response.text.trim() === "" ? response.reasoning : response.text
    if (answer.length > limit) {
      return yield* fail(`The answer is longer than the ${limit} characters that a value can have`)
    }
    const seen = new Set([""])
    let issue: Issue | undefined
    for (const text of candidates(answer)) {
      if (seen.has(text)) continue
      seen.add(text)
      // Each attempt at a long text is a stretch of work of its own.
      const long = 2 ** 16
      if (text.length > long) yield* yieldToEventLoop
      const result = decodeText(schema, isWrapped, text, limit)
      if (result === undefined) continue
      if (Either.isRight(result)) return { response, value: result.right }
      issue ??= result.left
    }
    if (issue === undefined) {
      return yield* fail(
        `The answer is no JSON${response.finishReason === "length" ? ", it was cut at its limit" : ""}`
      )
    }
    const where = issue.path.length === 0 ? "" : ` at ${issue.path.map(String).join(".")}`
    return yield* fail(
      `The answer does not have the form that was asked for${where}: ${issue.message}`,
      issue.path
    )
  })

/** The value of a text, or what is wrong with it. Undefined for a text that is no JSON. */
const decodeText = <A, I>(
  schema: Schema.Schema<A, I>,
  isWrapped: boolean,
  text: string,
  limit: number
): Either.Either<A, Issue> | undefined => {
  const excess = scan(text, limit).excess
  if (excess !== undefined) {
    return /^[{[]/.test(text) && /[}\]]$/.test(text.slice(-1))
      ? Either.left(issueOfExcess(excess))
      : undefined
  }
  const parsed = parseJson(text) ?? parseJson(escapeLineBreaks(text))
  if (parsed === undefined) return undefined
  const decoded = decodeValue(schema, isWrapped, parsed.value)
  const inner = Either.isLeft(decoded) ? innerOf(parsed.value, limit) : undefined
  if (inner === undefined) return decoded
  const other = decodeValue(schema, isWrapped, inner.value)
  return Either.isRight(other) ? other : decoded
}

const issueOfExcess = (excess: string): Issue => ({ path: [], message: `It ${excess}` })

const decodeValue = <A, I>(
  schema: Schema.Schema<A, I>,
  isWrapped: boolean,
  value: unknown
): Either.Either<A, Issue> => {
  const content = isWrapped && isRecord(value) && wrapper in value ? value[wrapper] : value
  // A Schema of the program recurses as deeply as it likes.
  const decoded = Either.try({
    try: () => Either.mapLeft(decodeLeniently(schema, content), issueOf),
    catch: (error) => {
      if (error instanceof RangeError) return issueOfExcess("is nested too deeply")
      throw error
    }
  })
  return Either.flatMap(decoded, (result) => result)
}

/** Models put the one value that was asked for into a list, or write its JSON as a JSON text. */
const innerOf = (value: unknown, limit: number): { readonly value: unknown } | undefined => {
  if (Array.isArray(value)) return value.length === 1 ? { value: value[0] } : undefined
  return typeof value === "string" && scan(value, limit).excess === undefined ? parseJson(value) : undefined
}
