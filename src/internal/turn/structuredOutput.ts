/**
 * Structured output: requests an answer that fits a Schema, and decodes its text.
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

/** A complete answer and its decoded value. */
export interface Decoded<A> {
  readonly response: ChatResponse
  readonly value: A
}

/** The key of a value that is not an object. Servers require an object at the root. */
const wrapperKey = "value"

/** A text is decoded only up to `maxBodySize` divided by this, because it is scanned and decoded several times. */
const textSizeDivisor = 4

/** An answer. It has no value if it contains tool calls to run first. */
export type ObjectAnswer<A> = Pick<Decoded<A>, "response"> & Partial<Decoded<A>>

/** The options of a request for a value. */
interface Options extends Pick<ObjectOptions, "name" | "repair"> {
  /** Whether the turn runs tool calls. An answer with calls has no value then. */
  readonly runsCalls?: boolean
}

/** Requests an answer that decodes. With `repair`, sends the error of an answer to the model and tries once more. */
export const ask = <A, I>(
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  options: Options
): Effect.Effect<ObjectAnswer<A>, ChatError> =>
  Effect.flatMap(
    Effect.try({
      try: () => toAnswerSchema(schema),
      catch: (cause) => new InvalidRequestError({ message: "The Schema of the answer has no JSON Schema", cause })
    }),
    (shape) =>
      options.runsCalls === true && !request.config.wire.toolsWithFormat
        ? askAfterTools(shape, complete, request, schema, options)
        : askWithFormat(shape, complete, request, schema, options)
  )

/**
 * For servers that do not accept tools and a response format in one request. Sends the tools first, and the format when the
 * model calls no tool and its answer does not decode.
 */
const askAfterTools = <A, I>(
  shape: AnswerSchema,
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  options: Options
): Effect.Effect<ObjectAnswer<A>, ChatError> => {
  const withoutTools = { ...request, options: { ...request.options, tools: undefined, toolChoice: undefined } }
  const formatted = askWithFormat(shape, complete, withoutTools, schema, options)
  if (request.options?.toolChoice === "none" || !request.options?.tools?.length) return formatted
  return Effect.flatMap(
    complete(request),
    (response): Effect.Effect<ObjectAnswer<A>, ChatError> =>
      response.toolCalls.length > 0
        ? Effect.succeed({ response })
        : Effect.catchAll(
          decode(schema, shape.isWrapped, response, request.config.maxBodySize / textSizeDivisor),
          () => formatted
        )
  )
}

/** Decodes the value of an answer. */
export const decodeResponse = <A, I>(
  schema: Schema.Schema<A, I>,
  response: ChatResponse
): Effect.Effect<A, ChatError> =>
  Effect.map(decode(schema, toAnswerSchema(schema).isWrapped, response, Infinity), ({ value }) => value)

const askWithFormat = <A, I>(
  shape: AnswerSchema,
  complete: ChatCompletions.Service["complete"],
  request: ChatCompletions.ChatRequest,
  schema: Schema.Schema<A, I>,
  { name = "answer", repair = false, runsCalls = false }: Options
): Effect.Effect<ObjectAnswer<A>, ChatError> => {
  const responseFormat = responseFormatOf(request.config.wire.structuredOutput, name, shape.schema)
  const attempt = (messages: ReadonlyArray<ChatMessage>): Effect.Effect<ObjectAnswer<A>, ChatError> =>
    Effect.flatMap(
      complete({ ...request, messages, options: { ...request.options, responseFormat } }),
      (response): Effect.Effect<ObjectAnswer<A>, MalformedResponseError> =>
        runsCalls && response.toolCalls.length > 0
          ? Effect.succeed({ response })
          : decode(schema, shape.isWrapped, response, request.config.maxBodySize / textSizeDivisor)
    )
  const messages = responseFormat?.type === "json_schema"
    ? request.messages
    : withInstruction(request.messages, shape.schema)
  return Effect.catchTag(attempt(messages), "MalformedResponseError", (error) => {
    const text = asText(error.partial?.text)
    return repair && text !== undefined
      ? attempt([...messages, assistant(text), user(`${error.message}\nAnswer again, with the JSON alone.`)])
      : Effect.fail(error)
  })
}

/** The JSON Schema of a request, with an object at its root. */
export interface AnswerSchema {
  readonly schema: JsonSchema
  /** Whether the value is in a field of the root object. */
  readonly isWrapped: boolean
}

/** Converts a Schema to a JSON Schema. Throws if it has none. */
export const toAnswerSchema = <A, I, R>(schema: Schema.Schema<A, I, R>): AnswerSchema => {
  const definitions: Record<string, JSONSchema.JsonSchema7> = {}
  const root: JsonRecord = { ...JSONSchema.fromAST(schema.ast, { definitions, topLevelReferenceStrategy: "skip" }) }
  const isWrapped = root["type"] !== "object"
  const shape = isWrapped
    ? { type: "object", properties: { [wrapperKey]: root }, required: [wrapperKey], additionalProperties: false }
    : root
  return { isWrapped, schema: Object.keys(definitions).length === 0 ? shape : { ...shape, $defs: definitions } }
}

/** The response format of a request. Undefined for servers that support none. */
export const responseFormatOf = (
  kind: "json_schema" | "json_object" | "none",
  name: string,
  schema: JsonSchema
): ResponseFormat | undefined => {
  if (kind === "json_schema") return { type: kind, name, schema, strict: isStrict(schema) }
  return kind === "none" ? undefined : { type: kind }
}

/** The keywords that OpenAI's strict mode supports. A server refuses (400) a strict schema with others. */
const strictKeywords = new Set(
  `$ref $defs $id $schema title description examples default type properties required additionalProperties items anyOf
   enum const pattern format minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minItems maxItems`.split(
    /\s+/
  )
)

/** Whether OpenAI's strict mode supports a schema: each object must require all of its members and allow no others. */
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

/** Adds the schema to the system message that is sent, for servers without support for schemas. It is not stored. */
export const withInstruction = (
  messages: ReadonlyArray<ChatMessage>,
  schema: JsonSchema
): ReadonlyArray<ChatMessage> => {
  const instruction = `Answer with JSON alone, by this JSON Schema:\n${JSON.stringify(schema)}`
  const [first, ...rest] = messages
  return first?.role === "system"
    ? [system(`${first.content}\n\n${instruction}`), ...rest]
    : [system(instruction), ...messages]
}

/**
 * The parts of an answer that may be the requested JSON, the most likely first. Models put JSON into a code fence, after
 * reasoning or between sentences. The total size of the parts is a few times the size of the answer.
 */
function* candidates(text: string): Generator<string> {
  const maxValues = 8
  const answer = withoutReasoning(text).trim()
  yield answer
  yield firstFencedBlock(answer)
  const start = answer.search(/[{[]/)
  const end = Math.max(answer.lastIndexOf("}"), answer.lastIndexOf("]")) + 1
  yield start === -1 || end <= start ? "" : answer.slice(start, end)
  const { unclosed, values } = valuesIn(answer)
  yield* values.slice(-maxValues).reverse()
  yield unclosed
  yield* values.slice(0, maxValues)
}

/** The text after reasoning in tags. The opening tag may be missing. */
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

/** The content of the first fenced code block. */
const firstFencedBlock = (text: string): string => {
  const fence = "```"
  const open = text.indexOf(fence)
  const begin = open === -1 ? -1 : text.indexOf("\n", open)
  const end = begin === -1 ? -1 : text.indexOf(fence, begin)
  return end === -1 ? "" : text.slice(begin, end).trim()
}

/**
 * Decodes a value. If that fails, decodes it without its invalid null members, because models send null for absent ones.
 */
const decodeLeniently = <A, I>(
  schema: Schema.Schema<A, I>,
  value: unknown
): Either.Either<A, ParseResult.ParseError> => {
  const decodeOnce = Schema.decodeUnknownEither(schema)
  return Either.orElse(decodeOnce(value), (error) => {
    const all = Schema.decodeUnknownEither(schema, { errors: "all" })(value)
    const invalidPaths: InvalidPaths = new Map()
    if (Either.isLeft(all)) addInvalidPaths(invalidPaths, all.left.issue)
    return Either.mapLeft(decodeOnce(withoutNulls(value, invalidPaths)), () => error)
  })
}

/** Adds the paths of an issue. A formatter of issues would take ten times as long. */
const addInvalidPaths = (invalidPaths: InvalidPaths, issue: ParseResult.ParseIssue): void => {
  if (issue._tag === "Composite") {
    for (const inner of "_tag" in issue.issues ? [issue.issues] : issue.issues) addInvalidPaths(invalidPaths, inner)
  } else if (issue._tag === "Pointer") {
    let node = invalidPaths
    for (const key of typeof issue.path === "object" ? issue.path : [issue.path]) {
      const next: InvalidPaths = node.get(key) ?? new Map()
      node.set(key, next)
      node = next
    }
    addInvalidPaths(node, issue.issue)
  } else if ("issue" in issue) {
    addInvalidPaths(invalidPaths, issue.issue)
  }
}

/** The paths of values that do not decode, as a tree of keys. */
interface InvalidPaths extends Map<PropertyKey, InvalidPaths> {}

const withoutNulls = (value: unknown, invalidPaths: InvalidPaths): unknown => {
  if (Array.isArray(value)) return value.map((item, index) => withoutNulls(item, invalidPaths.get(index) ?? new Map()))
  if (!isRecord(value) || invalidPaths.size === 0) return value
  const rest: Record<string, unknown> = {}
  for (const [key, member] of Object.entries(value)) {
    const inner = invalidPaths.get(key)
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
    // vLLM and SGLang send JSON without a closing reasoning tag as reasoning and leave the text empty.
    const answer = response.text.trim() === "" ? response.reasoning : response.text
    if (answer.length > limit) {
      return yield* fail(`The answer is longer than the ${limit} characters that a value can have`)
    }
    const seen = new Set([""])
    let issue: Issue | undefined
    for (const text of candidates(answer)) {
      if (seen.has(text)) continue
      seen.add(text)
      // Decoding a long text blocks the event loop, so other fibers run between the attempts.
      const long = 2 ** 16
      if (text.length > long) yield* yieldToEventLoop
      const result = decodeText(schema, isWrapped, text, limit)
      if (result === undefined) continue
      if (Either.isRight(result)) return { response, value: result.right }
      issue ??= result.left
    }
    if (issue === undefined) {
      return yield* fail(
        `The answer is not JSON${
          response.finishReason === "length" ? ", because it was cut off by its token limit" : ""
        }`
      )
    }
    const where = issue.path.length === 0 ? "" : ` at ${issue.path.map(String).join(".")}`
    return yield* fail(
      `The answer does not match the requested schema${where}: ${issue.message}`,
      issue.path
    )
  })

/** Decodes a text. Returns undefined if it is not JSON. */
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
  const inner = Either.isLeft(decoded) ? unwrap(parsed.value, limit) : undefined
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
  const content = isWrapped && isRecord(value) && wrapperKey in value ? value[wrapperKey] : value
  // Decoding with a recursive Schema can overflow the stack.
  const decoded = Either.try({
    try: () => Either.mapLeft(decodeLeniently(schema, content), issueOf),
    catch: (error) => {
      if (error instanceof RangeError) return issueOfExcess("is nested too deeply")
      throw error
    }
  })
  return Either.flatMap(decoded, (result) => result)
}

/** Unwraps a value: models put the requested value into a list of one item, or encode its JSON as a JSON string. */
const unwrap = (value: unknown, limit: number): { readonly value: unknown } | undefined => {
  if (Array.isArray(value)) return value.length === 1 ? { value: value[0] } : undefined
  return typeof value === "string" && scan(value, limit).excess === undefined ? parseJson(value) : undefined
}
