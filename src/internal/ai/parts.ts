/**
 * Answers → parts of `@effect/ai`.
 */
import * as AiError from "@effect/ai/AiError"
import type * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Response from "@effect/ai/Response"
import * as Either from "effect/Either"
import type { ChatResponse, FinishReason, ToolCall } from "../../ChatResponse.ts"
import { asRecord, asString, asText, defined, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { type Call, module } from "./errors.ts"
import { type EchoMemory, echoOf, key } from "./metadata.ts"
import { identify } from "./tools.ts"

/** What else decides what the parts of an answer are. */
export interface Options {
  readonly method: Call["method"]
  readonly provider: LanguageModel.ProviderOptions
  readonly memory: EchoMemory
  /** Begins the ids that this answer needs and the server gave none of. Unique. */
  readonly id: string
  /** When the answer began, as ISO text. */
  readonly timestamp: string
}

/** Metadata under this library's name. */
export const metadata = (members: JsonRecord): { readonly metadata: { readonly [key]: JsonRecord } } => ({
  metadata: { [key]: defined(members) }
})

/** The parts of a complete answer. `text` stands for its text where that is a value. */
export const fromResponse = (
  response: ChatResponse,
  options: Options,
  text: string = response.text
): Either.Either<Array<Response.PartEncoded>, AiError.MalformedOutput> =>
  Either.map(callsOf(response, options, new CallIds(options.id)), (calls) => [
    begin(response, options.timestamp),
    ...(response.reasoning === "" ? [] : [{ type: "reasoning", text: response.reasoning } as const]),
    ...(text === "" ? [] : [{ type: "text", text } as const]),
    ...(response.refusal === "" ? [] : [{ type: "text", text: response.refusal, ...refusal } as const]),
    ...attachments(response, options.id),
    ...calls.map(toCallPart),
    finish(response, calls, options.memory)
  ])

/** Marks a text that says why the model would not answer. */
export const refusal = metadata({ refusal: true })

/** What is known when an answer begins. */
export const begin = (
  { id, model }: Pick<ChatResponse, "id" | "model">,
  timestamp: string
): Response.ResponseMetadataPartEncoded =>
  defined<Response.ResponseMetadataPartEncoded>({
    type: "response-metadata",
    id: asText(id),
    modelId: asText(model),
    timestamp
  })

/** A call with an id, and its parameters. */
export interface IdentifiedCall extends ToolCall {
  readonly params: unknown
}

/** The ids of an answer's calls, of which servers can give none. */
export class CallIds {
  readonly #prefix: string
  readonly #byIndex = new Map<number, string>()

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** The id of a call. It stays the same, also where the server gives one later. */
  get(index: number, given: string): string {
    const known = this.#byIndex.get(index)
    if (known !== undefined) return known
    const id = given === "" ? `${this.#prefix}_call_${index}` : given
    this.#byIndex.set(index, id)
    return id
  }
}

/**
 * The calls to run: none of an answer that was cut, whose arguments can be incomplete. Fails for calls of tools that the
 * request did not offer, which no toolkit can run.
 */
export const callsOf = (
  { finishReason, toolCalls }: ChatResponse,
  options: Options,
  ids: CallIds
): Either.Either<ReadonlyArray<IdentifiedCall>, AiError.MalformedOutput> => {
  if (finishReason === "length" || finishReason === "content-filter" || finishReason === "error") {
    return Either.right([])
  }
  const offered = options.provider.tools.map(({ name }) => name)
  const unknown = toolCalls.find(({ name }) => !offered.includes(name))
  if (unknown !== undefined) {
    const description = `The model called the tool ${JSON.stringify(unknown.name)}, which the request did not offer: ${
      offered.length === 0 ? "it offered none" : `it offered ${offered.join(", ")}`
    }`
    return Either.left(new AiError.MalformedOutput({ module, method: options.method, description }))
  }
  return Either.right(toolCalls.map((call, index): IdentifiedCall => {
    const id = ids.get(index, call.id)
    const params = paramsOf(call.arguments)
    identify(params, { id, name: call.name })
    return { ...call, id, params }
  }))
}

/** Models leave the arguments of a call without parameters empty. A text that is no JSON stays as it is. */
const paramsOf = (text: string): unknown => {
  if (text.trim() === "") return {}
  const parsed = parseJson(text)
  return parsed === undefined ? text : parsed.value ?? {}
}

/** The part of a call. Its metadata has the arguments as the model wrote them. */
export const toCallPart = ({ arguments: text, id, name, params }: IdentifiedCall): Response.ToolCallPartEncoded => ({
  type: "tool-call",
  id,
  name,
  params,
  ...metadata({ arguments: text })
})

/** The end of an answer. Remembers what its server wants back. */
export const finish = (
  response: ChatResponse,
  calls: ReadonlyArray<IdentifiedCall>,
  memory: EchoMemory
): Response.FinishPartEncoded => {
  const { annotations, extra, finishReason, logprobs, provider, rawFinishReason, reasoning, refusal, text, usage } =
    response
  const echo = echoOf(response, calls)
  if (echo !== undefined) {
    memory.remember({ text: text + refusal, reasoning, callIds: calls.map(({ id }) => id) }, echo)
  }
  return {
    type: "finish",
    reason: toReason(finishReason),
    usage: {
      inputTokens: usage?.inputTokens,
      outputTokens: usage?.outputTokens,
      totalTokens: usage?.totalTokens,
      reasoningTokens: usage?.reasoningTokens,
      cachedInputTokens: usage?.cachedTokens
    },
    ...metadata({ ...echo, annotations, extra, logprobs, provider, rawFinishReason, usage: usage?.raw })
  }
}

const toReason = (reason: FinishReason): Response.FinishReason => reason === "interrupted" ? "other" : reason

/** The addresses that an answer cites, and the images that it has. */
export const attachments = (
  { annotations, extra }: ChatResponse,
  id: string
): ReadonlyArray<Response.UrlSourcePartEncoded | Response.FilePartEncoded> => [
  ...itemsOf(annotations).flatMap((annotation, index) => toSource(annotation, `${id}_source_${index}`)),
  ...itemsOf(extra?.["images"]).flatMap(toFile)
]

const toSource = (annotation: unknown, id: string): ReadonlyArray<Response.UrlSourcePartEncoded> => {
  const citation = asRecord(asRecord(annotation)?.["url_citation"])
  const url = asString(citation?.["url"]) ?? ""
  return URL.canParse(url)
    ? [{ type: "source", sourceType: "url", id, url, title: asString(citation?.["title"]) ?? "" }]
    : []
}

const toFile = (image: unknown): ReadonlyArray<Response.FilePartEncoded> => {
  const url = asString(asRecord(asRecord(image)?.["image_url"])?.["url"]) ?? ""
  const [, mediaType, data] = /^data:([^;,]+);base64,([a-z0-9+/]+=*)$/i.exec(url) ?? []
  return mediaType === undefined || data === undefined ? [] : [{ type: "file", mediaType, data }]
}
