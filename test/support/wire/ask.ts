/**
 * Sends requests to a scripted server through `ChatCompletions`, and returns everything that the caller received.
 */
import { assert } from "@effect/vitest"
import { Effect, Either, Layer, Stream } from "effect"
import {
  type CallOptions,
  ChatCompletions,
  type ChatError,
  type ChatEvent,
  ChatMessage,
  type ChatResponse,
  LLMConfig
} from "effect-chat"
import { ScriptedHttpClient } from "effect-chat/testing"

/** The options of a request. */
export interface Asking {
  readonly config?: Partial<LLMConfig.Options> | undefined
  readonly wire?: Partial<LLMConfig.Options["wire"]> | undefined
  readonly options?: CallOptions.CallOptions | undefined
  readonly messages?: ReadonlyArray<ChatMessage.ChatMessage> | undefined
}

/** The options of a request and of its response. */
export interface Sending extends Asking {
  readonly status?: number | undefined
  readonly contentType?: string | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** The events that the caller received, and the requests that were sent. */
export interface Received {
  readonly events: ReadonlyArray<ChatEvent.ChatEvent>
  readonly outcome: Either.Either<ChatResponse.ChatResponse, ChatError.ChatError>
  readonly requests: ReadonlyArray<ScriptedHttpClient.CapturedRequest>
  /** The number of bodies that are still being read at the end. */
  readonly open: number
}

type Body = string | ReadonlyArray<ScriptedHttpClient.BodyStep>

/** A config without retries. */
export const configOf = ({ config, wire }: Asking = {}): LLMConfig.LLMConfig =>
  LLMConfig.make({
    baseUrl: "http://server.test/v1",
    maxRetries: 0,
    ...(wire === undefined ? {} : { wire }),
    ...config
  })

/** Streams an answer over the client of the context, and collects its events. */
export const collect = (asking: Asking = {}) => {
  const events: Array<ChatEvent.ChatEvent> = []
  return Effect.gen(function*() {
    const completions = yield* ChatCompletions.ChatCompletions
    const ended = yield* completions.stream(requestOf(asking)).pipe(
      Stream.runForEach((event) => Effect.sync(() => void events.push(event))),
      Effect.either
    )
    if (Either.isLeft(ended)) return { events, outcome: Either.left(ended.left) }
    const last = events.at(-1)
    assert.strictEqual(last?._tag, "Finish", "a stream that ends well ends with Finish")
    assert.lengthOf(events.filter((event) => event._tag === "Finish"), 1)
    return { events, outcome: Either.right(responseOf(last)) }
  })
}

const responseOf = (event: ChatEvent.ChatEvent | undefined): ChatResponse.ChatResponse => {
  if (event?._tag !== "Finish") throw new Error("no Finish")
  return event.response
}

/** The request with these options. */
export const requestOf = (asking: Asking = {}): ChatCompletions.ChatRequest => ({
  config: configOf(asking),
  messages: asking.messages ?? [ChatMessage.user("hi")],
  options: asking.options
})

const whole = (asking: Asking) =>
  Effect.gen(function*() {
    const completions = yield* ChatCompletions.ChatCompletions
    return { events: [], outcome: yield* Effect.either(completions.complete(requestOf(asking))) }
  })

/** Answers from a script. */
export const layer = (script: ScriptedHttpClient.Script) =>
  Layer.provideMerge(ChatCompletions.layer, ScriptedHttpClient.layer(script))

const play = (
  asking: Effect.Effect<Pick<Received, "events" | "outcome">, never, ChatCompletions.ChatCompletions>,
  script: ScriptedHttpClient.Script
): Effect.Effect<Received> =>
  Effect.gen(function*() {
    const received = yield* asking
    const service = yield* ScriptedHttpClient.ScriptedHttpClient
    return { ...received, requests: yield* service.requests, open: yield* service.openBodies }
  }).pipe(Effect.provide(layer(script)))

/** Streams an answer of the script. */
export const streamFrom = (script: ScriptedHttpClient.Script, asking: Asking = {}): Effect.Effect<Received> =>
  play(collect(asking), script)

/** Requests an answer of the script without a stream. */
export const completeFrom = (script: ScriptedHttpClient.Script, asking: Asking = {}): Effect.Effect<Received> =>
  play(whole(asking), script)

/** A response with this body. */
export const reply = (body: Body, sending: Sending = {}): ScriptedHttpClient.ScriptedResponse =>
  ScriptedHttpClient.bytes(typeof body === "string" ? [body] : body, {
    status: sending.status ?? 200,
    headers: { "content-type": sending.contentType ?? "text/event-stream", ...sending.headers }
  })

/** Streams an answer with this body. */
export const stream = (body: Body, sending: Sending = {}): Effect.Effect<Received> =>
  streamFrom([reply(body, sending)], sending)

/** Requests an answer with this body, without a stream. */
export const complete = (body: Body, sending: Sending = {}): Effect.Effect<Received> =>
  completeFrom([reply(body, { contentType: "application/json", ...sending })], sending)

/** The answer. Fails the test if there is an error. */
export const answer = ({ outcome }: Received): ChatResponse.ChatResponse => {
  if (Either.isLeft(outcome)) assert.fail(`${outcome.left._tag}: ${outcome.left.message}`)
  return outcome.right
}

/** The error. Fails the test if there is none, or one with another tag. */
export const failure = (
  { outcome }: Received,
  tag: ChatError.ChatError["_tag"]
): ChatError.ChatError => {
  if (Either.isRight(outcome)) assert.fail(`no failure but the answer ${JSON.stringify(outcome.right.text)}`)
  assert.strictEqual(outcome.left._tag, tag, outcome.left.message)
  return outcome.left
}

/** The text of all emitted deltas. */
export const emittedText = ({ events }: Received): string =>
  events.map((event) => event._tag === "TextDelta" ? event.text : "").join("")
