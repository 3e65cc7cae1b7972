/**
 * The methods of a chat over any conversation that can be checked out: a single one, or a manager's session.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallOptions } from "../CallOptions.ts"
import type * as ChatCompletions from "../ChatCompletions.ts"
import type { BusyError, ChatError } from "../ChatError.ts"
import { type ChatEvent, type Finish, isFinish, isTextDelta } from "../ChatEvent.ts"
import { fromPrompt } from "../ChatMessage.ts"
import type { ChatResponse } from "../ChatResponse.ts"
import type { Service } from "../LLMChat.ts"
import type { LLMConfig } from "../LLMConfig.ts"
import type { Conversation, Opening } from "./conversation.ts"
import { type Pull, toStream } from "./pull.ts"
import * as Turn from "./turn.ts"

/** Lends the conversation to one method call: it is in use until the scope closes. */
export type Checkout = Effect.Effect<Conversation, never, Scope.Scope>

/** A turn whose time has come. */
interface Begun {
  readonly conversation: Conversation
  readonly opening: Opening
  readonly turn: Turn.Turn
}

/** A chat over the conversation that is checked out for every call anew. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, checkout: Checkout): Service => {
  const use = <A, E>(f: (conversation: Conversation) => Effect.Effect<A, E, Scope.Scope>): Effect.Effect<A, E> =>
    Effect.scoped(Effect.flatMap(checkout, f))

  const ask: Service["ask"] = (prompt, options) =>
    use((conversation) =>
      Effect.flatMap(
        conversation.question(fromPrompt(prompt)),
        (messages) => completions.complete({ config: conversation.config, messages, options })
      )
    )

  const askEvents: Service["askEvents"] = (prompt, options) =>
    Stream.unwrapScoped(
      Effect.map(checkout, (conversation) =>
        Stream.unwrap(Effect.map(conversation.question(fromPrompt(prompt)), (messages) =>
          completions.stream({ config: conversation.config, messages, options }))))
    )

  /** A conversation that ends while a turn waits for it leaves the turn to the one that comes after. */
  const begin = (opening: Opening): Effect.Effect<Begun, BusyError, Scope.Scope> =>
    checkout.pipe(
      Effect.flatMap((conversation) =>
        Effect.map(Turn.begin(conversation, opening), (turn) => ({ conversation, opening, turn }))
      ),
      Effect.catchTag("Closed", () => begin(opening))
    )

  const chat: Service["chat"] = (prompt, options) =>
    Effect.scoped(Effect.flatMap(begin(fromPrompt(prompt)), (begun) => whole(completions, begun, options)))

  const chatEvents: Service["chatEvents"] = (prompt, options) =>
    toStream(Effect.flatMap(begin(fromPrompt(prompt)), (begun) => events(completions, begun, options)))

  return {
    config,
    ask: (prompt, options) => span("ask", ask(prompt, options)),
    askStream: (prompt, options) => tokens(askEvents(prompt, options)),
    askEvents,
    chat: (prompt, options) => span("chat", chat(prompt, options)),
    chatStream: (prompt, options) => tokens(chatEvents(prompt, options)),
    chatEvents,
    history: use((conversation) => conversation.history),
    usage: use((conversation) => conversation.usage),
    updateSystemPrompt: (prompt) => use((conversation) => conversation.updateSystemPrompt(prompt)),
    clearHistory: use((conversation) => conversation.clear),
    stop: use((conversation) => conversation.stop)
  }
}

const span = <A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withSpan(effect, `LLMChat.${name}`, { captureStackTrace: false })

/** The text of events, a chunk at a time. */
const tokens = (events: Stream.Stream<ChatEvent, ChatError>): Stream.Stream<string, ChatError> =>
  Stream.mapChunks(events, (chunk) => {
    const texts: Array<string> = []
    for (const event of chunk) if (isTextDelta(event)) texts.push(event.text)
    return Chunk.unsafeFromArray(texts)
  })

/** A turn whose answer comes whole. */
const whole = (
  completions: ChatCompletions.Service,
  { conversation, opening, turn }: Begun,
  options: CallOptions | undefined
): Effect.Effect<ChatResponse, ChatError, Scope.Scope> =>
  Effect.gen(function*() {
    const messages = yield* conversation.sent(opening)
    const answer = turn.wait(completions.complete({ config: conversation.config, messages, options }))
    return yield* Effect.uninterruptibleMask((restore) =>
      Effect.matchEffect(restore(answer), {
        onSuccess: (response) => Effect.as(turn.complete(response), response),
        onFailure: (error) =>
          error._tag === "Stopped" ? turn.interrupted : Effect.zipRight(turn.fail(error), Effect.fail(error))
      })
    )
  })

/** A turn whose answer is told as it comes. */
const events = (
  completions: ChatCompletions.Service,
  { conversation, opening, turn }: Begun,
  options: CallOptions | undefined
): Effect.Effect<Pull<ChatEvent, ChatError>, ChatError, Scope.Scope> =>
  Effect.gen(function*() {
    const messages = yield* conversation.sent(opening)
    const wire = yield* Effect.either(
      turn.wait(Stream.toPull(completions.stream({ config: conversation.config, messages, options })))
    )
    let ended = false
    const stopped = Effect.map(turn.interrupted, (response) => {
      ended = true
      return Chunk.of<ChatEvent>(interrupted(response))
    })
    if (wire._tag === "Left") return stopped
    const pull = wire.right
    return Effect.uninterruptibleMask((restore): Pull<ChatEvent, ChatError> => {
      if (ended) return Effect.fail(Option.none())
      return Effect.matchEffect(restore(turn.wait(pull)), {
        onSuccess: (events) => {
          turn.tell(events)
          const last = Chunk.unsafeLast(events)
          if (!isFinish(last)) return Effect.succeed(events)
          ended = true
          return Effect.as(turn.complete(last.response), events)
        },
        onFailure: (error): Pull<ChatEvent, ChatError> => {
          if (error._tag === "Stopped") return stopped
          if (error._tag === "None") return Effect.fail(error)
          return Effect.zipRight(turn.fail(error.value), Effect.fail(error))
        }
      })
    })
  })

const interrupted = (response: ChatResponse): Finish => ({
  _tag: "Finish",
  reason: "interrupted",
  rawReason: undefined,
  response
})
