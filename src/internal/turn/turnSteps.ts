/**
 * The steps of one turn: what those that are over add to the history, and the calls that run.
 */
import * as Effect from "effect/Effect"
import type { CallOptions } from "../../CallOptions.ts"
import type { TimeoutError } from "../../ChatError.ts"
import type { ToolEvent } from "../../ChatEvent.ts"
import { type ChatMessage, fromResponse, type ToolMessage } from "../../ChatMessage.ts"
import type { ChatResponse } from "../../ChatResponse.ts"
import { withFields } from "../decode/response.ts"
import type { ToolError } from "../tools/toolError.ts"
import type { Ran, TurnTools } from "../tools/turnTools.ts"
import { isCutOff, withCallIds, withoutCutArguments } from "./answers.ts"
import type { Question, StoreError } from "./content.ts"
import type { Conversation } from "./conversation.ts"
import type { Meter } from "./meter.ts"
import { type Resumed, toResponse } from "./openCalls.ts"
import type { TotalLimit } from "./totalLimit.ts"

/** What the steps must know of their turn. */
interface Turn {
  readonly id: string
  readonly conversation: Conversation
  readonly question: Question
  readonly options: CallOptions
  readonly tools: TurnTools | undefined
  readonly meter: Meter
  readonly limit: TotalLimit | undefined
  readonly emit: (event: ToolEvent) => Effect.Effect<void>
}

/** An answer, and the run of its calls. */
export interface Calls {
  readonly answer: ChatResponse
  readonly run: Effect.Effect<Ran, ToolError | StoreError | TimeoutError>
}

/** The results of an answer's calls, and the calls as the history keeps them. */
type Results = Pick<Ran, "messages" | "toolCalls">

/** The steps of one turn. Mutable. */
export class TurnSteps {
  readonly #turn: Turn
  /** The answer whose calls run. */
  #open: ChatResponse | undefined
  #messages: ReadonlyArray<ChatMessage> = []
  /** The results that the store has of the calls that the turn goes on with. Their outcome can be unknown yet. */
  #claimed: ReadonlyArray<ToolMessage> | undefined
  /** What became of them if they did not all end. */
  #left: { readonly answer: ChatResponse; readonly messages: ReadonlyArray<ToolMessage> } | undefined

  constructor(turn: Turn) {
    this.#turn = turn
    const { limit, tools } = turn
    if (limit !== undefined && tools !== undefined) tools.wait = limit.wait
  }

  /** The messages of the steps that are over: answers, and the results of their calls. */
  get messages(): ReadonlyArray<ChatMessage> {
    return this.#messages
  }

  /** Whether the store has results for the calls that the turn goes on with. */
  get isClaimed(): boolean {
    return this.#claimed !== undefined
  }

  /** The steps for the response of the turn. */
  get report(): Pick<ChatResponse, "steps" | "stepLimit"> | undefined {
    return this.#turn.tools?.report
  }

  /** The calls of an answer, undefined if it ends the turn. */
  begin(response: ChatResponse, maxTokens: number | null): Calls | undefined {
    const { emit, meter, tools } = this.#turn
    if (tools === undefined || tools.isLast || response.toolCalls.length === 0) return undefined
    const isCut = isCutOff(response, maxTokens)
    const answer = withCallIds(isCut ? withoutCutArguments(response) : response)
    meter.answered(answer)
    this.#open = answer
    return { answer, run: this.#limited(tools.run(answer, isCut, this.#owner, emit), tools) }
  }

  /** The calls that the turn goes on with. Their results are stored before another step follows. */
  resume({ answers, stored }: Resumed): Calls | undefined {
    const { emit, tools } = this.#turn
    if (tools === undefined) return undefined
    tools.restore(stored)
    const answer = toResponse(stored.answer)
    const claim = (ran: Ran): Effect.Effect<void, StoreError> =>
      Effect.tap(this.#store(answer, ran), () => {
        this.#claimed = ran.messages
        this.#open = answer
      })
    const run = tools.resume(stored, answers, this.#owner, { claim, emit })
    const kept = Effect.tap(run, (ran) => ran.isOpen ? Effect.void : this.#store(answer, ran))
    return { answer, run: this.#limited(kept, tools) }
  }

  #limited<A, E>(run: Effect.Effect<A, E>, tools: TurnTools): Effect.Effect<A, E | TimeoutError> {
    return this.#turn.limit === undefined ? run : this.#turn.limit.run(run, tools.canWait)
  }

  /** Replaces the stored turn, which ends with this step then. */
  #store(answer: ChatResponse, results: Results): Effect.Effect<void, StoreError> {
    const { conversation, id, question } = this.#turn
    const messages = [...question.input, ...this.#toMessages(answer, results)]
    const turn = { turnId: id, messages, usage: undefined, continues: true }
    return conversation.background.run(conversation.write(false, () => turn))
  }

  /** The calls of an answer have ended. Another step follows, or the turn ends with calls that stay open. */
  end(answer: ChatResponse, ran: Ran): ReadonlyArray<ToolEvent> {
    this.#open = undefined
    if (!ran.isOpen) this.#keep(answer, ran)
    return [...ran.requests, ...this.addToReport(answer, ran)]
  }

  #keep(answer: ChatResponse, results: Results): void {
    this.#messages = [...this.#messages, ...this.#toMessages(answer, results)]
  }

  #toMessages(answer: ChatResponse, { messages, toolCalls }: Results): ReadonlyArray<ChatMessage> {
    const message = fromResponse(withFields(answer, { toolCalls, usage: answer.usage ?? this.#turn.question.usage }))
    return message === undefined ? messages : [message, ...messages]
  }

  /** Adds a step to the report of the turn. */
  addToReport(answer: ChatResponse, { messages, toolCalls }: Results): ReadonlyArray<ToolEvent> {
    const { meter, tools } = this.#turn
    if (tools === undefined) return []
    const usage = meter.usageOf(answer)
    const reason = answer.finishReason
    const step = tools.add({ finishReason: reason, usage }, toolCalls, this.#owner, messages)
    return [{ _tag: "StepFinish", step, reason, usage }]
  }

  /** Keeps the step whose calls did not all end, with what is known of them. Returns the events of that, if there is one. */
  get leave(): Effect.Effect<ReadonlyArray<ToolEvent> | undefined> {
    return Effect.suspend(() => {
      const answer = this.#open
      const { tools } = this.#turn
      if (answer === undefined || tools === undefined) return Effect.succeed(undefined)
      return Effect.map(tools.aborted, ({ events, messages }) => {
        const results = { toolCalls: answer.toolCalls, messages }
        if (this.#messages.length === 0) this.#left = { answer, messages }
        this.#open = undefined
        this.#keep(answer, results)
        return [...events, ...this.addToReport(answer, results)]
      })
    })
  }

  /** Stores what became of the calls that the turn went on with, of which the store has no outcome yet. */
  get keepClaimed(): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      const [claimed, left] = [this.#claimed, this.#left]
      if (claimed === undefined || left === undefined) return Effect.void
      const ids = new Set(claimed.map(({ toolCallId }) => toolCallId))
      const messages = left.messages.filter(({ toolCallId }) => ids.has(toolCallId))
      return this.#store(left.answer, { toolCalls: left.answer.toolCalls, messages })
    })
  }

  get #owner(): { readonly conversation: string; readonly turnId: string } {
    return { conversation: this.#turn.conversation.id, turnId: this.#turn.id }
  }
}
