/**
 * The methods of a chat over any conversation that can be acquired: a single one, or a manager's session.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Schema from "effect/Schema"
import * as Stream from "effect/Stream"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, InvalidRequestError, MalformedResponseError } from "../../ChatError.ts"
import { type ChatEvent, isTextDelta } from "../../ChatEvent.ts"
import { type ChatMessage, fromPrompt, type Prompt, type SystemMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { type Changes, type ChatSettings, names as settingNames } from "../../ChatSettings.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { AskObjectOptions, AskOptions, Input, Options as TurnOptions, OptionsOfObject } from "../../Turn.ts"
import { withFields } from "../decode/response.ts"
import { turnIdOf } from "../tools/callId.ts"
import { mapElements, toStream } from "../transport/stream.ts"
import type { StoreError } from "./content.ts"
import * as Identified from "./identified.ts"
import * as LastTurn from "./lastTurn.ts"
import type { Opening } from "./opening.ts"
import { goesOn, type Lender, type MapEvents, notBlank, openingOf, Runner, type TurnLender } from "./run.ts"
import { told } from "./runningTurns.ts"
import * as StructuredOutput from "./structuredOutput.ts"
import { makeId } from "./turnId.ts"

/** A chat over the conversation, which every call acquires anew. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) => ({
  config,
  ...questions(completions, lender),
  ...turns(identified(new Runner(completions, lender))),
  history: lender.with((conversation) => conversation.history),
  usage: lender.with((conversation) => conversation.usage),
  settings: lender.with((conversation) => conversation.settings),
  updateSettings: (changes: Changes) => lender.with((conversation) => conversation.updateSettings(changes)),
  resetSettings: (names: ReadonlyArray<keyof ChatSettings> = settingNames) =>
    lender.with((conversation) => conversation.resetSettings(names)),
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
  openCalls: lender.with(LastTurn.openCalls),
  stop: lender.with((conversation) => LastTurn.settleCalls(conversation, conversation.stop)),
  stopAll: lender.with((conversation) => LastTurn.settleCalls(conversation, conversation.stopAll))
})

/** A manager's chat. A manager makes many: `Object.assign` costs a tenth of a spread. */
export const managed = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) =>
  Object.assign(make(completions, config, lender), started(completions, lender))

const rewind = (lender: Lender, turns: number): Effect.Effect<number, StoreError | BusyError> =>
  Effect.catchTag(lender.with((conversation) => conversation.rewind(turns)), "Closed", () => rewind(lender, turns))

/** The methods that neither read nor write the history. Those with tools are turns of a conversation of their own. */
const questions = (completions: ChatCompletions.Service, lender: Lender) => {
  const alone = turns(
    new Runner<TurnLender>(completions, { acquire: (scope) => Effect.flatMap(lender.acquire(scope), LastTurn.alone) }),
    true
  )

  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    lender.with((conversation) =>
      Effect.flatMap(
        Effect.zipRight(notBlank(prompt), LastTurn.question(conversation, fromPrompt(prompt))),
        ask
      )
    )

  const askEvents = (prompt: Prompt, options: AskOptions = {}) =>
    options.toolSet !== undefined ? mapElements(alone.chatEvents(prompt, options), withoutTurns) : Stream.unwrapScoped(
      Effect.flatMap(Effect.flatMap(Effect.scope, lender.acquire), (conversation) =>
        Effect.map(
          Effect.zipRight(notBlank(prompt), LastTurn.question(conversation, fromPrompt(prompt))),
          (request) => completions.stream({ ...request, options })
        ))
    )

  const askObject = <A, I>(
    prompt: Prompt,
    schema: Schema.Schema<A, I>,
    { name, repair, ...options }: AskObjectOptions
  ) =>
    Effect.flatMap(
      question(prompt, (request) =>
        StructuredOutput.ask(completions.complete, { ...request, options }, schema, { name, repair })),
      (answer) =>
        toValue(answer, schema)
    )

  return {
    ask: (prompt: Prompt, options: AskOptions = {}) =>
      span(
        "ask",
        options.toolSet === undefined
          ? question(prompt, (request) => completions.complete({ ...request, options }))
          : Effect.map(alone.chat(prompt, options), withoutTurn)
      ),
    askStream: (prompt: Prompt, options?: AskOptions) => mapElements(askEvents(prompt, options), texts),
    askEvents,
    askObject: <A, I>(prompt: Prompt, schema: Schema.Schema<A, I>, options: AskObjectOptions = {}) =>
      span(
        "askObject",
        options.toolSet === undefined ? askObject(prompt, schema, options) : alone.chatObject(prompt, schema, options)
      )
  }
}

/** A question is no turn of the conversation. */
const withoutTurn = (response: ChatResponse): ChatResponse => withFields(response, { turnId: undefined })

const withoutTurns: MapEvents<ChatEvent> = (events) =>
  events.map((event) => event._tag === "Finish" ? { ...event, response: withoutTurn(event.response) } : event)

/** Turns whose ids the program may choose. */
const identified = (runner: Runner): Pick<Runner, "whole" | "stream"> => ({
  whole: (opening, ask) =>
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
      : runner.whole(opening, ask),
  stream: (opening, scope, f) =>
    hasId(opening)
      ? Effect.map(
        Identified.join(runner, opening, Identified.streamed(runner, opening), scope),
        (pull) => Effect.map(pull, (events) => f(events.map(({ event }) => event)))
      )
      : runner.stream(opening, scope, f)
})

/** The methods that are turns. Those of a conversation that ends with them are final. */
const turns = (runner: Pick<Runner, "whole" | "stream">, isFinal = false) => {
  const turnStream = <A>(input: Input, options: TurnOptions = {}, f: MapEvents<A>) => {
    const opening = openingOf(input, options, isFinal)
    return toStream((scope) => runner.stream(opening, scope, f))
  }

  const chat = (input: Input, options: TurnOptions = {}) =>
    runner.whole(
      openingOf(input, options, isFinal),
      (complete, request) => Effect.map(complete(request), (response) => ({ response }))
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
      { name, repair, ...options }: OptionsOfObject = {}
    ) => {
      const how = { name, repair, runsCalls: options.toolSet !== undefined }
      return runner.whole<A>(
        openingOf(input, options, isFinal),
        (complete, request) => StructuredOutput.ask(complete, request, schema, how)
      ).pipe(
        Effect.flatMap((answer) => toValue(answer, schema)),
        (effect) => span("chatObject", effect)
      )
    }
  }
}

/** Whether the program chose the id of the turn. */
const hasId = (opening: Opening): opening is Identified.Opening => opening.turnId !== undefined

/** The id of a turn that starts. A turn that goes on keeps its own. */
const idOf = (input: Input, { turnId }: TurnOptions): Effect.Effect<string> => {
  const own = goesOn(input) ? input.answers.map(({ callId }) => turnIdOf(callId))[0] : undefined
  const id = own ?? turnId
  return id === undefined ? makeId : Effect.succeed(id)
}

/** The methods for turns that continue when their callers leave. */
const started = (completions: ChatCompletions.Service, lender: Lender) => {
  const runner = new Runner(completions, lender)
  return {
    start: (input: Input, options: TurnOptions = {}) =>
      Effect.flatMap(idOf(input, options), (turnId) => {
        const opening = { ...openingOf(input, options), turnId }
        return Effect.as(Identified.start(runner, opening, Identified.streamed(runner, opening)), turnId)
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

/** A turn that was stopped has no value, and so has one with open calls. */
const toValue = <A, I>(
  answer: StructuredOutput.Answer<A>,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ChatError> => {
  if ("value" in answer) return Effect.succeed(answer.value)
  const { response: partial } = answer
  if (partial.finishReason !== "interrupted" && partial.toolCalls.length === 0) {
    return StructuredOutput.decoded(schema, partial)
  }
  const message = partial.toolCalls.length > 0
    ? "The turn has no value before its open calls are answered"
    : "The turn was stopped before its answer was complete"
  return Effect.fail(new MalformedResponseError({ message, partial }))
}
