/**
 * Runs the steps of a turn in a loop, for complete and for streamed answers, and builds the request of each step.
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
import type { Complete } from "./meter.ts"
import type { Restore, Turn } from "./turn.ts"

/** Builds the request of the next step, and sends it with `f`. */
export type Send = <A>(
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
) => Effect.Effect<A, ChatError | Stopped>

/** A complete answer. It can also have the decoded value. */
interface HasResponse {
  readonly response: ChatResponse
}

/** Runs the steps of a turn with complete answers. If the turn is stopped, the result has only the response. */
export const complete = <A extends HasResponse>(
  turn: Turn,
  send: Send,
  ask: (request: ChatRequest) => Effect.Effect<A, ChatError>
): Effect.Effect<A | HasResponse, ChatError> =>
  Effect.uninterruptibleMask((restore) => {
    const step: Effect.Effect<A | HasResponse, ChatError | Stopped> = Effect.matchEffect(
      restore(send((request) => turn.untilStopped(ask(request)))),
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
    return Effect.catchTag(first, "Stopped", () =>
      Effect.map(restore(turn.interruptedResponse), (response) => ({ response })))
  })

/** Runs the steps of a turn with streamed answers. Returns the pull of its events. */
export const stream = <A>(
  turn: Turn,
  send: Send,
  open: (request: ChatRequest) => Pull<ChatEvent, ChatError>,
  f: MapEvents<A>
): Pull<A, ChatError> => new TurnEvents(turn, send, open, f).pull

/** Maps the events of a stream, one chunk at a time. */
export type MapEvents<A> = (events: ReadonlyArray<ChatEvent>) => ReadonlyArray<A>

type CallQueue = EventQueue<ChatResponse | undefined, ChatError | Stopped>

/** The loop of a streamed turn. */
class TurnEvents<A> {
  readonly #turn: Turn
  readonly #mapEvents: MapEvents<A>
  readonly #first: Pull<ChatEvent, ChatError>
  /** The pull of the current answer. Set when its first events arrive. */
  #answer: Pull<ChatEvent, ChatError> | undefined
  /** The events of the running handlers. */
  #calls: CallQueue | undefined
  /** The result of all pulls after the end of the turn: the end of the stream, or the error of the turn. */
  #end: Pull<A, ChatError> | undefined

  constructor(
    turn: Turn,
    send: Send,
    open: (request: ChatRequest) => Pull<ChatEvent, ChatError>,
    f: MapEvents<A>
  ) {
    this.#turn = turn
    this.#mapEvents = f
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
    if (this.#turn.hasEnded) return this.#interrupt([])
    const { resumed } = this.#turn
    return resumed === undefined
      ? Effect.matchEffect(this.#answer ?? this.#first, this.#receive)
      : Effect.zipRight(this.#runCalls((restore) => this.#turn.resume(resumed, restore)), this.pull)
  })

  readonly #receive = {
    onSuccess: (events: ReadonlyArray<ChatEvent>): Pull<A, ChatError> => {
      if (this.#turn.hasEnded) return this.#interrupt([])
      const last = events[events.length - 1]
      if (last !== undefined && isFinish(last)) return this.#endStep(events.slice(0, -1), last)
      this.#turn.addEvents(events)
      return Effect.succeed(this.#mapEvents(events))
    },
    onFailure: (error: Option.Option<ChatError>): Pull<A, ChatError> => {
      if (Option.isSome(error)) return this.#fail(error.value)
      return this.#turn.hasEnded ? this.#interrupt([]) : this.#fail(this.#turn.truncatedError)
    }
  }

  /** Ends a step. Its last events are emitted even if the end of the step fails. */
  #endStep(lastEvents: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> {
    const { tools } = this.#turn
    if (tools !== undefined && !tools.isLastStep && event.response.toolCalls.length > 0) {
      const begin = this.#runCalls((restore) => this.#turn.endStep(event.response, restore))
      return lastEvents.length === 0
        ? Effect.zipRight(begin, this.pull)
        : Effect.map(begin, () => this.#mapEvents(lastEvents))
    }
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(
        Effect.exit(this.#turn.endStep(event.response, restore)),
        (exit) => this.#afterStep(lastEvents, exit, restore, event)
      )
    )
  }

  /** Runs handlers in a fiber that belongs to the turn. The consumer pulls their events while they run. */
  #runCalls(
    end: (restore: Restore) => Effect.Effect<ChatResponse | undefined, ChatError | Stopped>
  ): Effect.Effect<void> {
    return Effect.uninterruptible(Effect.suspend(() => {
      const calls: CallQueue = new EventQueue()
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
    if (exit === undefined) return Effect.succeed(this.#mapEvents(events))
    this.#calls = undefined
    return Effect.suspend(() => this.#afterStep(events, exit, (effect) => effect))
  }

  #afterStep(
    lastEvents: ReadonlyArray<ChatEvent>,
    exit: Exit.Exit<ChatResponse | undefined, ChatError | Stopped>,
    restore: Restore,
    event?: Finish
  ): Pull<A, ChatError> {
    const emit = Effect.suspend(() => Effect.succeed(this.#mapEvents(lastEvents)))
    if (Exit.isSuccess(exit)) {
      const response = exit.value
      if (response !== undefined) {
        return this.#finish(lastEvents, response === event?.response ? event : finishEvent(response))
      }
      this.#answer = undefined
      return lastEvents.length === 0 ? restore(this.pull) : emit
    }
    const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
    if (error?._tag === "Stopped") return restore(this.#interrupt(lastEvents))
    this.#end = error === undefined
      ? Effect.failCause(Cause.map(exit.cause, () => Option.none()))
      : Effect.fail(Option.some(error))
    return lastEvents.length === 0 ? this.#end : emit
  }

  #finish(lastEvents: ReadonlyArray<ChatEvent>, event: Finish): Pull<A, ChatError> {
    this.#end = ended
    return Effect.succeed(this.#mapEvents([...lastEvents, ...this.#turn.finalEvents, event]))
  }

  #fail(error: ChatError): Pull<A, ChatError> {
    return Effect.uninterruptibleMask((restore) =>
      Effect.catchAll(
        this.#turn.fail(error, restore),
        (error) => error._tag === "Stopped" ? restore(this.#interrupt([])) : Effect.fail(Option.some(error))
      )
    )
  }

  #interrupt(lastEvents: ReadonlyArray<ChatEvent>): Pull<A, ChatError> {
    return Effect.flatMap(this.#turn.interruptedResponse, (response) => this.#finish(lastEvents, finishEvent(response)))
  }
}

/**
 * Interrupts the fiber at the end of the turn. If the turn was stopped, the fiber ends on its own, because of the signal.
 */
const interruptAtEnd = ({ scope, signal }: Turn, fiber: Fiber.RuntimeFiber<unknown>): Effect.Effect<void> =>
  Scope.addFinalizer(
    scope,
    Effect.fiberIdWith((id) => signal.aborted || Equal.equals(id, fiber.id()) ? Effect.void : Fiber.interrupt(fiber))
  )

/**
 * Builds the request of the next step, and sends it with `f`. If the server rejects the context as too long, sends the
 * request of the next smaller window. `complete` requests the summaries of a window.
 */
export const send = <A>(
  turn: Turn,
  complete: Complete,
  f: (request: ChatRequest) => Effect.Effect<A, ChatError | Stopped>
): Effect.Effect<A, ChatError | Stopped> => {
  const attempt = (window: HistoryWindow.HistoryWindow, larger?: Rejected): Effect.Effect<A, ChatError | Stopped> =>
    Effect.flatMap(makeRequest(turn, complete, window), (request) => {
      if (larger !== undefined && haveSameContent(larger.messages, request.messages)) return Effect.fail(larger.error)
      return Effect.catchAll(f(request), (error) => {
        if (error._tag !== "ContextLengthError") return Effect.fail(error)
        const { shrink } = window
        return shrink === undefined ? Effect.fail(error) : attempt(shrink, { messages: request.messages, error })
      })
    })
  return Effect.suspend(() => attempt(turn.conversation.window))
}

/** Messages that the server rejected as too long. */
interface Rejected {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly error: ChatError
}

/** Lets the window make a summary if one is due, and builds the request with the messages that the window selects. */
const makeRequest = (
  turn: Turn,
  complete: Complete,
  window: HistoryWindow.HistoryWindow
): Effect.Effect<ChatRequest, ChatError | Stopped> => {
  const { conversation, question, signal } = turn
  // A stopped turn does not wait for the store.
  const select = Effect.flatMap(
    Effect.zip(turn.untilStopped(conversation.draftRequest(question)), turn.requestOptions),
    ([{ input, request }, options]) =>
      Effect.zipWith(
        HistoryWindow.assemble(window, withSteps(input, turn.steps)),
        turn.limit === undefined ? Effect.succeed(request.config) : turn.limit.withRemaining(request.config),
        (messages, config) => ({ ...request, config, messages, options, signal })
      )
  )
  const { compact } = window
  if (compact === undefined) return select
  const compacted = Effect.flatMap(
    conversation.draftRequest(question),
    ({ input, request }) =>
      compact(input, (summary) =>
        // The tokens of a summary are recorded even if the turn is interrupted right after its arrival.
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
                (error) => Effect.logWarning("The summary of the history could not be stored", error)
              )
              : Effect.void
          )
        )
  )
  return Effect.zipRight(turn.untilStopped(compacted), select)
}

/** Adds the messages of completed steps to those of the new turn, which every window sends. */
const withSteps = (input: Input, steps: ReadonlyArray<ChatMessage>): Input =>
  steps.length === 0 ? input : { ...input, newMessages: [...input.newMessages, ...steps] }

const haveSameContent = (some: ReadonlyArray<ChatMessage>, others: ReadonlyArray<ChatMessage>): boolean =>
  some.length === others.length &&
  some.every((message, index) => message.content === others[index]?.content)
