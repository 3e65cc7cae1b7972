/**
 * The methods of a chat over any conversation that can be acquired: a single one, or a manager's session.
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import type * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import {
  type BusyError,
  type ChatError,
  type HistoryStoreError,
  InvalidRequestError,
  MalformedResponseError
} from "../../ChatError.ts"
import { type ChatEvent, isTextDelta } from "../../ChatEvent.ts"
import { type ChatMessage, fromPrompt, type Prompt, type SystemMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Changes } from "../../ChatSettings.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type { AskObjectOptions, AskOptions, Input, Options as TurnOptions, OptionsOfObject } from "../../Turn.ts"
import { change } from "../decode/response.ts"
import { mapElements, toPull, toStream } from "../transport/stream.ts"
import type { StoreError, TurnInput } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import * as LastTurn from "./lastTurn.ts"
import { send } from "./steps.ts"
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
  append: (messages: ReadonlyArray<Exclude<ChatMessage, SystemMessage>>) =>
    messages.length === 0
      ? Effect.fail(new InvalidRequestError({ message: "append needs at least one message" }))
      : lender.with((conversation) =>
        Effect.flatMap(
          Turn.makeId,
          (turnId) => conversation.background.run(conversation.commit({ turnId, messages, usage: undefined }))
        )
      ),
  rewind: (turns = 1) => rewind(lender, turns),
  openCalls: lender.with(LastTurn.openCalls),
  stop: lender.with((conversation) => Effect.zipRight(conversation.stop, LastTurn.settleCalls(conversation))),
  stopAll: lender.with((conversation) => Effect.zipRight(conversation.stopAll, LastTurn.settleCalls(conversation)))
})

const rewind = (lender: Lender, turns: number): Effect.Effect<number, StoreError | BusyError> =>
  Effect.catchTag(lender.with((conversation) => conversation.rewind(turns)), "Closed", () => rewind(lender, turns))

/** A blank prompt asks nothing, and servers refuse it. */
const notBlank = (prompt: Prompt): Effect.Effect<Prompt, InvalidRequestError> =>
  fromPrompt(prompt).some(asks)
    ? Effect.succeed(prompt)
    : Effect.fail(new InvalidRequestError({ message: "The prompt is blank: it must have a text or another part" }))

/** Whether a message asks something. The result of a tool may be empty. */
const asks = ({ content, role }: TurnInput[number]): boolean => {
  if (role === "tool") return true
  return typeof content === "string"
    ? content.trim() !== ""
    : content.some((part) => part.type !== "text" || part.text.trim() !== "")
}

/** The input and the options as they are now: a program may go on to change its arrays. */
const openingOf = (
  input: Input,
  { approvalTimeout, approve, context, maxSteps, toolConcurrency, toolSet, ...options }: TurnOptions
): Turn.Opening => ({
  input: typeof input === "string" || !("_tag" in input)
    ? fromPrompt(input)
    : input._tag === "Replace"
    ? { ...input, prompt: fromPrompt(input.prompt) }
    : input,
  context: context === undefined ? undefined : fromPrompt(context),
  options,
  tools: toolSet && (() => toolSet.forTurn({ approvalTimeout, approve, maxSteps, toolConcurrency }))
})

const openingIsComplete = ({ input, tools }: Turn.Opening): Effect.Effect<unknown, InvalidRequestError> => {
  if (typeof input === "string" || !("_tag" in input)) return notBlank(input)
  if (input._tag === "Respond" && tools === undefined) {
    return Effect.fail(new InvalidRequestError({ message: "Answers to open calls need the toolSet of the calls" }))
  }
  return input._tag === "Replace" ? notBlank(input.prompt) : Effect.void
}

/** The methods that neither read nor write the history. Those with tools are turns of a conversation of their own. */
const questions = (completions: ChatCompletions.Service, lender: Lender) => {
  const alone = turns(completions, { acquire: (scope) => Effect.flatMap(lender.acquire(scope), LastTurn.alone) })

  const question = <A>(prompt: Prompt, ask: (request: ChatRequest) => Effect.Effect<A, ChatError>) =>
    lender.with((conversation) =>
      Effect.flatMap(
        notBlank(prompt),
        (prompt) => Effect.flatMap(LastTurn.question(conversation, fromPrompt(prompt)), ask)
      )
    )

  const askEvents = (prompt: Prompt, options: AskOptions = {}) =>
    options.toolSet !== undefined ? mapElements(alone.chatEvents(prompt, options), withoutTurns) : Stream.unwrapScoped(
      Effect.flatMap(Effect.flatMap(Effect.scope, lender.acquire), (conversation) =>
        Effect.map(
          Effect.flatMap(notBlank(prompt), (prompt) => LastTurn.question(conversation, fromPrompt(prompt))),
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
      toValue
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
const withoutTurn = (response: ChatResponse): ChatResponse => change(response, { turnId: undefined })

const withoutTurns: MapEvents<ChatEvent> = (events) =>
  events.map((event) => event._tag === "Finish" ? { ...event, response: withoutTurn(event.response) } : event)

/** The methods that are turns. */
const turns = (
  completions: ChatCompletions.Service,
  lender: { readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation, HistoryStoreError> }
) => {
  /** A conversation that ends while a turn waits for it leaves the turn to the next conversation. */
  const begin = (
    opening: Turn.Opening,
    scope: Scope.Scope
  ): Effect.Effect<Turn.Turn, BusyError | HistoryStoreError | InvalidRequestError> =>
    Effect.zipRight(openingIsComplete(opening), lender.acquire(scope)).pipe(
      Effect.flatMap((conversation) => Turn.begin(conversation, opening, scope)),
      Effect.catchTag("Closed", () => begin(opening, scope))
    )

  const turn = <A>(
    opening: Turn.Opening,
    ask: (
      complete: Complete,
      request: ChatRequest,
      turn: Turn.Turn
    ) => Effect.Effect<StructuredOutput.Answer<A>, ChatError>
  ) =>
    Effect.scopedWith((scope) =>
      Effect.flatMap(begin(opening, scope), (turn): Effect.Effect<StructuredOutput.Answer<A>, ChatError> => {
        const complete = turn.meter.metered(completions.complete)
        return Steps.complete(
          turn,
          (f) => send(turn, completions.complete, f),
          (request) => ask(complete, request, turn)
        )
      })
    )

  const turnStream = <A>(
    input: Input,
    options: TurnOptions = {},
    f: MapEvents<A>
  ) => {
    const opening = openingOf(input, options)
    return toStream((scope) =>
      Effect.map(begin(opening, scope), (turn) => {
        const open = (request: ChatRequest) => {
          turn.meter.begin(request)
          return toPull(completions.stream(request), turn.scope, turn.signal)
        }
        return Steps.events(turn, (f) => send(turn, completions.complete, f), open, f)
      })
    )
  }

  const chat = (input: Input, options: TurnOptions = {}) =>
    turn(
      openingOf(input, options),
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
    ) =>
      turn(
        openingOf(input, options),
        (complete, request, turn) =>
          StructuredOutput.ask(complete, request, schema, { name, repair, runsCalls: turn.tools !== undefined })
      ).pipe(
        Effect.flatMap(toValue),
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

/** A turn that was stopped has no value, and so has one with open calls. */
const toValue = <A>(answer: StructuredOutput.Answer<A>): Effect.Effect<A, MalformedResponseError> => {
  const { response: partial } = answer
  if ("value" in answer) return Effect.succeed(answer.value)
  const message = partial.toolCalls.length > 0
    ? "The turn has no value before its open calls are answered"
    : "The turn was stopped before its answer was complete"
  return Effect.fail(new MalformedResponseError({ message, partial }))
}
