/**
 * The methods of a chat over any conversation that can be checked out: a single one, or a manager's session.
 */
import * as Chunk from "effect/Chunk"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallOptions } from "../../CallOptions.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import type { ChatRequest } from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, type HistoryStoreError, MalformedResponseError } from "../../ChatError.ts"
import { type ChatEvent, isTextDelta } from "../../ChatEvent.ts"
import { fromPrompt, type Prompt } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Service } from "../../LLMChat.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { stopped } from "../transport/deadlines.ts"
import { type Pull, toStream } from "../transport/stream.ts"
import type { Conversation, TurnInput } from "./conversation.ts"
import { send } from "./sending.ts"
import * as Obj from "./structuredOutput.ts"
import { tell } from "./telling.ts"
import * as Turn from "./turn.ts"

/** Lends the conversation to a method call, which it is in use by meanwhile. */
export interface Lender {
  /** Lends it to one effect. */
  readonly use: <A, E>(f: (conversation: Conversation) => Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Lends it until the scope closes. */
  readonly checkout: (scope: Scope.Scope) => Effect.Effect<Conversation>
}

type Complete = ChatCompletions.Service["complete"]

/** A whole answer, and its value where it has one. */
type Answer<A> = Pick<Obj.Decoded<A>, "response"> & Partial<Obj.Decoded<A>>

/** A chat over the conversation that is lent for every call anew. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, { checkout, use }: Lender): Service => {
  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    use((conversation) => Effect.flatMap(conversation.question(fromPrompt(prompt)), ask))

  const askEvents: Service["askEvents"] = (prompt, options) =>
    Stream.unwrapScoped(
      Effect.flatMap(Effect.flatMap(Effect.scope, checkout), (conversation) =>
        Effect.map(conversation.question(fromPrompt(prompt)), (request) =>
          completions.stream({ ...request, options })))
    )

  /** A conversation that ends while a turn waits for it leaves the turn to the one that comes after. */
  const begin = (opening: TurnInput, scope: Scope.Scope): Effect.Effect<Turn.Turn, BusyError | HistoryStoreError> =>
    checkout(scope).pipe(
      Effect.flatMap((conversation) => Turn.begin(completions, conversation, opening, scope)),
      Effect.catchTag("Closed", () => begin(opening, scope))
    )

  const turn = <A>(
    opening: TurnInput,
    ask: (complete: Complete, request: ChatRequest) => Effect.Effect<Answer<A>, ChatError>
  ) =>
    Effect.scopedWith((scope) =>
      Effect.flatMap(begin(opening, scope), (turn) => {
        const complete: Complete = (request) => turn.meter.complete(completions, request)
        return whole(turn, (request) => ask(complete, request))
      })
    )

  const told = <A>(
    opening: TurnInput,
    options: CallOptions | undefined,
    f: (events: Chunk.Chunk<ChatEvent>) => Chunk.Chunk<A>
  ) => toStream((scope) => Effect.map(begin(opening, scope), (turn) => telling(turn, options, f)))

  return {
    config,
    ask: (prompt, options) => span("ask", question(prompt, (request) => completions.complete({ ...request, options }))),
    askStream: (prompt, options) => Stream.mapChunks(askEvents(prompt, options), texts),
    askEvents,
    askObject: (prompt, schema, options = {}) =>
      span(
        "askObject",
        Effect.map(
          question(prompt, (request) => Obj.ask(completions.complete, request, schema, options)),
          ({ value }) => value
        )
      ),
    chat: (prompt, options) =>
      span(
        "chat",
        Effect.map(
          turn(fromPrompt(prompt), (complete, request) =>
            Effect.map(complete({ ...request, options }), (response) => ({ response }))),
          ({ response }) =>
            response
        )
      ),
    chatStream: (prompt, options) => told(fromPrompt(prompt), options, texts),
    chatEvents: (prompt, options) => told(fromPrompt(prompt), options, identity),
    chatObject: (prompt, schema, options = {}) =>
      span(
        "chatObject",
        Effect.flatMap(
          turn(fromPrompt(prompt), (complete, request) => Obj.ask(complete, request, schema, options)),
          (answer) => "value" in answer ? Effect.succeed(answer.value) : noValue(answer.response)
        )
      ),
    history: use((conversation) => conversation.history),
    usage: use((conversation) => conversation.usage),
    updateSystemPrompt: (prompt) => use((conversation) => conversation.updateSystemPrompt(prompt)),
    clearHistory: use((conversation) => conversation.clear),
    save: use((conversation) => conversation.save),
    stop: use((conversation) => conversation.stop)
  }
}

const span = <A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withSpan(effect, `LLMChat.${name}`, { captureStackTrace: false })

/** The text of events. */
const texts = (events: Chunk.Chunk<ChatEvent>): Chunk.Chunk<string> => {
  const texts: Array<string> = []
  for (const event of Chunk.toReadonlyArray(events)) if (isTextDelta(event)) texts.push(event.text)
  return Chunk.unsafeFromArray(texts)
}

/** A turn whose answer comes whole: the answer as it is kept, and its value unless the turn was stopped. */
const whole = <A>(
  turn: Turn.Turn,
  ask: (request: ChatRequest) => Effect.Effect<Answer<A>, ChatError>
): Effect.Effect<Answer<A>, ChatError> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.matchEffect(
      restore(send(turn, (request) => turn.wait(ask(request)))),
      {
        onSuccess: (answer) => Effect.map(turn.complete(answer.response), (response) => ({ ...answer, response })),
        onFailure: (error) =>
          error._tag === "Stopped" ? Effect.fail(error) : Effect.zipRight(turn.fail(error), Effect.fail(error))
      }
    ).pipe(
      Effect.catchTag("Stopped", () => Effect.map(turn.interrupted, (response) => ({ response })))
    )
  )

/** A turn that was stopped has no value to give. */
const noValue = (partial: ChatResponse): Effect.Effect<never, MalformedResponseError> =>
  Effect.fail(new MalformedResponseError({ message: "The turn was stopped before its answer was whole", partial }))

/** A turn whose answer is told as it comes. */
const telling = <A>(
  turn: Turn.Turn,
  options: CallOptions | undefined,
  f: (events: Chunk.Chunk<ChatEvent>) => Chunk.Chunk<A>
): Pull<A, ChatError> => {
  /** The wire, once it told something. */
  let wire: (() => Pull<ChatEvent, ChatError>) | undefined
  const open = send(turn, (request) =>
    Effect.flatMap(turn.listen({ ...request, options }), (pull) =>
      pull().pipe(
        Effect.map((events) => {
          wire = pull
          return events
        }),
        // A wire that ended and told nothing is as one that was stopped.
        Effect.mapError(Option.getOrElse(() => stopped))
      ))).pipe(
      Effect.mapError((error) => error._tag === "Stopped" ? Option.none() : Option.some(error))
    )
  return tell(turn, () => wire?.() ?? open, f)
}
