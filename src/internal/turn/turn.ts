/**
 * One turn of a conversation: a list of steps and one commit.
 *
 * A step is one request and its answer. A turn ends exactly once: it completes, fails, is stopped by the conversation, or
 * is abandoned by its consumer. The end of the turn commits its messages in the background and then releases the lock. Only
 * the fiber of the turn waits for the commit. An interruption ends this wait, but not the commit.
 */
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import * as Scope from "effect/Scope"
import type { CallOptions } from "../../CallOptions.ts"
import { type ChatError, TruncatedError } from "../../ChatError.ts"
import type { ChatEvent, ToolEvent } from "../../ChatEvent.ts"
import { type ChatMessage, fromResponse, type ToolMessage } from "../../ChatMessage.ts"
import type { ChatResponse, FinishReason, Usage } from "../../ChatResponse.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import { isEmpty, PartialResponse, withFields } from "../decode/response.ts"
import { withErrorFields } from "../errors/toChatError.ts"
import type { StepResult, TurnTools } from "../tools/turnTools.ts"
import { type Stopped, stopped, untilAborted } from "../transport/wait.ts"
import { emptyAnswer, truncatedCallError, withCallIds } from "./answers.ts"
import type { Question, StoreError } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Holder } from "./lock.ts"
import { Meter, sumKnownUsage } from "./meter.ts"
import type { Resumed } from "./openCalls.ts"
import { TotalLimit } from "./totalLimit.ts"
import { type CallRun, TurnSteps } from "./turnSteps.ts"

/** Restores interruptibility inside an uninterruptible region. */
export type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

type State = "waiting" | "running" | "stopping" | "ended"

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  id: string
  readonly conversation: Conversation
  /** What the turn answers. If the input refers to an earlier turn, it is set after the turn has acquired the lock. */
  question: Question
  /** Owns the resources of the turn's requests. Closed when the turn ends. */
  readonly scope: Scope.CloseableScope
  /** Counts the tokens of the turn's requests. */
  readonly meter: Meter = new Meter()
  /** The options of the turn's requests. */
  readonly options: CallOptions
  /** The tools that the turn runs. */
  readonly tools: TurnTools | undefined
  /** The answered open calls of a stored turn, if this turn continues it. */
  resumed: Resumed | undefined
  /** Receives the events of tools while they run. */
  emit: (event: ToolEvent) => Effect.Effect<void> = () => Effect.void
  /** Events to emit after the end of the turn and before `Finish`. */
  finalEvents: ReadonlyArray<ToolEvent> = []
  readonly #onInterrupt: "keep" | "rollback"
  readonly #onFailure: "keep" | "rollback"
  readonly #controller = new AbortController()
  readonly #settled: Deferred.Deferred<void>
  readonly #maxTokens: number | null
  /** The total time limit of a turn with tools. */
  readonly limit: TotalLimit | undefined
  readonly #steps: TurnSteps
  /** The part of the current step's answer that has arrived. */
  #partial = new PartialResponse()
  #state: State = "waiting"
  /** The conversation's clear count when the turn acquired the lock. */
  #clearCountAtStart = 0

  constructor(options: {
    readonly id: string
    readonly conversation: Conversation
    readonly question: Question
    readonly scope: Scope.CloseableScope
    readonly settled: Deferred.Deferred<void>
    readonly options?: CallOptions | undefined
    readonly tools?: TurnTools | undefined
    readonly config: LLMConfig
  }) {
    this.id = options.id
    this.conversation = options.conversation
    this.question = options.question
    this.scope = options.scope
    this.#onInterrupt = options.config.onInterrupt
    this.#onFailure = options.config.onFailure
    this.#settled = options.settled
    this.options = options.options ?? {}
    this.tools = options.tools
    this.#maxTokens = options.config.maxTokens
    this.limit = options.tools === undefined ? undefined : new TotalLimit(options.config.totalTimeout)
    this.#steps = new TurnSteps(this)
  }

  /** Part of every request of the turn. Aborted when the conversation stops the turn. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the turn has ended or is being stopped. */
  get hasEnded(): boolean {
    return this.#state === "stopping" || this.#state === "ended"
  }

  /** Called when the turn has acquired the lock. A turn that was stopped while it waited releases the lock. */
  readonly start: Effect.Effect<void> = Effect.suspend(() => {
    this.#clearCountAtStart = this.conversation.clearCount
    if (this.#state === "waiting") this.#state = "running"
    return this.#state === "running" ? Effect.void : this.conversation.lock.release(this)
  })

  get canHaveOpenCalls(): boolean {
    return this.tools !== undefined
  }

  /** The messages of the completed steps. */
  get steps(): ReadonlyArray<ChatMessage> {
    return this.#steps.messages
  }

  /** The options of the next request. */
  get requestOptions(): Effect.Effect<CallOptions> {
    return this.tools === undefined ? Effect.succeed(this.options) : this.tools.requestOptions(this.options)
  }

  /** Runs the effect. Fails with `Stopped` when the turn is stopped. */
  untilStopped<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E | Stopped> {
    return untilAborted(effect, this.signal)
  }

  /** Accumulates events of the current step's answer. */
  addEvents(events: ReadonlyArray<ChatEvent>): void {
    this.#partial.add(events)
  }

  /**
   * Ends a step with its complete answer. Returns the stored response if the turn is complete. Returns undefined if another
   * step follows. If the turn has no tools and the arguments of a tool call are truncated, the turn fails. `restore` makes
   * the handlers and the wait for the store interruptible.
   */
  endStep(response: ChatResponse, restore: Restore): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const error = this.tools === undefined ? truncatedCallError(response) : undefined
    if (error !== undefined) return this.fail(error, restore)
    const calls = this.#steps.begin(response, this.options.maxTokens ?? this.#maxTokens)
    if (calls !== undefined) return this.#runCalls(calls, restore)
    const answer = this.tools === undefined ? withCallIds(response) : withFields(response, { toolCalls: [] })
    return this.#complete(answer, restore)
  }

  /** Settles the open calls of a continued turn. Returns the same as `endStep`. */
  resume(resumed: Resumed, restore: Restore): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    this.resumed = undefined
    const calls = this.#steps.resume(resumed)
    return calls === undefined ? Effect.succeed(undefined) : this.#runCalls(calls, restore)
  }

  /** Runs the calls of an answer. A defect of a handler ends the turn without a change of the history. */
  #runCalls(
    { answer, run }: CallRun,
    restore: Restore
  ): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    return Effect.flatMap(
      Effect.exit(restore(this.untilStopped(run))),
      (exit): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> => {
        if (Exit.isSuccess(exit)) return this.#afterCalls(answer, exit.value, restore)
        const error = Option.getOrUndefined(Cause.failureOption(exit.cause))
        if (error !== undefined) return error._tag === "Stopped" ? Effect.fail(error) : this.fail(error, restore)
        if (!Cause.isDie(exit.cause)) return Effect.failCause(exit.cause)
        const rollback = this.#end(this.conversation.recordUsage(this.meter.partial(undefined)))
        return Effect.zipRight(rollback, Effect.failCause(exit.cause))
      }
    )
  }

  /** Ends the step. Completes the turn if calls stay open. Otherwise returns undefined, and another step follows. */
  #afterCalls(
    answer: ChatResponse,
    result: StepResult,
    restore: Restore
  ): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const events = this.#steps.end(answer, result)
    if (result.isOpen) {
      return this.#complete(withFields(answer, { toolCalls: result.toolCalls }), restore, result.messages, events)
    }
    this.#partial = new PartialResponse()
    return Effect.as(Effect.forEach(events, (event) => this.emit(event), { discard: true }), undefined)
  }

  /** Adds the current step to the messages if its calls are running, with a result for each call. */
  get #endUnfinishedStep(): Effect.Effect<void> {
    return Effect.map(this.#steps.endUnfinishedStep, (events) => {
      if (events === undefined) return
      this.#partial = new PartialResponse()
      this.finalEvents = events
    })
  }

  /**
   * Ends the turn with an error. Commits the messages or not, as `onFailure` says, and releases the resources. Then fails
   * with the error, which contains the steps of the turn.
   */
  fail(error: ChatError, restore: Restore): Effect.Effect<never, ChatError | Stopped> {
    return Effect.flatMap(this.#endUnfinishedStep, () => {
      const usage = this.meter.partial(error.partial)
      const partial = error.partial ?? this.#partial.response("error")
      const write = this.#onFailure === "keep"
        ? this.#commit(withFields(partial, { usage, toolCalls: [], finishReason: "error" }), false)
        : this.#rollback(usage)
      const commit = Effect.catchAll(
        write,
        (error) => Effect.logWarning("A failed turn could not be stored", error)
      )
      const { report } = this.#steps
      const reported = report?.steps?.length ? withErrorFields(error, { partial: withFields(partial, report) }) : error
      const end = this.#end(commit)
      const close = Scope.close(this.scope, Exit.fail(error))
      return Effect.flatMap(
        Effect.zipLeft(end, close),
        (wait): Effect.Effect<never, ChatError | Stopped> =>
          wait === undefined ? Effect.fail(stopped) : Effect.zipRight(restore(wait), Effect.fail(reported))
      )
    })
  }

  /** The error for a stream that ended without `Finish`. */
  get truncatedError(): TruncatedError {
    const partial = this.#partialResponse("error")
    return new TruncatedError({
      message: "The stream of the answer ended without Finish",
      partial: isEmpty(partial) && partial.usage === undefined ? undefined : partial
    })
  }

  /** Waits until the turn has ended. Returns the response of a stopped turn. */
  get interruptedResponse(): Effect.Effect<ChatResponse> {
    return Effect.map(this.done, () => this.#partialResponse("interrupted"))
  }

  /** Waits until the commit has succeeded or failed. */
  readonly done: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.#settled))

  /** Stops the turn on behalf of the conversation. Does not wait for the commit. */
  readonly stop: Effect.Effect<void> = Effect.uninterruptible(Effect.suspend(() => {
    if (!this.hasEnded) {
      this.#state = "stopping"
      this.#controller.abort()
    }
    return this.abandon
  }))

  /** Ends the turn before its answer is complete, and releases its resources. Has no effect on a turn that has ended. */
  readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    // A turn that never acquired the lock sent no request.
    const commit = this.#state === "waiting" ? Effect.void : this.#commitInterrupted
    // No caller is left to receive the error. The conversation keeps the unsaved turn, so `save` can retry.
    const end = this.#end(
      Effect.catchAllCause(commit, (cause) => Effect.logWarning("An interrupted turn could not be stored", cause))
    )
    return Effect.ensuring(end, Scope.close(this.scope, Exit.void))
  })

  /** Ends the turn before its first request, without a commit. */
  readonly cancel: Effect.Effect<void> = Effect.uninterruptible(
    Effect.zipRight(
      Effect.suspend(() => this.#end(Effect.void)),
      Effect.suspend(() => Scope.close(this.scope, Exit.void))
    )
  )

  /** Commits an interrupted turn or not, as `onInterrupt` says. */
  get #commitInterrupted(): Effect.Effect<void, StoreError> {
    return Effect.flatMap(this.#endUnfinishedStep, () => {
      const response = this.#partialResponse("interrupted")
      return this.#onInterrupt === "rollback"
        ? this.#rollback(response.usage)
        : this.#commit(response, false)
    })
  }

  /**
   * Counts the usage and commits no messages. The only exception is a continued turn: the store already has results for its
   * calls that can be "unknown", so the actual results replace them.
   */
  #rollback(usage: Usage | undefined): Effect.Effect<void, StoreError> {
    const storeActualResults = this.#isCleared ? Effect.void : this.#steps.storeActualResults
    return Effect.zipRight(this.conversation.recordUsage(usage), storeActualResults)
  }

  /**
   * Completes the turn with the answer of its last step. If calls of that answer stay open, `results` are the results of
   * its other calls, and `events` are emitted before `Finish`.
   */
  #complete(
    response: ChatResponse,
    restore: Restore,
    results: ReadonlyArray<ToolMessage> = [],
    events?: ReadonlyArray<ToolEvent>
  ): Effect.Effect<ChatResponse, ChatError | Stopped> {
    const ended = events ?? this.#steps.addToReport(response, { messages: results, toolCalls: [] })
    const usage = this.meter.total(response)
    const answer = withFields(response, {
      usage: sumKnownUsage(this.#earlierUsage, usage),
      turnId: this.id,
      ...this.#steps.report
    })
    let isWaitInterrupted = false
    const commit = this.#commit(withFields(response, { usage }), true, results).pipe(
      // The program gets the answer from the error if the store fails.
      Effect.mapError((error) => withErrorFields(error, { partial: answer })),
      Effect.tapErrorCause((cause) =>
        isWaitInterrupted ? Effect.logWarning("A turn could not be stored", cause) : Effect.void
      )
    )
    const markInterrupted = Effect.sync(() => isWaitInterrupted = true)
    return Effect.flatMap(
      this.#end(commit),
      (wait): Effect.Effect<ChatResponse, ChatError | Stopped> =>
        wait === undefined
          ? Effect.fail(stopped)
          : Effect.map(Effect.onInterrupt(restore(wait), () => markInterrupted), () => {
            this.finalEvents = [...this.finalEvents, ...ended]
            return answer
          })
    )
  }

  /** The part of the current step's answer that has arrived, with the usage of the whole turn. */
  #partialResponse(reason: FinishReason): ChatResponse {
    const response = this.#partial.response(reason)
    const usage = this.meter.partial(response)
    return withFields(response, { usage, turnId: this.id, ...this.#steps.report })
  }

  get #isCleared(): boolean {
    return this.#clearCountAtStart !== this.conversation.clearCount
  }

  /** The tokens that the stored part of a continued turn used. */
  get #earlierUsage(): Usage | undefined {
    return this.question.usage
  }

  /**
   * Commits the messages of the turn: the question, the steps and the answer, which can be empty. A turn replaces other
   * turns only if its answer is complete. If the history was cleared since the turn began, only the usage is counted.
   */
  #commit(
    response: ChatResponse,
    isComplete: boolean,
    results: ReadonlyArray<ToolMessage> = []
  ): Effect.Effect<void, StoreError> {
    const { usage } = response
    const { context: _context, input, usage: _usage, ...position } = this.question
    const isStored = position.continuesLast === true
      ? isComplete || this.#steps.hasClaimedCalls
      : isComplete || position.keepTurns === undefined
    if (this.#isCleared || !isStored) return this.conversation.recordUsage(usage)
    const total = withFields(response, { usage: sumKnownUsage(this.#earlierUsage, usage) })
    const answer = fromResponse(total) ?? emptyAnswer(total)
    const messages = [...input, ...this.steps, answer, ...results]
    const onSettled = (events: ReadonlyArray<ToolEvent>): void => {
      this.finalEvents = [...events, ...this.finalEvents]
    }
    return this.conversation.commit({ ...position, turnId: this.id, messages, usage, onSettled })
  }

  /**
   * Ends the turn and starts the commit. Returns an effect that waits for the commit, or undefined if the turn had ended.
   */
  #end<E>(commit: Effect.Effect<void, E>): Effect.Effect<Effect.Effect<void, E> | undefined> {
    return Effect.suspend(() => {
      if (this.#state === "ended") return Effect.succeed(undefined)
      this.#state = "ended"
      const release = Effect.zipRight(this.conversation.lock.release(this), Deferred.succeed(this.#settled, undefined))
      return this.conversation.background.start(Effect.ensuring(commit, release))
    })
  }
}
