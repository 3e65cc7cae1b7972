/**
 * Compares how the library reads a recording with the expected result, aspect by aspect.
 */
import { FetchHttpClient } from "@effect/platform"
import { Duration, Effect, Either, Layer, Stream } from "effect"
import { ChatCompletions, type ChatError, ChatMessage, type ChatResponse, LLMConfig } from "effect-chat"
import type { Case } from "./corpus.ts"
import { serve } from "./playback.ts"

/** The result of a recording. */
export type Outcome = Either.Either<ChatResponse.ChatResponse, ChatError.ChatError>

const layer = ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer))

/** Plays a recording back over a real socket, in these pieces, and reads it with or without a stream as recorded. */
export const play = (recorded: Case, pieces: ReadonlyArray<Uint8Array>): Effect.Effect<Outcome> =>
  Effect.gen(function*() {
    const { "content-length": _length, "transfer-encoding": _encoding, ...headers } = recorded.headers
    const server = yield* serve(() => ({
      status: recorded.status,
      headers: { ...headers, "content-type": recorded.contentType },
      pieces
    }))
    const completions = yield* ChatCompletions.ChatCompletions
    const request = {
      config: LLMConfig.make({ baseUrl: server.url, maxRetries: 0 }),
      messages: [ChatMessage.user("play it back")]
    }
    return yield* Effect.either(recorded.stream ? streamed(completions, request) : completions.complete(request))
  }).pipe(Effect.scoped, Effect.provide(layer))

/** The response of `Finish`. Dies if the deltas do not add up to it. */
const streamed = (completions: ChatCompletions.Service, request: ChatCompletions.ChatRequest) =>
  Effect.flatMap(Stream.runCollect(completions.stream(request)), (events) => {
    let text = ""
    let reasoning = ""
    let finish: ChatResponse.ChatResponse | undefined
    for (const event of events) {
      if (event._tag === "TextDelta") text += event.text
      if (event._tag === "ReasoningDelta") reasoning += event.text
      if (event._tag === "Finish") finish = event.response
    }
    return finish?.text === text && finish.reasoning === reasoning
      ? Effect.succeed(finish)
      : Effect.dieMessage("the deltas do not add up to the response")
  })

/** The aspects that are compared. */
export const aspects = [
  "outcome",
  "id and model",
  "text",
  "reasoning",
  "finish reason",
  "usage",
  "tool calls",
  "error"
] as const

/** One of the {@link aspects}. */
export type Aspect = typeof aspects[number]

/** Whether a recording was truncated. It must not be read as a complete answer. */
const isCut = (recorded: Case): boolean =>
  recorded.kind === "success" && recorded.stream && recorded.expected.finishReason === null &&
  !new TextDecoder().decode(recorded.body).includes("[DONE]")

const counts = (answer: ChatResponse.ChatResponse, usage: Readonly<Record<string, unknown>>): boolean =>
  answer.usage?.inputTokens === (usage["prompt_tokens"] ?? 0) &&
  answer.usage?.outputTokens === (usage["completion_tokens"] ?? 0) &&
  answer.usage?.totalTokens === (usage["total_tokens"] ?? 0)

const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b)

const ofAnswer = (recorded: Case, outcome: Outcome): Partial<Record<Aspect, boolean>> => {
  const { expected } = recorded
  const answer = Either.isRight(outcome) ? outcome.right : outcome.left.partial
  const usage = expected.usage ?? expected.xGroqUsage ?? null
  return {
    outcome: isCut(recorded)
      ? Either.isLeft(outcome) && outcome.left._tag === "TruncatedError"
      : Either.isRight(outcome),
    text: answer?.text === (expected.text ?? "") && answer.refusal === (expected.refusal ?? ""),
    "id and model": (expected.id ?? "") === answer?.id && (expected.model ?? "") === answer?.model,
    reasoning: answer?.reasoning === (expected.reasoning ?? ""),
    "finish reason": (answer?.rawFinishReason ?? null) === expected.finishReason,
    usage: usage === null
      ? answer !== undefined && answer.usage === undefined
      : answer !== undefined && same(answer.usage?.raw, usage) && counts(answer, usage),
    "tool calls": answer !== undefined &&
      same(
        answer.toolCalls,
        expected.toolCalls.map((call) => ({
          id: call.id ?? "",
          name: call.name,
          arguments: call.arguments
        }))
      ) && same(answer.functionCall, expected.functionCall)
  }
}

/** Whether messages are equal, ignoring white space around them. */
const saysOf = (message: string, recorded: string): boolean => message.trim() === recorded.trim()

/** The wait that the headers ask for, in milliseconds. */
const retryAfterOf = ({ headers }: Case): number | undefined => {
  const precise = Number(headers["retry-after-ms"] ?? 0)
  if (precise > 0) return precise
  return headers["retry-after"] === undefined ? undefined : Number(headers["retry-after"]) * 1000
}

const ofError = (recorded: Case, outcome: Outcome): Partial<Record<Aspect, boolean>> => {
  const { expected, status } = recorded
  if (Either.isRight(outcome)) return { outcome: false }
  const error = outcome.left
  const code = expected.errorCode ?? undefined
  const type = expected.errorType ?? undefined
  return {
    outcome: error.status === status,
    text: expected.partialText === undefined || error.partial?.text === expected.partialText,
    ...(expected.reasoning === null ? {} : { reasoning: error.partial?.reasoning === expected.reasoning }),
    error: (expected.errorMessage === null || saysOf(error.message, expected.errorMessage)) &&
      (code === undefined || error.code === String(code)) &&
      (type === undefined || error.type === type) &&
      same(error.retryAfter && Duration.toMillis(error.retryAfter), retryAfterOf(recorded))
  }
}

/** Which aspects agree. Aspects that the recording does not have are absent. */
export const compare = (recorded: Case, outcome: Outcome): Partial<Record<Aspect, boolean>> =>
  recorded.kind === "success" ? ofAnswer(recorded, outcome) : ofError(recorded, outcome)

/** The aspects that differ. */
export const differences = (recorded: Case, outcome: Outcome): ReadonlyArray<Aspect> => {
  const compared = compare(recorded, outcome)
  return aspects.filter((aspect) => compared[aspect] === false)
}
