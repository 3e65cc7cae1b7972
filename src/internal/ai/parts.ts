/**
 * Converts responses to parts of `@effect/ai`.
 */
import * as AiError from "@effect/ai/AiError"
import type * as LanguageModel from "@effect/ai/LanguageModel"
import type * as Response from "@effect/ai/Response"
import * as Either from "effect/Either"
import type { ChatResponse, FinishReason, ToolCall } from "../../ChatResponse.ts"
import { asRecord, asString, asText, defined, itemsOf, type JsonRecord, parseJson } from "../json.ts"
import { type Call, module } from "./errors.ts"
import { type EchoMemory, echoOf, metadataKey } from "./metadata.ts"
import { setToolCall } from "./tools.ts"

export interface Options {
  readonly method: Call["method"]
  readonly provider: LanguageModel.ProviderOptions
  readonly memory: EchoMemory
  /** A unique prefix for ids that the server does not send. */
  readonly id: string
  /** The time of the request in ISO format. */
  readonly timestamp: string
}

/** Makes metadata under this library's key. */
export const metadata = (members: JsonRecord): { readonly metadata: { readonly [metadataKey]: JsonRecord } } => ({
  metadata: { [metadataKey]: defined(members) }
})

/** Converts a complete response. `text` replaces its text if the request has a Schema. */
export const fromResponse = (
  response: ChatResponse,
  options: Options,
  text: string = response.text
): Either.Either<Array<Response.PartEncoded>, AiError.MalformedOutput> =>
  Either.map(callsOf(response, options, new AnswerCallIds(options.id)), (calls) => [
    toMetadataPart(response, options.timestamp),
    ...(response.reasoning === "" ? [] : [{ type: "reasoning", text: response.reasoning } as const]),
    ...(text === "" ? [] : [{ type: "text", text } as const]),
    ...(response.refusal === "" ? [] : [{ type: "text", text: response.refusal, ...refusalMetadata } as const]),
    ...toAttachmentParts(response, options.id),
    ...calls.map(toCallPart),
    toFinishPart(response, calls, options.memory)
  ])

/** The metadata of a text part that contains a refusal. */
export const refusalMetadata = metadata({ refusal: true })

export const toMetadataPart = (
  { id, model }: Pick<ChatResponse, "id" | "model">,
  timestamp: string
): Response.ResponseMetadataPartEncoded =>
  defined<Response.ResponseMetadataPartEncoded>({
    type: "response-metadata",
    id: asText(id),
    modelId: asText(model),
    timestamp
  })

/** A call with an id and with parsed arguments. */
export interface IdentifiedCall extends ToolCall {
  readonly params: unknown
}

/** Makes ids for the calls of one answer that have none from the server. */
export class AnswerCallIds {
  readonly #prefix: string
  readonly #byIndex = new Map<number, string>()

  constructor(prefix: string) {
    this.#prefix = prefix
  }

  /** The id of the call at this index. It does not change if the server sends an id later. */
  get(index: number, serverId: string): string {
    const existing = this.#byIndex.get(index)
    if (existing !== undefined) return existing
    const id = serverId === "" ? `${this.#prefix}_call_${index}` : serverId
    this.#byIndex.set(index, id)
    return id
  }
}

/**
 * The calls that the toolkit runs. A truncated answer has none, because its arguments can be incomplete. Fails if the model
 * called a tool that the request did not offer, because no toolkit can run that call.
 */
export const callsOf = (
  { finishReason, toolCalls }: ChatResponse,
  options: Options,
  ids: AnswerCallIds
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
    setToolCall(params, { id, name: call.name })
    return { ...call, id, params }
  }))
}

/** Parses arguments. Models send an empty text for a call without parameters. Text that is not JSON is returned unchanged. */
const paramsOf = (text: string): unknown => {
  if (text.trim() === "") return {}
  const parsed = parseJson(text)
  return parsed === undefined ? text : parsed.value ?? {}
}

/** Converts a call. The metadata contains the arguments exactly as the model wrote them. */
export const toCallPart = ({ arguments: text, id, name, params }: IdentifiedCall): Response.ToolCallPartEncoded => ({
  type: "tool-call",
  id,
  name,
  params,
  ...metadata({ arguments: text })
})

/** Makes the `finish` part, and remembers the echo of the answer. */
export const toFinishPart = (
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

/** The parts of the cited URLs and of the images of an answer. */
export const toAttachmentParts = (
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
