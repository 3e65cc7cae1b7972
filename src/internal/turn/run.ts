/**
 * Runs the turns of a chat: with one response, or as a stream of events.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, type HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import { fromPrompt } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { Input, Options as TurnOptions, Respond } from "../../Turn.ts"
import { type Pull, toPull } from "../transport/stream.ts"
import type { TurnInput } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import * as Opening from "./opening.ts"
import * as Steps from "./steps.ts"
import type * as StructuredOutput from "./structuredOutput.ts"
import type { Turn } from "./turn.ts"

/** Lends the conversation to a method call: it is in use meanwhile. */
export interface Lender {
  /** Lends it to one effect. */
  readonly with: <A, E>(f: (conversation: Conversation) => Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Lends it until the scope closes. */
  readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation>
}

/** Lends the conversation to a turn. */
export interface TurnLender {
  readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation, HistoryStoreError>
}

export type Complete = ChatCompletions.Service["complete"]

/** Maps the events of a stream, a chunk at a time. */
export type MapEvents<A> = (events: ReadonlyArray<ChatEvent>) => ReadonlyArray<A>

/** Asks for the answer of a turn. */
export type Ask<A> = (complete: Complete, request: ChatRequest) => Effect.Effect<StructuredOutput.Answer<A>, ChatError>

/** What a turn can fail with before it asks. */
type BeginError = BusyError | HistoryStoreError | InvalidRequestError

/** A turn that holds the lock, before its first request. It may turn out that nothing is to be asked. */
type Check<E> = (turn: Turn) => Effect.Effect<Turn, E | BeginError>

/** A conversation that ends while a turn waits for it leaves the turn to the next conversation. */
const begin = (
  lender: TurnLender,
  opening: Opening.Opening,
  scope: Scope.Scope
): Effect.Effect<Turn, BeginError> =>
  Effect.zipRight(complete(opening), lender.acquire(scope)).pipe(
    Effect.flatMap((conversation) => Opening.begin(conversation, opening, scope)),
    Effect.catchTag("Closed", () => begin(lender, opening, scope))
  )

/** The turns of one chat. */
export class Runner<L extends TurnLender = Lender> {
  readonly lender: L
  readonly #completions: ChatCompletions.Service

  constructor(completions: ChatCompletions.Service, lender: L) {
    this.#completions = completions
    this.lender = lender
  }

  /** The same turns over another lender. */
  over(lender: Lender): Runner {
    return new Runner(this.#completions, lender)
  }

  /** A turn whose answer comes as one response. */
  whole<A, E = never>(
    opening: Opening.Opening,
    ask: Ask<A>,
    check: Check<E> = Effect.succeed
  ): Effect.Effect<StructuredOutput.Answer<A>, ChatError | E> {
    const { complete } = this.#completions
    return Effect.scopedWith((scope) =>
      Effect.flatMap(
        Effect.flatMap(begin(this.lender, opening, scope), check),
        (turn): Effect.Effect<StructuredOutput.Answer<A>, ChatError> => {
          const metered = turn.meter.metered(complete)
          return Steps.complete(turn, (f) => Steps.send(turn, complete, f), (request) => ask(metered, request))
        }
      )
    )
  }

  /** A turn whose answer is streamed. Its resources belong to the scope. */
  stream<A, E = never>(
    opening: Opening.Opening,
    scope: Scope.Scope,
    f: MapEvents<A>,
    check: Check<E> = Effect.succeed
  ): Effect.Effect<Pull<A, ChatError>, ChatError | E> {
    const { complete, stream } = this.#completions
    return Effect.map(Effect.flatMap(begin(this.lender, opening, scope), check), (turn) => {
      const open = (request: ChatRequest) => {
        turn.meter.begin(request)
        return toPull(stream(request), turn.scope, turn.signal)
      }
      return Steps.events(turn, (f) => Steps.send(turn, complete, f), open, f)
    })
  }
}

/**
 * The input and the options as they are now: a program may go on to change its arrays. Calls of a final turn that need an
 * approval cannot wait for one.
 */
export const openingOf = (
  input: Input,
  { approvalTimeout, approve, context, maxSteps, toolConcurrency, toolSet, turnId, ...options }: TurnOptions,
  isFinal = false
): Opening.Opening => ({
  input: typeof input === "string" || !("_tag" in input)
    ? fromPrompt(input)
    : input._tag === "Replace"
    ? { ...input, prompt: fromPrompt(input.prompt) }
    : input,
  context: context === undefined ? undefined : fromPrompt(context),
  // A turn that goes on has its id.
  turnId: goesOn(input) ? undefined : turnId,
  options,
  tools: toolSet && (() => toolSet.forTurn({ approvalTimeout, approve, isFinal, maxSteps, toolConcurrency }))
})

/** Whether the input goes on with a turn that is stored. */
export const goesOn = (input: Input): input is Respond =>
  typeof input !== "string" && "_tag" in input && input._tag === "Respond"

const complete = ({ input, tools }: Opening.Opening): Effect.Effect<unknown, InvalidRequestError> =>
  goesOn(input) && tools === undefined
    ? Effect.fail(new InvalidRequestError({ message: "Answers to open calls need the toolSet of the calls" }))
    : notBlank(input)

/** A blank prompt asks nothing, and servers refuse it. */
export const notBlank = (input: Input): Effect.Effect<unknown, InvalidRequestError> => {
  if (typeof input !== "string" && "_tag" in input) {
    return input._tag === "Replace" ? notBlank(input.prompt) : Effect.void
  }
  return fromPrompt(input).some(asks)
    ? Effect.void
    : Effect.fail(new InvalidRequestError({ message: "The prompt is blank: it must have a text or another part" }))
}

/** Whether a message asks something. The result of a tool may be empty. */
const asks = ({ content, role }: TurnInput[number]): boolean => {
  if (role === "tool") return true
  return typeof content === "string"
    ? content.trim() !== ""
    : content.some((part) => part.type !== "text" || part.text.trim() !== "")
}
