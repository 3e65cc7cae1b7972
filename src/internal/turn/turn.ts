/**
 * One turn of a conversation: a list of steps and one commit.
 *
 * A step is one request and its answer. A turn ends once, in one of four ways: completed, failed, stopped by the
 * conversation, or abandoned by its consumer. The first to end it commits what is kept and releases the lock.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import { type BusyError, type ChatError, type HistoryStoreError, TruncatedError } from "../../ChatError.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import { type ChatMessage, fromResponse, type ToolMessage } from "../../ChatMessage.ts"
import type { ChatResponse, FinishReason, ToolCall, Usage } from "../../ChatResponse.ts"
import { change as changeError } from "../changedError.ts"
import { parseJson } from "../json.ts"
import { PartialResponse } from "../partialResponse.ts"
import * as CallIds from "../request/callIds.ts"
import { change, saysNothing } from "../response.ts"
import { type Stopped, stopped, untilAborted } from "../transport/wait.ts"
import type { Conversation, StoreError, TurnInput } from "./conversation.ts"
import type { Closed, Holder } from "./lock.ts"
import { Meter } from "./meter.ts"

/**
 * Decides what follows a step: the results of the answer's tool calls, which the next step sends. The turn is done if
 * there are none.
 */
export type NextStep = (answer: ChatResponse) => Effect.Effect<ReadonlyArray<ToolMessage>, ChatError>

/** One request of a turn, with what came of it. */
export interface Step {
  readonly answer: ChatResponse
  /** The messages that the step adds to the turn: the answer, and what follows it. */
  readonly messages: ReadonlyArray<ChatMessage>
}

type State = "running" | "stopping" | "ended"

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  readonly id: string
  readonly conversation: Conversation
  readonly input: TurnInput
  /** The resources of the turn's calls: released when the turn is stopped, and with the turn's scope. */
  readonly scope: Scope.CloseableScope
  /** Counts the tokens of the turn's calls. */
  readonly meter: Meter = new Meter()
  readonly #onInterrupt: "keep" | "rollback"
  readonly #nextStep: NextStep | undefined
  readonly #controller = new AbortController()
  readonly #settled: Deferred.Deferred<void>
  #steps: ReadonlyArray<Step> = []
  /** The answer of the step that runs, as far as it has arrived. */
  #partial = new PartialResponse()
  #state: State = "running"

  constructor(options: {
    readonly id: string
    readonly conversation: Conversation
    readonly input: TurnInput
    readonly scope: Scope.CloseableScope
    readonly onInterrupt: "keep" | "rollback"
    readonly settled: Deferred.Deferred<void>
    readonly nextStep?: NextStep | undefined
  }) {
    this.id = options.id
    this.conversation = options.conversation
    this.input = options.input
    this.scope = options.scope
    this.#onInterrupt = options.onInterrupt
    this.#settled = options.settled
    this.#nextStep = options.nextStep
  }

  /** Aborted when the conversation stops the turn: every request of the turn has it. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the turn is over, or about to be. */
  get hasEnded(): boolean {
    return this.#state !== "running"
  }

  /** The steps that are over. */
  get steps(): ReadonlyArray<Step> {
    return this.#steps
  }

  /** Runs an effect until the turn is stopped. */
  wait<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> {
    return untilAborted(effect, this.signal)
  }

  /** Accumulates events of the step's answer. */
  receive(events: ReadonlyArray<ChatEvent>): void {
    this.#partial.add(events)
  }

  /**
   * Ends a step with its complete answer. Returns the response of the turn, as the history has it, if the turn is done;
   * undefined if another step follows. A tool call that was cut fails the turn. Only what decides about the next step can
   * be interrupted, by `restore`.
   */
  endStep(
    response: ChatResponse,
    restore: <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>
  ): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const error = cutCall(response)
    if (error !== undefined) return Effect.zipRight(this.fail(error), Effect.fail(error))
    const answer = withCallIds(response)
    const nextStep = answer.toolCalls.length === 0 ? undefined : this.#nextStep
    if (nextStep === undefined) return this.#complete(answer)
    this.meter.answered(answer)
    return Effect.matchEffect(restore(this.wait(nextStep(answer))), {
      onFailure: (error) =>
        error._tag === "Stopped" ? Effect.fail(error) : Effect.zipRight(this.fail(error), Effect.fail(error)),
      onSuccess: (results) => {
        if (results.length === 0) return this.#complete(answer)
        const message = fromResponse(answer)
        const messages = message === undefined ? results : [message, ...results]
        this.#steps = [...this.#steps, { answer, messages }]
        this.#partial = new PartialResponse()
        return Effect.succeed(undefined)
      }
    })
  }

  /** The turn failed: the history stays as it was, and the turn's resources are released. */
  fail(error: ChatError): Effect.Effect<void, Stopped> {
    return Effect.zipRight(
      this.#end(this.conversation.recordUsage(this.meter.partial(error.partial)), Effect.fail(stopped)),
      Scope.close(this.scope, Exit.fail(error))
    )
  }

  /** The stream of an answer ended without `Finish`. */
  get truncated(): TruncatedError {
    const partial = this.#part("error")
    return new TruncatedError({
      message: "The stream of the answer ended without Finish",
      partial: saysNothing(partial) && partial.usage === undefined ? undefined : partial
    })
  }

  /** The response of a turn that was stopped, once it is settled. */
  get interrupted(): Effect.Effect<ChatResponse> {
    return Effect.map(this.done, () => this.#part("interrupted"))
  }

  /** Waits until it is settled what is kept of the turn. */
  readonly done: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.#settled))

  /** The conversation ends the turn. It cannot be interrupted: others wait for all of it. */
  readonly stop: Effect.Effect<void> = Effect.uninterruptible(Effect.suspend(() => {
    if (this.#state === "running") {
      this.#state = "stopping"
      this.#controller.abort()
    }
    return this.abandon
  }))

  /** Ends the turn before its answer is complete, unless it has ended, and releases its resources. */
  readonly abandon: Effect.Effect<void> = Effect.ensuring(
    Effect.catchAll(
      this.#end(
        Effect.suspend(() => {
          const response = this.#part("interrupted")
          return this.#onInterrupt === "rollback"
            ? this.conversation.recordUsage(response.usage)
            : this.#commit(response)
        }),
        this.done
      ),
      // Nobody receives the error. The conversation still has the turn, and can try to save it again.
      (error) => Effect.logWarning("An interrupted turn could not be stored", error)
    ),
    Effect.suspend(() => Scope.close(this.scope, Exit.void))
  )

  /** Ends the turn with the complete answer of its last step. */
  #complete(response: ChatResponse): Effect.Effect<ChatResponse, ChatError | Stopped> {
    const answer = withUsage(response, this.meter.total(response))
    // The error has the answer that the store did not take.
    const commit = Effect.mapError(this.#commit(answer), (error) => changeError(error, { partial: answer }))
    return Effect.as(this.#end(commit, Effect.fail(stopped)), answer)
  }

  /** What has arrived of the step's answer, with the usage of the turn. */
  #part(reason: FinishReason): ChatResponse {
    const response = this.#partial.response(reason)
    return withUsage(response, this.meter.partial(response))
  }

  /** Commits the turn. One that says nothing leaves its usage only. */
  #commit(response: ChatResponse): Effect.Effect<void, StoreError> {
    const answer = fromResponse(response)
    const { usage } = response
    const messages = this.#steps.flatMap((step) => step.messages)
    if (answer !== undefined) messages.push(answer)
    return messages.length === 0
      ? this.conversation.recordUsage(usage)
      : this.conversation.commit({ turnId: this.id, messages: [...this.input, ...messages], usage })
  }

  /** Ends the turn, unless it has ended already. */
  #end<E, E2>(commit: Effect.Effect<void, E>, otherwise: Effect.Effect<void, E2>): Effect.Effect<void, E | E2> {
    return Effect.uninterruptible(Effect.suspend((): Effect.Effect<void, E | E2> => {
      if (this.#state === "ended") return otherwise
      this.#state = "ended"
      return Effect.ensuring(
        commit,
        Effect.zipRight(this.conversation.lock.release(this), Deferred.succeed(this.#settled, undefined))
      )
    }))
  }
}

const withUsage = (response: ChatResponse, usage: Usage | undefined): ChatResponse =>
  usage === response.usage ? response : change(response, { usage })

/** The error of an answer whose last tool call was cut at the token limit, undefined if all calls are complete. */
const cutCall = (response: ChatResponse): TruncatedError | undefined => {
  const last = response.toolCalls.at(-1)
  if (response.finishReason !== "length" || last === undefined || isComplete(last)) return undefined
  return new TruncatedError({
    message: `The call of the tool ${JSON.stringify(last.name)} was cut at the limit of the answer's tokens`,
    partial: response
  })
}

/** The arguments of a call without arguments are an empty text. */
const isComplete = (call: ToolCall): boolean => call.arguments.trim() === "" || parseJson(call.arguments) !== undefined

/** The answer with an id of its own for every call: a result must name its call, and some servers send none, or one twice. */
const withCallIds = (response: ChatResponse): ChatResponse => {
  const takeId = CallIds.make("any")
  const ids = response.toolCalls.map((call, index) => takeId(call.id || `call_${index}`))
  if (response.toolCalls.every((call, index) => call.id === ids[index])) return response
  return change(response, { toolCalls: response.toolCalls.map((call, index) => ({ ...call, id: ids[index] ?? "" })) })
}

const hexDigits = Effect.map(
  Random.nextIntBetween(0, 2 ** 32),
  (number) => number.toString(16).padStart(8, "0")
)

const makeId = Effect.zipWith(hexDigits, hexDigits, (some, others) => `turn_${some}${others}`)

/** Waits for this conversation's next turn. It is abandoned with the scope, unless it ended before. */
export const begin = (
  conversation: Conversation,
  input: TurnInput,
  scope: Scope.Scope,
  nextStep?: NextStep
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError> =>
  Effect.gen(function*() {
    const config = yield* conversation.config
    const turn = new Turn({
      id: yield* makeId,
      conversation,
      input,
      scope: yield* Scope.make(),
      onInterrupt: config.onInterrupt,
      settled: yield* Deferred.make<void>(),
      nextStep
    })
    // Before the lock is taken: a turn can be interrupted at the very moment at which it is handed over.
    yield* Scope.addFinalizer(scope, turn.abandon)
    yield* conversation.lock.acquire(turn, config.turnPolicy)
    return turn
  })
