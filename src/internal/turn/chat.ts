/**
 * The methods of a chat over any conversation that can be acquired: a single one, or a manager's session.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type { CallOptions, ObjectOptions } from "../../CallOptions.ts"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, InvalidRequestError, MalformedResponseError } from "../../ChatError.ts"
import { type ChatEvent, isTextDelta } from "../../ChatEvent.ts"
import { type ChatMessage, fromPrompt, type Prompt, type SystemMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Changes } from "../../ChatSettings.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { Input, Options as TurnOptions, OptionsOfObject } from "../../Turn.ts"
import { mapElements, toStream } from "../transport/stream.ts"
import type { StoreError } from "./content.ts"
import * as Identified from "./identified.ts"
import { type Answer, type Ask, type Lender, type MapEvents, notBlank, openingOf, Runner } from "./run.ts"
import { told } from "./runningTurns.ts"
import * as StructuredOutput from "./structuredOutput.ts"
import { makeId, type Opening } from "./turn.ts"

/** A chat over the conversation, which every call acquires anew. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) => ({
  config,
  ...questions(completions, lender),
  ...turns(new Runner(completions, lender)),
  history: lender.with((conversation) => conversation.history),
  usage: lender.with((conversation) => conversation.usage),
  settings: lender.with((conversation) => conversation.settings),
  updateSettings: (changes: Changes) => lender.with((conversation) => conversation.updateSettings(changes)),
  updateSystemPrompt: (prompt: string) => lender.with((conversation) => conversation.updateSystemPrompt(prompt)),
  clearHistory: lender.with((conversation) => conversation.clear),
  save: lender.with((conversation) => conversation.save),
  append: (messages: ReadonlyArray<Exclude<ChatMessage, SystemMessage>>) =>
    messages.length === 0
      ? Effect.fail(new InvalidRequestError({ message: "append needs at least one message" }))
      : lender.with((conversation) =>
        Effect.flatMap(
          makeId,
          (turnId) => conversation.background.run(conversation.commit({ turnId, messages, usage: undefined }, true))
        )
      ),
  rewind: (turns = 1) => rewind(lender, turns),
  stop: lender.with((conversation) => conversation.stop),
  stopAll: lender.with((conversation) => conversation.stopAll)
})

const rewind = (lender: Lender, turns: number): Effect.Effect<number, StoreError | BusyError> =>
  Effect.catchTag(lender.with((conversation) => conversation.rewind(turns)), "Closed", () => rewind(lender, turns))

/** The methods that neither read nor write the history. */
const questions = (completions: ChatCompletions.Service, lender: Lender) => {
  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    lender.with((conversation) =>
      Effect.flatMap(
        Effect.zipRight(notBlank(prompt), conversation.question(fromPrompt(prompt))),
        ask
      )
    )

  const askEvents = (prompt: Prompt, options?: CallOptions) =>
    Stream.unwrapScoped(
      Effect.flatMap(Effect.flatMap(Effect.scope, lender.acquire), (conversation) =>
        Effect.map(
          Effect.zipRight(notBlank(prompt), conversation.question(fromPrompt(prompt))),
          (request) => completions.stream({ ...request, options })
        ))
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
const turns = (runner: Runner) => {
  /** The response of a turn. */
  const whole = <A>(opening: Opening, ask: Ask<A>): Effect.Effect<Answer<A>, ChatError> =>
    hasId(opening)
      ? Effect.scopedWith((scope) =>
        Effect.map(
          Effect.flatMap(
            Identified.join(runner, opening, Identified.whole(runner, opening, ask), scope),
            Identified.responseIn
          ),
          (response) => ({ response })
        )
      )
      : runner.whole(opening, ask)

  const turnStream = <A>(input: Input, { context, turnId, ...options }: TurnOptions = {}, f: MapEvents<A>) => {
    const opening = openingOf(input, { context, turnId })
    return toStream((scope) =>
      hasId(opening)
        ? Effect.map(
          Identified.join(runner, opening, Identified.streamed(runner, opening, options), scope),
          (pull) => Effect.map(pull, (events) => f(events.map(({ event }) => event)))
        )
        : runner.stream(opening, options, scope, f)
    )
  }

  const chat = (input: Input, { context, turnId, ...options }: TurnOptions = {}) =>
    whole(
      openingOf(input, { context, turnId }),
      (complete, request) => Effect.map(complete({ ...request, options }), (response) => ({ response }))
    ).pipe(
      Effect.map(({ response }) => response),
      (effect) => span("chat", effect)
    )

  return {
    chat,
    regenerate: (options?: TurnOptions) => chat({ _tag: "Regenerate" }, options),
    chatStream: (input: Input, options?: TurnOptions) => turnStream(input, options, texts),
    chatEvents: (input: Input, options?: TurnOptions) => turnStream(input, options, identity<EventList>),
    chatObject: <A, I>(
      input: Input,
      schema: Schema.Schema<A, I>,
      { context, turnId, ...options }: OptionsOfObject = {}
    ) =>
      whole<A>(
        openingOf(input, { context, turnId }),
        (complete, request) => StructuredOutput.ask(complete, request, schema, options)
      ).pipe(
        Effect.flatMap((answer) => {
          if ("value" in answer) return Effect.succeed(answer.value)
          return answer.response.finishReason === "interrupted"
            ? noValue(answer.response)
            : StructuredOutput.decoded(schema, answer.response)
        }),
        (effect) => span("chatObject", effect)
      )
  }
}

/** Whether the program chose the id of the turn. */
const hasId = (opening: Opening): opening is Identified.Opening => opening.turnId !== undefined

/** The methods of a manager's chat for turns that go on when their callers leave. */
export const started = (completions: ChatCompletions.Service, lender: Lender) => {
  const runner = new Runner(completions, lender)
  return {
    start: (input: Input, { context, turnId, ...options }: TurnOptions = {}) =>
      Effect.flatMap(turnId === undefined ? makeId : Effect.succeed(turnId), (turnId) => {
        const opening = { ...openingOf(input, { context, turnId }), turnId }
        return Effect.as(Identified.start(runner, opening, Identified.streamed(runner, opening, options)), turnId)
      }),
    running: lender.with((conversation) => Effect.sync(() => told(conversation.running.get()))),
    attach: (turnId?: string, { after = 0 }: { readonly after?: number | undefined } = {}) =>
      toStream((scope) => Identified.attach(runner, turnId, after, scope))
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
