/**
 * One turn of a conversation: a list of steps and one commit.
 *
 * A step is one request and its answer. A turn ends once, in one of four ways: completed, failed, stopped by the
 * conversation, or abandoned by its consumer. The first to end it commits what is kept, in the background, and the lock is
 * released after that. Only the turn's own fiber waits for the commit, and an interruption ends the wait.
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
import type { Ran, TurnTools } from "../tools/turnTools.ts"
import { type Stopped, stopped, untilAborted } from "../transport/wait.ts"
import { blank, cutCall, withCallIds } from "./answers.ts"
import type { Question, StoreError } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Holder } from "./lock.ts"
import { Meter, plus } from "./meter.ts"
import type { Resumed } from "./openCalls.ts"
import { TotalLimit } from "./totalLimit.ts"
import { type Calls, TurnSteps } from "./turnSteps.ts"

/** Makes a part of what cannot be interrupted interruptible again. */
export type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

type State = "waiting" | "running" | "stopping" | "ended"

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  id: string
  readonly conversation: Conversation
  /** What the turn answers. It is looked for when the turn begins if it is an earlier question. */
  question: Question
  /** The resources of the turn's calls: released when the turn is stopped, and with the turn's scope. */
  readonly scope: Scope.CloseableScope
  /** Counts the tokens of the turn's calls. */
  readonly meter: Meter = new Meter()
  /** What the turn's requests ask for. */
  readonly options: CallOptions
  /** The tools that the turn runs. */
  readonly tools: TurnTools | undefined
  /** The calls that the turn goes on with, if it does not begin with a question. */
  resumed: Resumed | undefined
  /** Receives the events of tools while they run. */
  emit: (event: ToolEvent) => Effect.Effect<void> = () => Effect.void
  /** Events that follow the end of the turn, before `Finish`. */
  ending: ReadonlyArray<ToolEvent> = []
  readonly #onInterrupt: "keep" | "rollback"
  readonly #onFailure: "keep" | "rollback"
  readonly #controller = new AbortController()
  readonly #settled: Deferred.Deferred<void>
  readonly #maxTokens: number | null
  /** The time that is left of a turn with tools. */
  readonly limit: TotalLimit | undefined
  readonly #steps: TurnSteps
  /** The answer of the step that runs, as far as it has arrived. */
  #partial = new PartialResponse()
  #state: State = "waiting"
  /** How often the history had been cleared when the turn began. */
  #clears = 0

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

  /** Aborted when the conversation stops the turn: every request of the turn has it. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the turn is over, or about to be. */
  get hasEnded(): boolean {
    return this.#state === "stopping" || this.#state === "ended"
  }

  /** The turn holds the lock. One that was stopped before gives it to the next. */
  readonly start: Effect.Effect<void> = Effect.suspend(() => {
    this.#clears = this.conversation.clears
    if (this.#state === "waiting") this.#state = "running"
    return this.#state === "running" ? Effect.void : this.conversation.lock.release(this)
  })

  get canLeaveCalls(): boolean {
    return this.tools !== undefined
  }

  /** The messages of the steps that are over. */
  get steps(): ReadonlyArray<ChatMessage> {
    return this.#steps.messages
  }

  /** The options of the next request. */
  get requestOptions(): Effect.Effect<CallOptions> {
    return this.tools === undefined ? Effect.succeed(this.options) : this.tools.request(this.options)
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
   * undefined if another step follows. Without tools, a call that was cut fails the turn. The handlers can be interrupted,
   * by `restore`, and so can the wait for the store.
   */
  endStep(response: ChatResponse, restore: Restore): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const error = this.tools === undefined ? cutCall(response) : undefined
    if (error !== undefined) return this.fail(error, restore)
    const calls = this.#steps.begin(response, this.options.maxTokens ?? this.#maxTokens)
    if (calls !== undefined) return this.#settle(calls, restore)
    const answer = this.tools === undefined ? withCallIds(response) : withFields(response, { toolCalls: [] })
    return this.#complete(answer, restore)
  }

  /** Runs the calls that the turn goes on with. Returns what `endStep` returns. */
  resume(resumed: Resumed, restore: Restore): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    this.resumed = undefined
    const calls = this.#steps.resume(resumed)
    return calls === undefined ? Effect.succeed(undefined) : this.#settle(calls, restore)
  }

  /** Waits for the results of an answer's calls. A defect leaves the history as it was. */
  #settle({ answer, run }: Calls, restore: Restore): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    return Effect.flatMap(
      Effect.exit(restore(this.wait(run))),
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

  /** Another step follows, unless calls stay open. */
  #afterCalls(
    answer: ChatResponse,
    ran: Ran,
    restore: Restore
  ): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const events = this.#steps.end(answer, ran)
    if (ran.isOpen) {
      return this.#complete(withFields(answer, { toolCalls: ran.toolCalls }), restore, ran.messages, events)
    }
    this.#partial = new PartialResponse()
    return Effect.as(Effect.forEach(events, (event) => this.emit(event), { discard: true }), undefined)
  }

  /** Keeps the step whose calls did not all end. */
  get #leaveCalls(): Effect.Effect<void> {
    return Effect.map(this.#steps.leave, (events) => {
      if (events === undefined) return
      this.#partial = new PartialResponse()
      this.ending = events
    })
  }

  /**
   * The turn failed: the history keeps what `onFailure` says, the turn's resources are released, and the error with the
   * steps of the turn is returned.
   */
  fail(error: ChatError, restore: Restore): Effect.Effect<never, ChatError | Stopped> {
    return Effect.flatMap(this.#leaveCalls, () => {
      const usage = this.meter.partial(error.partial)
      const partial = error.partial ?? this.#partial.response("error")
      const keep = this.#onFailure === "keep"
        ? this.#commit(withFields(partial, { usage, toolCalls: [], finishReason: "error" }), false)
        : this.#rollback(usage)
      const commit = Effect.catchAll(
        keep,
        (error) => Effect.logWarning("A turn that failed could not be stored", error)
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

  /** The stream of an answer ended without `Finish`. */
  get truncated(): TruncatedError {
    const partial = this.#part("error")
    return new TruncatedError({
      message: "The stream of the answer ended without Finish",
      partial: isEmpty(partial) && partial.usage === undefined ? undefined : partial
    })
  }

  /** The response of a turn that was stopped, once it is settled. */
  get interrupted(): Effect.Effect<ChatResponse> {
    return Effect.map(this.done, () => this.#part("interrupted"))
  }

  /** Waits until it is settled what is kept of the turn. */
  readonly done: Effect.Effect<void> = Effect.suspend(() => Deferred.await(this.#settled))

  /** The conversation ends the turn. It does not wait until what is kept is stored. */
  readonly stop: Effect.Effect<void> = Effect.uninterruptible(Effect.suspend(() => {
    if (!this.hasEnded) {
      this.#state = "stopping"
      this.#controller.abort()
    }
    return this.abandon
  }))

  /** Ends the turn before its answer is complete, unless it has ended, and releases its resources. */
  readonly abandon: Effect.Effect<void> = Effect.suspend(() => {
    // A turn that left the queue asked nothing.
    const keep = this.#state === "waiting" ? Effect.void : this.#interrupt
    // Nobody receives the error. The conversation still has the turn, and can try to save it again.
    const end = this.#end(
      Effect.catchAllCause(keep, (cause) => Effect.logWarning("An interrupted turn could not be stored", cause))
    )
    return Effect.ensuring(end, Scope.close(this.scope, Exit.void))
  })

  /** Ends the turn before its first request. Nothing is kept of it. */
  readonly withdraw: Effect.Effect<void> = Effect.uninterruptible(
    Effect.zipRight(
      Effect.suspend(() => this.#end(Effect.void)),
      Effect.suspend(() => Scope.close(this.scope, Exit.void))
    )
  )

  /** Keeps what `onInterrupt` says. */
  get #interrupt(): Effect.Effect<void, StoreError> {
    return Effect.flatMap(this.#leaveCalls, () => {
      const response = this.#part("interrupted")
      return this.#onInterrupt === "rollback"
        ? this.#rollback(response.usage)
        : this.#commit(response, false)
    })
  }

  /** Keeps nothing but what became of calls that the turn went on with: the store knows that they began. */
  #rollback(usage: Usage | undefined): Effect.Effect<void, StoreError> {
    const keep = this.#isCleared ? Effect.void : this.#steps.keepClaimed
    return Effect.zipRight(this.conversation.recordUsage(usage), keep)
  }

  /**
   * Ends the turn with the complete answer of its last step, and with the results of its calls if others stay open.
   * `events` follow.
   */
  #complete(
    response: ChatResponse,
    restore: Restore,
    results: ReadonlyArray<ToolMessage> = [],
    events?: ReadonlyArray<ToolEvent>
  ): Effect.Effect<ChatResponse, ChatError | Stopped> {
    const ended = events ?? this.#steps.addToReport(response, { messages: results, toolCalls: [] })
    const usage = this.meter.total(response)
    const answer = withFields(response, { usage: plus(this.#earlier, usage), turnId: this.id, ...this.#steps.report })
    let isLeft = false
    const commit = this.#commit(withFields(response, { usage }), true, results).pipe(
      // The error has the answer that the store did not take.
      Effect.mapError((error) => withErrorFields(error, { partial: answer })),
      Effect.tapErrorCause((cause) => isLeft ? Effect.logWarning("A turn could not be stored", cause) : Effect.void)
    )
    const leave = Effect.sync(() => isLeft = true)
    return Effect.flatMap(
      this.#end(commit),
      (wait): Effect.Effect<ChatResponse, ChatError | Stopped> =>
        wait === undefined ? Effect.fail(stopped) : Effect.map(Effect.onInterrupt(restore(wait), () => leave), () => {
          this.ending = [...this.ending, ...ended]
          return answer
        })
    )
  }

  /** What has arrived of the step's answer, with the usage of the turn. */
  #part(reason: FinishReason): ChatResponse {
    const response = this.#partial.response(reason)
    const usage = this.meter.partial(response)
    return withFields(response, { usage, turnId: this.id, ...this.#steps.report })
  }

  get #isCleared(): boolean {
    return this.#clears !== this.conversation.clears
  }

  /** The tokens of the requests that the turn had made before it went on. */
  get #earlier(): Usage | undefined {
    return this.question.usage
  }

  /**
   * Commits the turn: the question, the steps and the answer, which can be empty. A turn that is to replace others does so
   * with a complete answer only. Nothing is kept of a turn whose history was cleared.
   */
  #commit(
    response: ChatResponse,
    isComplete: boolean,
    results: ReadonlyArray<ToolMessage> = []
  ): Effect.Effect<void, StoreError> {
    const { usage } = response
    const { context: _sent, input, usage: _earlier, ...place } = this.question
    const isKept = place.continues === true
      ? isComplete || this.#steps.isClaimed
      : isComplete || place.keepTurns === undefined
    if (this.#isCleared || !isKept) return this.conversation.recordUsage(usage)
    const total = withFields(response, { usage: plus(this.#earlier, usage) })
    const answer = fromResponse(total) ?? blank(total)
    const messages = [...input, ...this.steps, answer, ...results]
    const onSettled = (events: ReadonlyArray<ToolEvent>): void => {
      this.ending = [...events, ...this.ending]
    }
    return this.conversation.commit({ ...place, turnId: this.id, messages, usage, onSettled })
  }

  /** Ends the turn. Returns a wait for the commit, undefined if the turn had ended already. */
  #end<E>(commit: Effect.Effect<void, E>): Effect.Effect<Effect.Effect<void, E> | undefined> {
    return Effect.suspend(() => {
      if (this.#state === "ended") return Effect.succeed(undefined)
      this.#state = "ended"
      const release = Effect.zipRight(this.conversation.lock.release(this), Deferred.succeed(this.#settled, undefined))
      return this.conversation.background.start(Effect.ensuring(commit, release))
    })
  }
}
