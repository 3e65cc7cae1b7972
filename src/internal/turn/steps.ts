/**
 * The loop of a turn's steps, for answers that come as one response and for answers that are streamed, and the request
 * that each step sends.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { ChatError } from "../../ChatError.ts"
import { type ChatEvent, type Finish, isFinish } from "../../ChatEvent.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { ChatRequest } from "../../ChatRequest.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import type { Input } from "../../HistorySelection.ts"
import * as HistoryWindow from "../../HistoryWindow.ts"
import { finishEvent } from "../decode/response.ts"
import { estimateUsage } from "../request/estimate.ts"
import { ended, type Pull } from "../transport/stream.ts"
import { type Stopped, stopped } from "../transport/wait.ts"
import { type Batch, EventQueue } from "./eventQueue.ts"
import type { Restore, Turn } from "./turn.ts"

/** Sends the request of the turn's next step. */
export type Send = <A>(
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
) => Effect.Effect<A, ChatError | Stopped>

/** An answer that comes as one response. */
interface Answer {
  readonly response: ChatResponse
}

/** Runs the steps of a turn, each with one response. A turn that was stopped has the response alone. */
export const complete = <A extends Answer>(
  turn: Turn,
  send: Send,
  ask: (request: ChatRequest) => Effect.Effect<A, ChatError>
): Effect.Effect<A | Answer, ChatError> =>
  Effect.uninterruptibleMask((restore) => {
    const step: Effect.Effect<A | Answer, ChatError | Stopped> = Effect.matchEffect(
      restore(send((request) => turn.wait(ask(request)))),
      {
        onFailure: (error) =>
          error._tag === "Stopped"
            ? Effect.fail(error)
            : turn.fail(error, restore),
        onSuccess: (answer) =>
          Effect.flatMap(
            turn.endStep(answer.response, restore),
            (response) => response === undefined ? step : Effect.succeed({ ...answer, response })
          )
      }
    )
    const { resumed } = turn
    const first = resumed === undefined ? step : Effect.flatMap(
      turn.resume(resumed, restore),
      (response) => response === undefined ? step : Effect.succeed({ response })
    )
    return Effect.catchTag(first, "Stopped", () => Effect.map(restore(turn.interrupted), (response) => ({ response })))
  })

/** The events of a turn, as its consumer pulls them. */
export const events = <A>(
  turn: Turn,
  send: Send,
  open: (request: ChatRequest) => Pull<ChatEvent, ChatError>,
  f: MapEvents<A>
): Pull<A, ChatError> => new TurnEvents(turn, send, open, f).pull

/** Maps events, a chunk at a time. */
type MapEvents<A> = (events: ReadonlyArray<ChatEvent>) => ReadonlyArray<A>

type Calls = EventQueue<ChatResponse | undefined, ChatError | Stopped>

/** The loop of a streamed turn. */
class TurnEvents<A> {
  readonly #turn: Turn
  readonly #f: MapEvents<A>
  readonly #first: Pull<ChatEvent, ChatError>
  /** The step's answer, once its first events have arrived. */
  #answer: Pull<ChatEvent, ChatError> | undefined
  /** The handlers that run. */
  #calls: Calls | undefined
  /** What follows the end of the turn: nothing, or the error that ended it. */
  #end: Pull<A, ChatError> | undefined

  constructor(
    turn: Turn,
    send: Send,
    open: (request: ChatRequest) => Pull<ChatEvent, ChatError>,
    f: MapEvents<A>
  ) {
    this.#turn = turn
    this.#f = f
    this.#first = Effect.mapError(
      send((request) => {
        const pull = open(request)
        return Effect.mapBoth(pull, {
          onFailure: Option.getOrElse(() => stopped),
          onSuccess: (events) => {
            this.#answer = pull
            return events
          }
        })
      }),
      (error) => error._tag === "Stopped" ? Option.none() : Option.some(error)
    )
  }

  readonly pull: Pull<A, ChatError> = Effect.suspend(() => {
    if (this.#end !== undefined) return this.#end
    if (this.#calls !== undefined) return Effect.flatMap(this.#calls.next, this.#receiveBatch)
    if (this.#turn.hasEnded) return this.#interrupted
    const { resumed } = this.#turn
    return resumed === undefined
      ? Effect.matchEffect(this.#answer ?? this.#first, this.#receive)
      : Effect.zipRight(this.#runCalls((restore) => this.#turn.resume(resumed, restore)), this.pull)
  })

  readonly #receive = {
    onSuccess: (events: ReadonlyArray<ChatEvent>): Pull<A, ChatError> => {
      if (this.#turn.hasEnded) return this.#interrupted
      const last = events[events.length - 1]
      if (last !== undefined && isFinish(last)) return this.#endStep(events.slice(0, -1), last)
      this.#turn.receive(events)
      return Effect.succeed(this.#f(events))
    },
    onFailure: (error: Option.Option<ChatError>): Pull<A, ChatError> => {
      if (Option.isSome(error)) return this.#fail(error.value)
      return this.#turn.hasEnded ? this.#interrupted : this.#fail(this.#turn.truncated)
    }
  }

  /** Events before the end of a step are emitted, also if the turn fails at its end. */
  #endStep(before: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> {
    const { tools } = this.#turn
    if (tools !== undefined && !tools.isLast && event.response.toolCalls.length > 0) {
      const begin = this.#runCalls((restore) => this.#turn.endStep(event.response, restore))
      return before.length === 0 ? Effect.zipRight(begin, this.pull) : Effect.map(begin, () => this.#f(before))
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Effect.exit(this.#turn.endStep(event.response, restore)),
        (exit) => this.#afterStep(before, exit, restore, event)
      )
    )
  }

  /** Runs handlers in a fiber of the turn, whose events are pulled meanwhile. */
  #runCalls(
    end: (restore: Restore) => Effect.Effect<ChatResponse | undefined, ChatError | Stopped>
  ): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const calls: Calls = new EventQueue()
      this.#calls = calls
      this.#turn.emit = calls.emit
      return Effect.flatMap(
        Effect.forkDaemon(calls.run(end(Effect.interruptible))),
        (fiber) => interruptAtEnd(this.#turn, fiber)
      )
    }))
  }

  readonly #receiveBatch = (
    { events, exit }: Batch<ChatResponse | undefined, ChatError | Stopped>
  ): Pull<A, ChatError> => {
    if (exit === undefined) return Effect.succeed(this.#f(events))
    this.#calls = undefined
    return Effect.suspend(() => this.#afterStep(events, exit, (effect) => effect))
  }

  #afterStep(
    before: ReadonlyArray<ChatEvent>,
    exit: Exit.Exit<ChatResponse | undefined, ChatError | Stopped>,
    restore: Restore,
    event?: Finish
  ): Pull<A, ChatError> {
    const emit = Effect.suspend(() => Effect.succeed(this.#f(before)))
    if (Exit.isSuccess(exit)) {
      const response = exit.value
      if (response !== undefined) {
        return this.#finish(before, response === event?.response ? event : finishEvent(response))
      }
      this.#answer = undefined
      return before.length === 0 ? restore(this.pull) : emit
    }
    const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
    if (error?._tag === "Stopped") return restore(this.#interrupted)
    this.#end = error === undefined
      ? Effect.failCause(Cause.map(exit.cause, () => Option.none()))
      : Effect.fail(Option.some(error))
    return before.length === 0 ? this.#end : emit
  }

  #finish(before: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> {
    this.#end = ended
    return Effect.succeed(this.#f([...before, ...this.#turn.ending, event]))
  }

  #fail(error: ChatError): Pull<A, ChatError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.catchAll(
        this.#turn.fail(error, restore),
        (error) => error._tag === "Stopped" ? restore(this.#interrupted) : Effect.fail(Option.some(error))
      )
    )
  }

  get #interrupted(): Pull<A, ChatError> {
    return Effect.flatMap(this.#turn.interrupted, (response) => this.#finish([], finishEvent(response)))
  }
}

/** Interrupts a fiber at the end of its turn. It waits for the turn's signal too, and ends by itself at a stop. */
const interruptAtEnd = ({ scope, signal }: Turn, fiber: Fiber.RuntimeFiber<unknown>): Effect.Effect<void> =>
  Scope.addFinalizer(
    scope,
    Effect.fiberIdWith((id) => signal.aborted || Equal.equals(id, fiber.id()) ? Effect.void : Fiber.interrupt(fiber))
  )

type Complete = (request: ChatRequest) => Effect.Effect<ChatResponse, ChatError>

/**
 * Sends the request of the turn's next step, and what smaller and smaller windows choose while the server finds it too
 * long. `complete` requests the summaries of a window.
 */
export const send = <A>(
  turn: Turn,
  complete: Complete,
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
): Effect.Effect<A, ChatError | Stopped> => {
  const attempt = (window: HistoryWindow.HistoryWindow, larger?: Rejected): Effect.Effect<A, ChatError | Stopped> =>
    Effect.flatMap(choose(turn, complete, window), (request) => {
      if (larger !== undefined && isSame(larger.messages, request.messages)) return Effect.fail(larger.error)
      return Effect.catchAll(f(request), (error) => {
        if (error._tag !== "ContextLengthError") return Effect.fail(error)
        const { shrink } = window
        return shrink === undefined ? Effect.fail(error) : attempt(shrink, { messages: request.messages, error })
      })
    })
  return Effect.suspend(() => attempt(turn.conversation.window))
}

/** What the server found too long. */
interface Rejected {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly error: ChatError
}

/** The request with what the window chooses, after the window made a summary if it is time for one. */
const choose = (
  turn: Turn,
  complete: Complete,
  window: HistoryWindow.HistoryWindow
): Effect.Effect<ChatRequest, ChatError | Stopped> => {
  const { conversation, question, signal } = turn
  // A turn that is stopped does not wait for its store.
  const select = Effect.flatMap(
    Effect.zip(turn.wait(conversation.choice(question)), turn.requestOptions),
    ([{ input, request }, options]) =>
      Effect.zipWith(
        HistoryWindow.assemble(window, withSteps(input, turn.steps)),
        turn.limit === undefined ? Effect.succeed(request.config) : turn.limit.config(request.config),
        (messages, config) => ({ ...request, config, messages, options, signal })
      )
  )
  const { compact } = window
  if (compact === undefined) return select
  const compacted = Effect.flatMap(
    conversation.choice(question),
    ({ input, request }) =>
      compact(input, (summary) =>
        // A summary that has arrived is paid for, also if its turn is interrupted.
        Effect.uninterruptibleMask((restore) =>
          Effect.tap(
            restore(complete({ ...request, ...summary, signal })),
            (response) => conversation.recordUsage(estimateUsage(summary.messages, response, summary.options))
          )
        )).pipe(
          Effect.flatMap((summary) =>
            Option.isSome(summary)
              ? Effect.catchAll(
                conversation.summarize(input.messages, summary.value),
                (error) => Effect.logWarning("The summary of a history could not be stored", error)
              )
              : Effect.void
          )
        )
  )
  return Effect.zipRight(turn.wait(compacted), select)
}

/** The steps that are over belong to the new messages, which every window sends. */
const withSteps = (input: Input, steps: ReadonlyArray<ChatMessage>): Input =>
  steps.length === 0 ? input : { ...input, opening: [...input.opening, ...steps] }

const isSame = (some: ReadonlyArray<ChatMessage>, others: ReadonlyArray<ChatMessage>): boolean =>
  some.length === others.length &&
  some.every((message, index) => message.content === others[index]?.content)
