/**
 * One turn of a conversation: a list of steps and one commit.
 *
 * A step is one request and its answer. A turn ends once, in one of four ways: completed, failed, stopped by the
 * conversation, or abandoned by its consumer. The first to end it commits what is kept, in the background, and the lock is
 * released after that. Only the turn's own fiber waits for the commit, and an interruption ends the wait.
 */
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Random from "effect/Random"
import * as Scope from "effect/Scope"
import {
  type BusyError,
  type ChatError,
  type HistoryStoreError,
  type InvalidRequestError,
  TruncatedError
} from "../../ChatError.ts"
import type { ChatEvent } from "../../ChatEvent.ts"
import {
  type AssistantMessage,
  type ChatMessage,
  fromPrompt,
  fromResponse,
  type Prompt,
  type ToolMessage
} from "../../ChatMessage.ts"
import type { ChatResponse, FinishReason, ToolCall } from "../../ChatResponse.ts"
import type * as TurnModule from "../../Turn.ts"
import { change, PartialResponse, saysNothing } from "../decode/response.ts"
import { change as changeError } from "../errors/toChatError.ts"
import { asText, defined, parseJson } from "../json.ts"
import * as CallIds from "../request/callIds.ts"
import { type Stopped, stopped, untilAborted } from "../transport/wait.ts"
import type { Question, StoreError } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Closed, Holder } from "./lock.ts"
import { Meter } from "./meter.ts"

/**
 * Decides what follows a step: the results of the answer's tool calls, which the next step sends. The turn is done if
 * there are none.
 */
export type NextStep = (answer: ChatResponse) => Effect.Effect<ReadonlyArray<ToolMessage>, ChatError>

/** Makes a part of what cannot be interrupted interruptible again. */
export type Restore = <A, E>(effect: Effect.Effect<A, E>) => Effect.Effect<A, E>

/** One request of a turn, with what came of it. */
export interface Step {
  readonly answer: ChatResponse
  /** The messages that the step adds to the turn: the answer, and what follows it. */
  readonly messages: ReadonlyArray<ChatMessage>
}

type State = "waiting" | "running" | "stopping" | "ended"

/** A turn that holds its conversation's lock. */
export class Turn implements Holder {
  readonly id: string
  readonly conversation: Conversation
  /** What the turn answers. It is looked for when the turn begins if it is an earlier question. */
  question: Question
  /** The resources of the turn's calls: released when the turn is stopped, and with the turn's scope. */
  readonly scope: Scope.CloseableScope
  /** Counts the tokens of the turn's calls. */
  readonly meter: Meter = new Meter()
  readonly #onInterrupt: "keep" | "rollback"
  readonly #onFailure: "keep" | "rollback"
  readonly #nextStep: NextStep | undefined
  readonly #controller = new AbortController()
  readonly #settled: Deferred.Deferred<void>
  #steps: ReadonlyArray<Step> = []
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
    readonly onInterrupt: "keep" | "rollback"
    readonly onFailure: "keep" | "rollback"
    readonly settled: Deferred.Deferred<void>
    readonly nextStep?: NextStep | undefined
  }) {
    this.id = options.id
    this.conversation = options.conversation
    this.question = options.question
    this.scope = options.scope
    this.#onInterrupt = options.onInterrupt
    this.#onFailure = options.onFailure
    this.#settled = options.settled
    this.#nextStep = options.nextStep
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
   * undefined if another step follows. A tool call that was cut fails the turn. What decides about the next step can be
   * interrupted, by `restore`, and so can the wait for the store.
   */
  endStep(
    response: ChatResponse,
    restore: Restore
  ): Effect.Effect<ChatResponse | undefined, ChatError | Stopped> {
    const error = cutCall(response)
    if (error !== undefined) return Effect.zipRight(this.fail(error, restore), Effect.fail(error))
    const answer = withCallIds(response)
    const nextStep = answer.toolCalls.length === 0 ? undefined : this.#nextStep
    if (nextStep === undefined) return this.#complete(answer, restore)
    this.meter.answered(answer)
    return Effect.matchEffect(restore(this.wait(nextStep(answer))), {
      onFailure: (error) =>
        error._tag === "Stopped" ? Effect.fail(error) : Effect.zipRight(this.fail(error, restore), Effect.fail(error)),
      onSuccess: (results) => {
        if (results.length === 0) return this.#complete(answer, restore)
        const message = fromResponse(answer)
        const messages = message === undefined ? results : [message, ...results]
        this.#steps = [...this.#steps, { answer, messages }]
        this.#partial = new PartialResponse()
        return Effect.succeed(undefined)
      }
    })
  }

  /** The turn failed: the history keeps what `onFailure` says, and the turn's resources are released. */
  fail(error: ChatError, restore: Restore): Effect.Effect<void, Stopped> {
    const usage = this.meter.partial(error.partial)
    const rollback = this.conversation.recordUsage(usage)
    const partial = error.partial ?? this.#partial.response("error")
    const keep = Effect.catchAll(
      this.#commit(change(partial, { usage, toolCalls: [], finishReason: "error" }), false),
      (error) => Effect.logWarning("A turn that failed could not be stored", error)
    )
    const end = this.#end(this.#onFailure === "keep" ? keep : rollback)
    return Effect.flatMap(end, (wait) =>
      Effect.zipRight(
        Scope.close(this.scope, Exit.fail(error)),
        wait === undefined ? Effect.fail(stopped) : restore(wait)
      ))
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
    return Effect.suspend(() => {
      const response = this.#part("interrupted")
      return this.#onInterrupt === "rollback"
        ? this.conversation.recordUsage(response.usage)
        : this.#commit(response, false)
    })
  }

  /** Ends the turn with the complete answer of its last step. */
  #complete(response: ChatResponse, restore: Restore): Effect.Effect<ChatResponse, ChatError | Stopped> {
    const answer = change(response, { usage: this.meter.total(response), turnId: this.id })
    let isLeft = false
    const commit = this.#commit(answer, true).pipe(
      // The error has the answer that the store did not take.
      Effect.mapError((error) => changeError(error, { partial: answer })),
      Effect.tapErrorCause((cause) => isLeft ? Effect.logWarning("A turn could not be stored", cause) : Effect.void)
    )
    const leave = Effect.sync(() => isLeft = true)
    return Effect.flatMap(
      this.#end(commit),
      (wait): Effect.Effect<ChatResponse, ChatError | Stopped> =>
        wait === undefined ? Effect.fail(stopped) : Effect.as(Effect.onInterrupt(restore(wait), () => leave), answer)
    )
  }

  /** What has arrived of the step's answer, with the usage of the turn. */
  #part(reason: FinishReason): ChatResponse {
    const response = this.#partial.response(reason)
    return change(response, { usage: this.meter.partial(response), turnId: this.id })
  }

  /**
   * Commits the turn: the question, the steps and the answer, which can be empty. A turn that is to replace others does so
   * with a complete answer only. Nothing is kept of a turn whose history was cleared.
   */
  #commit(response: ChatResponse, isComplete: boolean): Effect.Effect<void, StoreError> {
    const { usage } = response
    const { context: _sent, input, ...place } = this.question
    const isCleared = this.#clears !== this.conversation.clears
    if (isCleared || (place.keepTurns !== undefined && !isComplete)) return this.conversation.recordUsage(usage)
    const answer = fromResponse(response) ?? blank(response)
    const messages = [...input, ...this.#steps.flatMap((step) => step.messages), answer]
    return this.conversation.commit({ turnId: this.id, messages, usage, ...place })
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

/** An answer without text. Requests leave it out, and it tells why the question has no other. */
const blank = ({ finishReason, model, provider, reasoning, usage }: ChatResponse): AssistantMessage =>
  defined<AssistantMessage>({
    role: "assistant",
    content: "",
    reasoning: asText(reasoning),
    finishReason,
    model: asText(model),
    provider,
    usage
  })

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

/** The input of a turn, and what is sent before it. */
export interface Opening {
  readonly input: TurnModule.Input
  readonly context?: Prompt | undefined
  /** Default a new id. */
  readonly turnId?: string | undefined
}

const isPrompt = (input: TurnModule.Input): input is Prompt => typeof input === "string" || !("_tag" in input)

const hexDigits = Effect.map(
  Random.nextIntBetween(0, 2 ** 32),
  (number) => number.toString(16).padStart(8, "0")
)

/** A new id for a turn. */
export const makeId: Effect.Effect<string> = Effect.zipWith(
  hexDigits,
  hexDigits,
  (some, others) => `turn_${some}${others}`
)

/** Waits for this conversation's next turn. It is abandoned with the scope, unless it ended before. */
export const begin = (
  conversation: Conversation,
  { context, input, turnId }: Opening,
  scope: Scope.Scope,
  nextStep?: NextStep
): Effect.Effect<Turn, BusyError | Closed | HistoryStoreError | InvalidRequestError> =>
  Effect.gen(function*() {
    const config = yield* conversation.config
    const turn = new Turn({
      id: turnId ?? (yield* makeId),
      conversation,
      question: isPrompt(input)
        ? { input: fromPrompt(input), isUnchecked: turnId !== undefined }
        : { input: [], keepTurns: 0 },
      scope: yield* Scope.make(),
      onInterrupt: config.onInterrupt,
      onFailure: config.onFailure,
      settled: yield* Deferred.make<void>(),
      nextStep
    })
    // Before the lock is taken: a turn can be interrupted at the very moment at which it is handed over.
    yield* Scope.addFinalizer(scope, turn.abandon)
    yield* conversation.lock.acquire(turn, config.turnPolicy)
    yield* turn.start
    const resolved = isPrompt(input) ? Effect.succeed(turn.question) : turn.wait(conversation.resolve(input))
    // A turn that was stopped meanwhile asks nothing.
    const question = yield* Effect.catchTag(resolved, "Stopped", () => Effect.succeed(turn.question))
    turn.question = { ...question, context: context === undefined ? [] : fromPrompt(context) }
    return turn
  })
