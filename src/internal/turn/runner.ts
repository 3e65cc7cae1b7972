/**
 * Runs the turns of a chat, with a complete response or as a stream of events.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as ChatCompletions from "../../ChatCompletions.ts"
import { type BusyError, type ChatError, type HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { fromPrompt } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { Input, Options as TurnOptions, Respond } from "../../Turn.ts"
import { type Pull, toPull } from "../transport/stream.ts"
import { beginTurn, type TurnSpec } from "./beginTurn.ts"
import type { TurnInput } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Complete } from "./meter.ts"
import * as StepLoop from "./stepLoop.ts"
import type * as StructuredOutput from "./structuredOutput.ts"
import type { Turn } from "./turn.ts"

/** Gives access to the conversation of a chat, and marks it as in use. */
export interface Lender {
  /** Uses the conversation while the effect runs. */
  readonly with: <A, E>(f: (conversation: Conversation) => Effect.Effect<A, E>) => Effect.Effect<A, E>
  /** Uses the conversation until the scope closes. */
  readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation>
}

/** Gives turns access to their conversation. Acquiring it can fail. */
export interface TurnLender {
  readonly acquire: (scope: Scope.Scope) => Effect.Effect<Conversation, HistoryStoreError>
}

/** Sends the request of one step. */
export type Ask<A> = (
  complete: Complete,
  request: ChatRequest
) => Effect.Effect<StructuredOutput.ObjectAnswer<A>, ChatError>

/** The errors of a turn before its first request. */
type BeginError = BusyError | HistoryStoreError | InvalidRequestError

/** Checks a turn that holds the lock, before its first request. Fails if the turn must not send a request. */
type Check<E> = (turn: Turn) => Effect.Effect<Turn, E | BeginError>

/** Acquires the conversation and its lock. If the conversation is closed meanwhile, retries with the next one. */
const begin = (
  lender: TurnLender,
  spec: TurnSpec,
  scope: Scope.Scope
): Effect.Effect<Turn, BeginError> =>
  Effect.zipRight(validateInput(spec), lender.acquire(scope)).pipe(
    Effect.flatMap((conversation) => beginTurn(conversation, spec, scope)),
    Effect.catchTag("Closed", () => begin(lender, spec, scope))
  )

/** The turns of one chat. */
export class Runner<L extends TurnLender = Lender> {
  readonly lender: L
  readonly #completions: ChatCompletions.Service

  constructor(completions: ChatCompletions.Service, lender: L) {
    this.#completions = completions
    this.lender = lender
  }

  /** A runner of the same completions with another lender. */
  withLender(lender: Lender): Runner {
    return new Runner(this.#completions, lender)
  }

  /** Runs a turn with complete answers. */
  complete<A, E = never>(
    spec: TurnSpec,
    ask: Ask<A>,
    check: Check<E> = Effect.succeed
  ): Effect.Effect<StructuredOutput.ObjectAnswer<A>, ChatError | E> {
    const { complete } = this.#completions
    return Effect.scopedWith((scope) =>
      Effect.flatMap(
        Effect.flatMap(begin(this.lender, spec, scope), check),
        (turn): Effect.Effect<StructuredOutput.ObjectAnswer<A>, ChatError> => {
          const metered = turn.meter.metered(complete)
          return StepLoop.complete(turn, (f) => StepLoop.send(turn, complete, f), (request) => ask(metered, request))
        }
      )
    )
  }

  /** Runs a turn with streamed answers. Its resources belong to the scope. */
  stream<A, E = never>(
    spec: TurnSpec,
    scope: Scope.Scope,
    f: StepLoop.MapEvents<A>,
    check: Check<E> = Effect.succeed
  ): Effect.Effect<Pull<A, ChatError>, ChatError | E> {
    const { complete, stream } = this.#completions
    return Effect.map(Effect.flatMap(begin(this.lender, spec, scope), check), (turn) => {
      const open = (request: ChatRequest) => {
        turn.meter.begin(request)
        return toPull(stream(request), turn.scope, turn.signal)
      }
      return StepLoop.stream(turn, (f) => StepLoop.send(turn, complete, f), open, f)
    })
  }
}

/**
 * Converts the input and the options of a method call. Copies the prompts, because a program may change its arrays later.
 * `isFinal` denies the calls that need an approval if there is no `approve`.
 */
export const toTurnSpec = (
  input: Input,
  { approvalTimeout, approve, context, maxSteps, toolConcurrency, toolSet, turnId, ...options }: TurnOptions,
  isFinal = false
): TurnSpec => ({
  input: typeof input === "string" || !("_tag" in input)
    ? fromPrompt(input)
    : input._tag === "Replace"
    ? { ...input, prompt: fromPrompt(input.prompt) }
    : input,
  context: context === undefined ? undefined : fromPrompt(context),
  // A continued turn already has an id.
  turnId: isRespond(input) ? undefined : turnId,
  options,
  tools: toolSet && (() => toolSet.forTurn({ approvalTimeout, approve, isFinal, maxSteps, toolConcurrency }))
})

/** Whether the input continues a stored turn. */
export const isRespond = (input: Input): input is Respond =>
  typeof input !== "string" && "_tag" in input && input._tag === "Respond"

const validateInput = ({ input, tools }: TurnSpec): Effect.Effect<unknown, InvalidRequestError> =>
  isRespond(input) && tools === undefined
    ? Effect.fail(new InvalidRequestError({ message: "Answers to open calls need the toolSet of the calls" }))
    : requireContent(input)

/** Fails if the prompt is blank, because servers refuse it. */
export const requireContent = (input: Input): Effect.Effect<unknown, InvalidRequestError> => {
  if (typeof input !== "string" && "_tag" in input) {
    return input._tag === "Replace" ? requireContent(input.prompt) : Effect.void
  }
  return fromPrompt(input).some(hasContent)
    ? Effect.void
    : Effect.fail(new InvalidRequestError({ message: "The prompt is blank: it must have a text or another part" }))
}

/** Whether a message has content. The result of a tool may be empty. */
const hasContent = ({ content, role }: TurnInput[number]): boolean => {
  if (role === "tool") return true
  return typeof content === "string"
    ? content.trim() !== ""
    : content.some((part) => part.type !== "text" || part.text.trim() !== "")
}
