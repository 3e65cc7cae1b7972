import { FetchHttpClient } from "@effect/platform"
import { assert, describe, it } from "@effect/vitest"
import { Effect, Either, Layer, Stream } from "effect"
import { ChatCompletions, type ChatError, ChatMessage, type ChatResponse, LLMConfig } from "effect-chat"
import { type Case, cases, type Expected, isPresent } from "./support/corpus.ts"
import { cut, generator, serve } from "./support/playback.ts"

const layer = ChatCompletions.layer.pipe(Layer.provide(FetchHttpClient.layer))

type Outcome = Either.Either<ChatResponse.ChatResponse, ChatError.ChatError>

const play = (recorded: Case, pieces: ReadonlyArray<Uint8Array>): Effect.Effect<Outcome> =>
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
    if (!recorded.stream) return yield* Effect.either(completions.complete(request))
    const events = completions.stream(request).pipe(
      Stream.runFold(undefined as ChatResponse.ChatResponse | undefined, (response, event) =>
        event._tag === "Finish" ? event.response : response)
    )
    return yield* Effect.either(Effect.map(events, (response) => {
      assert.isDefined(response)
      return response
    }))
  }).pipe(Effect.scoped, Effect.provide(layer))

const answerOf = (outcome: Outcome): ChatResponse.ChatResponse | undefined =>
  Either.isRight(outcome) ? outcome.right : outcome.left.partial

const count = (usage: Expected["usage"], field: string): unknown => usage?.[field] ?? 0

const agrees = ({ expected, id }: Case, outcome: Outcome): void => {
  const isCut = id.startsWith("evroc-stream-clean-eof")
  assert.strictEqual(outcome._tag, isCut ? "Left" : "Right", `${outcome._tag}: ${JSON.stringify(outcome)}`)
  if (Either.isLeft(outcome)) assert.strictEqual(outcome.left._tag, "TruncatedError")
  const answer = answerOf(outcome)
  assert.isDefined(answer)
  assert.strictEqual(answer.text, expected.text ?? "")
  assert.strictEqual(answer.reasoning, expected.reasoning ?? "")
  assert.strictEqual(answer.refusal, expected.refusal ?? "")
  assert.strictEqual(answer.rawFinishReason ?? null, expected.finishReason)
  assert.deepStrictEqual(answer.toolCalls, expected.toolCalls.map((call) => ({ ...call, id: call.id ?? "" })))
  assert.deepStrictEqual(answer.functionCall, expected.functionCall)
  const usage = expected.usage ?? expected.xGroqUsage ?? null
  assert.deepStrictEqual(answer.usage?.raw ?? null, usage)
  if (usage !== null) {
    assert.strictEqual(answer.usage?.inputTokens, count(usage, "prompt_tokens"))
    assert.strictEqual(answer.usage?.outputTokens, count(usage, "completion_tokens"))
    assert.strictEqual(answer.usage?.totalTokens, count(usage, "total_tokens"))
  }
  if (expected.id !== undefined) assert.strictEqual(answer.id, expected.id)
  if (expected.model !== undefined) assert.strictEqual(answer.model, expected.model)
}

const fails = ({ expected, status }: Case, outcome: Outcome): void => {
  assert.strictEqual(outcome._tag, "Left")
  if (Either.isRight(outcome)) return
  const error = outcome.left
  assert.strictEqual(error.status, status)
  if (expected.errorMessage !== null) assert.strictEqual(error.message, expected.errorMessage.trim())
  if (expected.partialText !== undefined) assert.strictEqual(error.partial?.text, expected.partialText)
}

const seed = 20261122

describe.skipIf(!isPresent)(
  `Corpus of recorded answers${isPresent ? "" : " (skipped: ../shared/corpus is absent)"}`,
  () => {
    for (const recorded of cases) {
      const check = recorded.kind === "success" ? agrees : fails

      it.effect(`${recorded.id} is read as recorded when it comes whole`, () =>
        Effect.map(play(recorded, [recorded.body]), (outcome) => check(recorded, outcome)))

      it.effect(`${recorded.id} is read as recorded when it comes in random pieces`, () => {
        const most = Math.max(8, Math.ceil(recorded.body.length / 100))
        const pieces = cut(recorded.body, most, generator(seed))
        return Effect.map(play(recorded, pieces), (outcome) => check(recorded, outcome))
      })
    }
  }
)
