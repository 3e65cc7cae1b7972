/**
 * Answers that are values: a Schema becomes what is asked of the server, and the answer's text is decoded by it.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as JSONSchema from "effect/JSONSchema"
import * as ParseResult from "effect/ParseResult"
import * as Schema from "effect/Schema"
import type { JsonSchema, ObjectOptions, ResponseFormat } from "../../CallOptions.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type ChatError, InvalidRequestError, MalformedResponseError } from "../../ChatError.ts"
import { assistant, type ChatMessage, system, user } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { isTooDeep, valuesIn, withEscapes } from "../decode/jsonScanner.ts"
import { type Issue, issueOf } from "../issue.ts"
import { asText, fieldsOf, isRecord, itemsOf, type JsonRecord, parseJson } from "../json.ts"

/** A whole answer, and the value that its text stands for. */
export interface Decoded<A> {
  readonly response: ChatResponse
  readonly value: A
}

/** Servers want an object at the root: another shape goes under this name. */
const wrapper = "value"

/** Asks for an answer that decodes. With `repair` the model is told once what was wrong. */
export const ask = <A, I>(
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  options: ObjectOptions
): Effect.Effect<Decoded<A>, ChatError> =>
  Effect.flatMap(
    Effect.try({
      try: () => shapeOf(schema),
      catch: (cause) => new InvalidRequestError({ message: "The Schema of the answer has no JSON Schema", cause })
    }),
    (shape) => askFor(shape, complete, request, schema, options)
  )

/** The value of an answer that is there already. */
export const decoded = <A, I>(schema: Schema.Schema<A, I>, response: ChatResponse): Effect.Effect<A, ChatError> =>
  Effect.map(decode(schema, shapeOf(schema).isWrapped, response), ({ value }) => value)

const askFor = <A, I>(
  asked: Shape,
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  { name = "answer", repair = false, ...options }: ObjectOptions
): Effect.Effect<Decoded<A>, ChatError> => {
  const responseFormat = formatOf(request.config.wire.structuredOutput, name, asked.schema)
  const attempt = (messages: ReadonlyArray<ChatMessage>): Effect.Effect<Decoded<A>, ChatError> =>
    Effect.flatMap(
      complete({ ...request, messages, options: { ...options, responseFormat } }),
      (response) => decode(schema, asked.isWrapped, response)
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
const candidates = (text: string): ReadonlyArray<string> => {
  const most = 8
  const answer = withoutReasoning(text).trim()
  const { open, values } = valuesIn(answer)
  const start = answer.search(/[{[]/)
  const end = Math.max(answer.lastIndexOf("}"), answer.lastIndexOf("]")) + 1
  const outer = start === -1 || end <= start ? "" : answer.slice(start, end)
  const found = [answer, fenced(answer), outer, ...values.slice(-most).reverse(), open, ...values.slice(0, most)]
  return [...new Set(found)].filter((candidate) => candidate !== "")
}

/** The text behind reasoning in tags. The opening tag may be missing. */
const withoutReasoning = (text: string): string => {
  const close = /<\/(?:think|thinking|reasoning|thought)>/g
  const starts = /^\s*<(?:think|thinking|reasoning|thought)>/.test(text.slice(0, 1024).trimStart())
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
  const decodeAll = Schema.decodeUnknownEither(schema, { errors: "all" })
  return Either.orElse(decodeAll(value), (error) => {
    const faults: Faults = new Map()
    for (const { path } of ParseResult.ArrayFormatter.formatErrorSync(error)) {
      let at = faults
      for (const key of path) {
        const next: Faults = at.get(key) ?? new Map()
        at.set(key, next)
        at = next
      }
    }
    return Either.mapLeft(decodeAll(withoutNulls(value, faults)), () => error)
  })
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
  response: ChatResponse
): Effect.Effect<Decoded<A>, MalformedResponseError> => {
  const fail = (message: string, path: ReadonlyArray<PropertyKey> = []) =>
    Effect.fail(
      new MalformedResponseError({
        message,
        path: path.map((key) => typeof key === "number" ? key : String(key)),
        body: response.text,
        partial: response
      })
    )
  if (response.refusal !== "") return fail(`The model refused: ${response.refusal}`)
  // Servers that read JSON without a closing tag as reasoning have it there alone (vLLM, SGLang).
  const answer = response.text.trim() === "" ? response.reasoning : response.text
  const results = candidates(answer).flatMap((text) => decodeText(schema, isWrapped, text))
  const decoded = results.find(Either.isRight)
  if (decoded !== undefined) return Effect.succeed({ response, value: decoded.right })
  const [first] = results
  if (first === undefined || Either.isRight(first)) {
    return fail(`The answer is no JSON${response.finishReason === "length" ? ", it was cut at its limit" : ""}`)
  }
  const { message, path } = first.left
  const where = path.length === 0 ? "" : ` at ${path.map(String).join(".")}`
  return fail(`The answer does not have the form that was asked for${where}: ${message}`, path)
}

/** The value of a text, or what is wrong with it. Nothing for a text that is no JSON. */
const decodeText = <A, I>(
  schema: Schema.Schema<A, I>,
  isWrapped: boolean,
  text: string
): ReadonlyArray<Either.Either<A, Issue>> => {
  if (isTooDeep(text)) return parseJson(text) === undefined ? [] : [Either.left(tooDeep)]
  const parsed = parseJson(text) ?? parseJson(withEscapes(text))
  if (parsed === undefined) return []
  const decoded = decodeValue(schema, isWrapped, parsed.value)
  const inner = Either.isLeft(decoded) ? innerOf(parsed.value) : undefined
  if (inner === undefined) return [decoded]
  const other = decodeValue(schema, isWrapped, inner.value)
  return [Either.isRight(other) ? other : decoded]
}

const tooDeep: Issue = { path: [], message: "It is nested too deeply" }

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
      if (error instanceof RangeError) return tooDeep
      throw error
    }
  })
  return Either.flatMap(decoded, (result) => result)
}

/** Models put the one value that was asked for into a list, or write its JSON as a JSON text. */
const innerOf = (value: unknown): { readonly value: unknown } | undefined => {
  if (Array.isArray(value)) return value.length === 1 ? { value: value[0] } : undefined
  return typeof value === "string" && !isTooDeep(value) ? parseJson(value) : undefined
}
