/**
 * The methods of a chat, for a single conversation and for a session of a manager.
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
import type { AskObjectOptions, AskOptions, Input, ObjectOptions, Options as TurnOptions } from "../../Turn.ts"
import { withFields } from "../decode/response.ts"
import { expectedMessage } from "../settingSchemas.ts"
import { turnIdOf } from "../tools/callId.ts"
import { mapElements, toStream } from "../transport/stream.ts"
import type { TurnSpec } from "./beginTurn.ts"
import type { StoreError } from "./content.ts"
import * as Questions from "./questions.ts"
import { isRespond, type Lender, requireContent, Runner, toTurnSpec, type TurnLender } from "./runner.ts"
import { toRunning } from "./runningTurns.ts"
import type { MapEvents } from "./stepLoop.ts"
import * as StructuredOutput from "./structuredOutput.ts"
import { makeTurnId } from "./turnId.ts"
import * as TurnsById from "./turnsById.ts"

/** Makes the methods of a chat. Each call acquires the conversation from the lender. */
export const make = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) => ({
  config,
  ...questionMethods(completions, lender),
  ...turnMethods(withTurnIds(new Runner(completions, lender))),
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
          makeTurnId,
          (turnId) => conversation.background.run(conversation.commit({ turnId, messages, usage: undefined }, true))
        )
      ),
  rewind: (turns = 1) => rewind(lender, turns),
  openCalls: lender.with(Questions.openCalls),
  stop: lender.with((conversation) => Questions.settleCalls(conversation, conversation.stop)),
  stopAll: lender.with((conversation) => Questions.settleCalls(conversation, conversation.stopAll))
})

/** Makes a chat of a manager. Uses `Object.assign` because it takes a tenth of the time of a spread. */
export const makeManaged = (completions: ChatCompletions.Service, config: LLMConfig, lender: Lender) =>
  Object.assign(make(completions, config, lender), backgroundMethods(completions, lender))

const rewind = (
  lender: Lender,
  turns: number
): Effect.Effect<number, StoreError | BusyError | InvalidRequestError> =>
  turns === Infinity || (Number.isInteger(turns) && turns >= 0)
    ? Effect.catchTag(lender.with((conversation) => conversation.rewind(turns)), "Closed", () => rewind(lender, turns))
    : Effect.fail(
      new InvalidRequestError({ message: `turns: ${expectedMessage("an integer of 0 or more, or Infinity", turns)}` })
    )

/**
 * The methods for single questions, which neither read nor write the history. A question with tools is a turn of a
 * temporary conversation.
 */
const questionMethods = (completions: ChatCompletions.Service, lender: Lender) => {
  const unstoredTurns = turnMethods(
    new Runner<TurnLender>(completions, {
      acquire: (scope) => Effect.flatMap(lender.acquire(scope), Questions.withoutHistory)
    }),
    true
  )

  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    lender.with((conversation) =>
      Effect.flatMap(
        Effect.zipRight(requireContent(prompt), Questions.questionRequest(conversation, fromPrompt(prompt))),
        ask
      )
    )

  const askEvents = (prompt: Prompt, options: AskOptions = {}) =>
    options.toolSet !== undefined
      ? mapElements(unstoredTurns.chatEvents(prompt, options), withoutTurnIds)
      : Stream.unwrapScoped(
        Effect.flatMap(Effect.flatMap(Effect.scope, lender.acquire), (conversation) =>
          Effect.map(
            Effect.zipRight(requireContent(prompt), Questions.questionRequest(conversation, fromPrompt(prompt))),
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
          : Effect.map(unstoredTurns.chat(prompt, options), withoutTurnId)
      ),
    askStream: (prompt: Prompt, options?: AskOptions) => mapElements(askEvents(prompt, options), toTexts),
    askEvents,
    askObject: <A, I>(prompt: Prompt, schema: Schema.Schema<A, I>, options: AskObjectOptions = {}) =>
      span(
        "askObject",
        options.toolSet === undefined
          ? askObject(prompt, schema, options)
          : unstoredTurns.chatObject(prompt, schema, options)
      )
  }
}

/** Removes the turn id, because a single question is not a turn of the conversation. */
const withoutTurnId = (response: ChatResponse): ChatResponse => withFields(response, { turnId: undefined })

const withoutTurnIds: MapEvents<ChatEvent> = (events) =>
  events.map((event) => event._tag === "Finish" ? { ...event, response: withoutTurnId(event.response) } : event)

/** Adds support for turn ids that the program chooses. */
const withTurnIds = (runner: Runner): Pick<Runner, "complete" | "stream"> => ({
  complete: (spec, ask) =>
    hasId(spec)
      ? Effect.scopedWith((scope) =>
        Effect.map(
          Effect.flatMap(
            TurnsById.join(runner, spec, TurnsById.complete(runner, spec, ask), scope),
            TurnsById.finalResponse
          ),
          (response) => ({ response })
        )
      )
      : runner.complete(spec, ask),
  stream: (spec, scope, f) =>
    hasId(spec)
      ? Effect.map(
        TurnsById.join(runner, spec, TurnsById.stream(runner, spec), scope),
        (pull) => Effect.map(pull, (events) => f(events.map(({ event }) => event)))
      )
      : runner.stream(spec, scope, f)
})

/** The methods that run a turn. `isFinal` is for temporary conversations: their open calls cannot be answered later. */
const turnMethods = (runner: Pick<Runner, "complete" | "stream">, isFinal = false) => {
  const turnStream = <A>(input: Input, options: TurnOptions = {}, f: MapEvents<A>) => {
    const spec = toTurnSpec(input, options, isFinal)
    return toStream((scope) => runner.stream(spec, scope, f))
  }

  const chat = (input: Input, options: TurnOptions = {}) =>
    runner.complete(
      toTurnSpec(input, options, isFinal),
      (complete, request) => Effect.map(complete(request), (response) => ({ response }))
    ).pipe(
      Effect.map(({ response }) => response),
      (effect) => span("chat", effect)
    )

  return {
    chat,
    regenerate: (options?: TurnOptions) => chat({ _tag: "Regenerate" }, options),
    chatStream: (input: Input, options?: TurnOptions) => turnStream(input, options, toTexts),
    chatEvents: (input: Input, options?: TurnOptions) => turnStream(input, options, identity<EventList>),
    chatObject: <A, I>(
      input: Input,
      schema: Schema.Schema<A, I>,
      { name, repair, ...options }: ObjectOptions = {}
    ) => {
      const objectOptions = { name, repair, runsCalls: options.toolSet !== undefined }
      return runner.complete<A>(
        toTurnSpec(input, options, isFinal),
        (complete, request) => StructuredOutput.ask(complete, request, schema, objectOptions)
      ).pipe(
        Effect.flatMap((answer) => toValue(answer, schema)),
        (effect) => span("chatObject", effect)
      )
    }
  }
}

/** Whether the program chose the id of the turn. */
const hasId = (spec: TurnSpec): spec is TurnsById.TurnSpecWithId => spec.turnId !== undefined

/** Returns the id of a turn before it starts. A continued turn has the id of the stored turn. */
const chooseTurnId = (input: Input, { turnId }: TurnOptions): Effect.Effect<string> => {
  const own = isRespond(input) ? input.answers.map(({ callId }) => turnIdOf(callId))[0] : undefined
  const id = own ?? turnId
  return id === undefined ? makeTurnId : Effect.succeed(id)
}

/** The methods for turns that continue without a consumer. */
const backgroundMethods = (completions: ChatCompletions.Service, lender: Lender) => {
  const runner = new Runner(completions, lender)
  return {
    start: (input: Input, options: TurnOptions = {}) =>
      Effect.flatMap(chooseTurnId(input, options), (turnId) => {
        const spec = { ...toTurnSpec(input, options), turnId }
        return Effect.as(TurnsById.start(runner, spec, TurnsById.stream(runner, spec)), turnId)
      }),
    running: lender.with((conversation) => Effect.sync(() => toRunning(conversation.runningTurns.get()))),
    attach: (turnId?: string, { after = 0 }: { readonly after?: number | undefined } = {}) =>
      toStream((scope) => TurnsById.attach(runner, turnId, after, scope))
  }
}

type EventList = ReadonlyArray<ChatEvent>

const span = <A, E>(name: string, effect: Effect.Effect<A, E>): Effect.Effect<A, E> =>
  Effect.withSpan(effect, `LLMChat.${name}`, { captureStackTrace: false })

/** The texts of the text deltas. */
const toTexts = (events: ReadonlyArray<ChatEvent>): ReadonlyArray<string> => {
  const texts: Array<string> = []
  for (const event of events) if (isTextDelta(event)) texts.push(event.text)
  return texts
}

/** Returns the value of an answer. Fails if the turn was stopped or has open calls. */
const toValue = <A, I>(
  answer: StructuredOutput.ObjectAnswer<A>,
  schema: Schema.Schema<A, I>
): Effect.Effect<A, ChatError> => {
  if ("value" in answer) return Effect.succeed(answer.value)
  const { response: partial } = answer
  if (partial.finishReason !== "interrupted" && partial.toolCalls.length === 0) {
    return StructuredOutput.decodeResponse(schema, partial)
  }
  const message = partial.toolCalls.length > 0
    ? "The turn has no value before its open calls are answered"
    : "The turn was stopped before its answer was complete"
  return Effect.fail(new MalformedResponseError({ message, partial }))
}
