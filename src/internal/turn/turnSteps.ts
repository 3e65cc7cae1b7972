/**
 * The steps of one turn: the messages of its completed steps, and the tool calls of its current step.
 */
import * as Effect from "effect/Effect"
import type { CallOptions } from "../../CallOptions.ts"
import type { TimeoutError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type ChatMessage, fromResponse, type ToolMessage } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { withFields } from "../decode/response.ts"
import type { ToolError } from "../tools/toolError.ts"
import type { StepResult, TurnTools } from "../tools/turnTools.ts"
import { isCutOff, withCallIds, withoutCutArguments } from "./answers.ts"
import type { Question, StoreError } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Meter } from "./meter.ts"
import { type Resumed, toResponse } from "./openCalls.ts"
import type { TotalLimit } from "./totalLimit.ts"

/** The part of a `Turn` that its steps use. */
interface TurnContext {
  readonly id: string
  readonly conversation: Conversation
  readonly question: Question
  readonly options: CallOptions
  readonly tools: TurnTools | undefined
  readonly meter: Meter
  readonly limit: TotalLimit | undefined
  readonly emit: (event: ToolEvent) => Effect.Effect<void>
}

/** An answer with tool calls, and the effect that runs them. */
export interface CallRun {
  readonly answer: ChatResponse
  readonly run: Effect.Effect<StepResult, ToolError | StoreError | TimeoutError>
}

/** The calls of an answer as they are stored, and their results. */
type CallResults = Pick<StepResult, "messages" | "toolCalls">

/** The steps of one turn. Mutable. */
export class TurnSteps {
  readonly #turn: TurnContext
  /** The answer of the current step, while its calls are running. */
  #unfinishedAnswer: ChatResponse | undefined
  #messages: ReadonlyArray<ChatMessage> = []
  /**
   * The results of answered calls that were stored before handlers started. The outcome of a call with a handler to run is
   * "unknown".
   */
  #claimed: ReadonlyArray<ToolMessage> | undefined
  /** The first step with its actual results, if it ended before all of its calls did. */
  #abortedStep: { readonly answer: ChatResponse; readonly messages: ReadonlyArray<ToolMessage> } | undefined

  constructor(turn: TurnContext) {
    this.#turn = turn
    const { limit, tools } = turn
    if (limit !== undefined && tools !== undefined) tools.runApproval = limit.pauseDuring
  }

  /** The messages of the completed steps: answers and the results of their calls. */
  get messages(): ReadonlyArray<ChatMessage> {
    return this.#messages
  }

  /** Whether the store has results of the calls that this turn resumed. */
  get hasClaimedCalls(): boolean {
    return this.#claimed !== undefined
  }

  /** The steps as the response of the turn reports them. */
  get report(): Pick<ChatResponse, "steps" | "stepLimit"> | undefined {
    return this.#turn.tools?.report
  }

  /** Returns the calls of an answer, or undefined if the answer ends the turn. */
  begin(response: ChatResponse, maxTokens: number | null): CallRun | undefined {
    const { emit, meter, tools } = this.#turn
    if (tools === undefined || tools.isLastStep || response.toolCalls.length === 0) return undefined
    const isCut = isCutOff(response, maxTokens)
    const answer = withCallIds(isCut ? withoutCutArguments(response) : response)
    meter.setAnswer(answer)
    this.#unfinishedAnswer = answer
    return { answer, run: this.#withTimeLimit(tools.run(answer, isCut, this.#turnRef, emit), tools) }
  }

  /** Returns the answered calls of a stored turn. Their results are stored before the next step starts. */
  resume({ answers, stored }: Resumed): CallRun | undefined {
    const { emit, tools } = this.#turn
    if (tools === undefined) return undefined
    tools.restore(stored)
    const answer = toResponse(stored.answer)
    const claim = (result: StepResult): Effect.Effect<void, StoreError> =>
      Effect.tap(this.#store(answer, result), () => {
        this.#claimed = result.messages
        this.#unfinishedAnswer = answer
      })
    const run = tools.resume(stored, answers, this.#turnRef, { claim, emit })
    const runAndStore = Effect.tap(run, (result) => result.isOpen ? Effect.void : this.#store(answer, result))
    return { answer, run: this.#withTimeLimit(runAndStore, tools) }
  }

  #withTimeLimit<A, E>(run: Effect.Effect<A, E>, tools: TurnTools): Effect.Effect<A, E | TimeoutError> {
    return this.#turn.limit === undefined ? run : this.#turn.limit.run(run, tools.canWaitForApproval)
  }

  /** Writes the stored turn again, so that it ends with this step. */
  #store(answer: ChatResponse, results: CallResults): Effect.Effect<void, StoreError> {
    const { conversation, id, question } = this.#turn
    const messages = [...question.input, ...this.#toMessages(answer, results)]
    const turn = { turnId: id, messages, usage: undefined, continuesLast: true }
    return conversation.background.run(conversation.write(false, () => turn))
  }

  /** Ends a step after its calls have run. Returns the events to emit. */
  end(answer: ChatResponse, result: StepResult): ReadonlyArray<ToolEvent> {
    this.#unfinishedAnswer = undefined
    if (!result.isOpen) this.#addMessages(answer, result)
    return [...result.requests, ...this.addToReport(answer, result)]
  }

  #addMessages(answer: ChatResponse, results: CallResults): void {
    this.#messages = [...this.#messages, ...this.#toMessages(answer, results)]
  }

  #toMessages(answer: ChatResponse, { messages, toolCalls }: CallResults): ReadonlyArray<ChatMessage> {
    const message = fromResponse(withFields(answer, { toolCalls, usage: answer.usage ?? this.#turn.question.usage }))
    return message === undefined ? messages : [message, ...messages]
  }

  /** Adds a step to the report of the turn. Returns its `StepFinish` event. */
  addToReport(answer: ChatResponse, { messages, toolCalls }: CallResults): ReadonlyArray<ToolEvent> {
    const { meter, tools } = this.#turn
    if (tools === undefined) return []
    const usage = meter.usageOf(answer)
    const reason = answer.finishReason
    const step = tools.addStep({ finishReason: reason, usage }, toolCalls, this.#turnRef, messages)
    return [{ _tag: "StepFinish", step, reason, usage }]
  }

  /**
   * Ends the current step if its calls are running, and adds it to the messages with a result for each call. Returns the
   * events to emit, or undefined if no calls are running.
   */
  get endUnfinishedStep(): Effect.Effect<ReadonlyArray<ToolEvent> | undefined> {
    return Effect.suspend(() => {
      const answer = this.#unfinishedAnswer
      const { tools } = this.#turn
      if (answer === undefined || tools === undefined) return Effect.succeed(undefined)
      return Effect.map(tools.abort, ({ events, messages }) => {
        const results = { toolCalls: answer.toolCalls, messages }
        if (this.#messages.length === 0) this.#abortedStep = { answer, messages }
        this.#unfinishedAnswer = undefined
        this.#addMessages(answer, results)
        return [...events, ...this.addToReport(answer, results)]
      })
    })
  }

  /**
   * Replaces the stored results of resumed calls by their actual results, if the step ended before all of its calls did.
   */
  get storeActualResults(): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      const [claimed, step] = [this.#claimed, this.#abortedStep]
      if (claimed === undefined || step === undefined) return Effect.void
      const ids = new Set(claimed.map(({ toolCallId }) => toolCallId))
      const messages = step.messages.filter(({ toolCallId }) => ids.has(toolCallId))
      return this.#store(step.answer, { toolCalls: step.answer.toolCalls, messages })
    })
  }

  get #turnRef(): { readonly conversation: string; readonly turnId: string } {
    return { conversation: this.#turn.conversation.id, turnId: this.#turn.id }
  }
}
