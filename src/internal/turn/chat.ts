/**
 * The methods of a chat over any conversation that can be acquired: a single one, or a manager's session.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type { CallOptions, ObjectOptions } from "../../CallOptions.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, type HistoryStoreError, MalformedResponseError } from "../../ChatError.ts"
import { type ChatEvent, isTextDelta } from "../../ChatEvent.ts"
import { fromPrompt, type Prompt } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Changes } from "../../ChatSettings.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { mapElements, toPull, toStream } from "../transport/stream.ts"
import type { Conversation, TurnInput } from "./conversation.ts"
import { send } from "./stepRequest.ts"
import * as Steps from "./steps.ts"
import * as StructuredOutput from "./structuredOutput.ts"
import * as Turn from "./turn.ts"

/** Lends the conversation to a method call: it is in use meanwhile. */
export interface Lender {
  /** Lends it to one effect. */
  readonly with: <A, E>(f: (conversation: Conversation) => Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Lends it until the scope closes. */
  readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation>
}

type Complete = ChatCompletions.Service["complete"]

/** A response, and its value if it was decoded. */
type Answer<A> = Pick<StructuredOutput.Decoded<A>, "response"> & Partial<StructuredOutput.Decoded<A>>

/** Maps the events of a stream, a chunk at a time. */
type MapEvents<A> = (events: ReadonlyArray<ChatEvent>) => ReadonlyArray<A>

/** A chat over the conversation, which every call acquires anew. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) => ({
  config,
  ...questions(completions, lender),
  ...turns(completions, lender),
  history: lender.with((conversation) => conversation.history),
  usage: lender.with((conversation) => conversation.usage),
  settings: lender.with((conversation) => conversation.settings),
  updateSettings: (changes: Changes) => lender.with((conversation) => conversation.updateSettings(changes)),
  updateSystemPrompt: (prompt: string) => lender.with((conversation) => conversation.updateSystemPrompt(prompt)),
  clearHistory: lender.with((conversation) => conversation.clear),
  save: lender.with((conversation) => conversation.save),
  stop: lender.with((conversation) => conversation.stop)
})

/** The methods that neither read nor write the history. */
const questions = (completions: ChatCompletions.Service, lender: Lender) => {
  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    lender.with((conversation) => Effect.flatMap(conversation.question(fromPrompt(prompt)), ask))

  const askEvents = (prompt: Prompt, options?: CallOptions) =>
    Stream.unwrapScoped(
      Effect.flatMap(Effect.flatMap(Effect.scope, lender.acquire), (conversation) =>
        Effect.map(conversation.question(fromPrompt(prompt)), (request) =>
          completions.stream({ ...request, options })))
    )

  return {
    ask: (prompt: Prompt, options?: CallOptions) =>
      span("ask", question(prompt, (request) => completions.complete({ ...request, options }))),
    askStream: (prompt: Prompt, options?: CallOptions) => mapElements(askEvents(prompt, options), texts),
    askEvents,
    askObject: <A, I>(prompt: Prompt, schema: Schema.Schema<A, I>, options: ObjectOptions = {}) =>
      question(prompt, (request) => StructuredOutput.ask(completions.complete, request, schema, options)).pipe(
        Effect.map(({ value }) => value),
        (effect) => span("askObject", effect)
      )
  }
}

/** The methods that are turns. */
const turns = (completions: ChatCompletions.Service, lender: Lender) => {
  /** A conversation that ends while a turn waits for it leaves the turn to the next conversation. */
  const begin = (input: TurnInput, scope: Scope.Scope): Effect.Effect<Turn.Turn, BusyError | HistoryStoreError> =>
    lender.acquire(scope).pipe(
      Effect.flatMap((conversation) => Turn.begin(conversation, input, scope)),
      Effect.catchTag("Closed", () => begin(input, scope))
    )

  const turn = <A>(
    input: TurnInput,
    ask: (complete: Complete, request: ChatRequest) => Effect.Effect<Answer<A>, ChatError>
  ) =>
    Effect.scopedWith((scope) =>
      Effect.flatMap(begin(input, scope), (turn): Effect.Effect<Answer<A>, ChatError> => {
        const complete = turn.meter.metered(completions.complete)
        return Steps.complete(turn, (f) => send(turn, completions.complete, f), (request) => ask(complete, request))
      })
    )

  const turnStream = <A>(input: TurnInput, options: CallOptions | undefined, f: MapEvents<A>) =>
    toStream((scope) =>
      Effect.map(begin(input, scope), (turn) => {
        const open = (request: ChatRequest) => {
          turn.meter.begin(request)
          return toPull(completions.stream({ ...request, options }), turn.scope, turn.signal)
        }
        return Steps.events(turn, (f) => send(turn, completions.complete, f), open, f)
      })
    )

  return {
    chat: (prompt: Prompt, options?: CallOptions) =>
      turn(
        fromPrompt(prompt),
        (complete, request) => Effect.map(complete({ ...request, options }), (response) => ({ response }))
      )
        .pipe(
          Effect.map(({ response }) => response),
          (effect) => span("chat", effect)
        ),
    chatStream: (prompt: Prompt, options?: CallOptions) => turnStream(fromPrompt(prompt), options, texts),
    chatEvents: (prompt: Prompt, options?: CallOptions) => turnStream(fromPrompt(prompt), options, identity<EventList>),
    chatObject: <A, I>(prompt: Prompt, schema: Schema.Schema<A, I>, options: ObjectOptions = {}) =>
      turn(fromPrompt(prompt), (complete, request) => StructuredOutput.ask(complete, request, schema, options)).pipe(
        Effect.flatMap((answer) => "value" in answer ? Effect.succeed(answer.value) : noValue(answer.response)),
        (effect) => span("chatObject", effect)
      )
  }
}

type EventList = ReadonlyArray<ChatEvent>

const span = <A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withSpan(effect, `LLMChat.${name}`, { captureStackTrace: false })

/** The text of events. */
const texts = (events: ReadonlyArray<ChatEvent>): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (const event of events) if (isTextDelta(event)) texts.push(event.text)
  return texts
}

/** A turn that was stopped has no value. */
const noValue = (partial: ChatResponse): Effect.Effect<never, MalformedResponseError> =>
  Effect.fail(new MalformedResponseError({ message: "The turn was stopped before its answer was complete", partial }))
