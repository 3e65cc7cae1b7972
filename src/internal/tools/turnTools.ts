/**
 * The tools of one turn: adds them to each request, runs the calls of each answer, and reports the steps.
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type { CallOptions, Tool as Described } from "../../CallOptions.ts"
import type { ApprovalRequest, ToolEvent } from "../../ChatEvent.ts"
import type { ContentPart, ToolMessage } from "../../ChatMessage.ts"
import type { ChatResponse, Step, StepCall, ToolCall } from "../../ChatResponse.ts"
import { defined } from "../json.ts"
import { makeDeferred } from "../transport/wait.ts"
import type { Answer } from "./answer.ts"
import { callIdOf } from "./callId.ts"
import { Content, type Provided } from "./model.ts"
import { resultOf, truncateResult } from "./result.ts"
import * as ResultTexts from "./resultTexts.ts"
import { denialOf, finalizerTimeout } from "./runCalls.ts"
import type { Approve, CallResult, CallToRun, RunOptions, RunResult } from "./runOptions.ts"
import { stepsOf, type StoredCall, type StoredStep } from "./storedStep.ts"
import type { ToolError } from "./toolError.ts"

/** The tool options of a turn. */
export interface Options {
  readonly maxSteps?: number | undefined
  readonly toolConcurrency?: number | undefined
  readonly approve?: Approve | undefined
  readonly approvalTimeout?: Duration.DurationInput | undefined
  /** Whether calls that need an approval are denied without `approve`. */
  readonly isFinal?: boolean | undefined
}

/** Returns the current tools, and runs their calls. */
export interface ToolRunner {
  readonly current: Effect.Effect<ReadonlyArray<Provided>>
  readonly runCalls: (options: RunOptions) => Effect.Effect<RunResult, ToolError>
}

/** The turn that calls belong to, and its conversation, by their ids. */
export interface TurnRef {
  readonly conversation: string
  readonly turnId: string
}

/** The result of running the calls of an answer. */
export interface StepResult {
  /** The calls of the answer. Those that wait for an approval are marked. */
  readonly toolCalls: ReadonlyArray<ToolCall>
  /** The results of the calls that are not open. */
  readonly messages: ReadonlyArray<ToolMessage>
  /** The requests for approval. They are emitted after the open calls are stored. */
  readonly requests: ReadonlyArray<ApprovalRequest>
  /** Whether some calls are open: they wait for an approval or for a result by the program. */
  readonly isOpen: boolean
}

/** The results of an aborted run. `events` are only for the calls that did not end. */
export interface Aborted {
  readonly messages: ReadonlyArray<ToolMessage>
  readonly events: ReadonlyArray<ToolEvent>
}

type Emit = (event: ToolEvent) => Effect.Effect<void>

/** The current run of calls. */
interface CurrentRun {
  /** All calls of the answer, including calls without a handler. */
  readonly calls: ReadonlyArray<CallToRun>
  /** Returns the current results. */
  snapshot: () => ReadonlyArray<CallResult>
  hasBegun: boolean
  isAborted: boolean
  readonly ended: Deferred.Deferred<void>
}

const defaultMaxSteps = 10
const defaultConcurrency = 8

/** The tools of one turn. Mutable, because the steps of a turn run one after another. */
export class TurnTools {
  /** Wraps each wait for an approval. A turn uses it to pause its time limit. */
  runApproval: <A>(wait: Effect.Effect<A>) => Effect.Effect<A> = (wait) => wait
  readonly #runner: ToolRunner
  readonly #options: Options
  #step = 0
  #offered: { readonly tools: ReadonlyArray<Provided>; readonly options: CallOptions } | undefined
  #stepLimit: ChatResponse["stepLimit"]
  #currentRun: CurrentRun | undefined
  readonly #results: Array<CallResult> = []
  readonly #steps: Array<Step> = []

  constructor(runner: ToolRunner, options: Options) {
    this.#runner = runner
    this.#options = options
  }

  /** Whether calls can wait for an approval inside the turn. */
  get canWaitForApproval(): boolean {
    return this.#options.approve !== undefined
  }

  /** Whether the answer to the current request ends the turn, even if it calls a tool. */
  get isLastStep(): boolean {
    return this.#offered?.options.toolChoice === "none"
  }

  /** The steps of the turn, and the limit that ended it, if there is one. */
  get report(): Pick<ChatResponse, "steps" | "stepLimit"> {
    return defined({ steps: this.#steps.slice(), stepLimit: this.#stepLimit })
  }

  /** The options of the next request, with the tools. All attempts of one step have the same tools. */
  requestOptions(options: CallOptions): Effect.Effect<CallOptions> {
    return Effect.suspend(() => {
      if (this.#offered !== undefined) return Effect.succeed(this.#offered.options)
      return Effect.map(this.#runner.current, (tools) => {
        const names = new Set(tools.map(({ name }) => name))
        const described = (options.tools ?? []).filter(({ name }) => !names.has(name))
        const all: ReadonlyArray<Described> = [...tools.map(describe), ...described]
        this.#offered = { tools, options: { ...options, tools: all, toolChoice: this.#toolChoice(options) } }
        return this.#offered.options
      })
    })
  }

  /** Applies a forced choice to the first request only. Otherwise the model would call tools until the step limit. */
  #toolChoice({ toolChoice }: CallOptions): CallOptions["toolChoice"] {
    if (this.#stepLimit !== undefined) return "none"
    return this.#step === 0 || toolChoice === "none" || toolChoice === "auto" ? toolChoice : undefined
  }

  /** Runs the calls of an answer. */
  run(answer: ChatResponse, isCutOff: boolean, turnRef: TurnRef, emit: Emit): Effect.Effect<StepResult, ToolError> {
    const { options = {}, tools = [] } = this.#offered ?? {}
    const calls = answer.toolCalls.map((call, index): CallToRun => ({
      callId: callIdOf(turnRef.turnId, this.#step, index),
      call
    }))
    // The program provides the results for tools without a handler, but not for a call whose arguments are incomplete.
    const isRunByTurn = (entry: CallToRun): boolean =>
      tools.some(({ name }) => name === entry.call.name) ||
      !options.tools?.some(({ name }) => name === entry.call.name) ||
      (isCutOff && entry === calls.at(-1))
    const run = calls.filter(isRunByTurn)
    return Effect.map(
      this.#runCalls(calls, run, tools, isCutOff, turnRef, emit),
      ({ pending, results }) => {
        const waiting = new Set(pending.map(({ call }) => call.callId))
        return {
          toolCalls: calls.map(({ call, callId }) => waiting.has(callId) ? { ...call, needsApproval: true } : call),
          messages: results.map(toMessage),
          requests: pending.map(({ request }) => request),
          isOpen: results.length < calls.length
        }
      }
    )
  }

  /** Adds the earlier steps of a stored turn. Their calls count for the checks of repeated and denied calls. */
  restore(stored: StoredStep): void {
    this.#step = stored.step
    for (const [step, { answer, calls }] of stepsOf(stored.turnId, stored.before).entries()) {
      this.#results.push(...calls.flatMap((call) => storedResult(call, step)))
      this.#steps.push({
        finishReason: answer.finishReason ?? "tool-calls",
        usage: undefined,
        toolCalls: calls.map(toStepCall)
      })
    }
  }

  /**
   * Settles the answered open calls. `claim` stores a result for each of them before a handler starts, so that no other
   * process runs the same call. For a call that will run, this result has the outcome "unknown".
   */
  resume<E>(
    stored: StoredStep,
    answers: ReadonlyArray<Answer>,
    turnRef: TurnRef,
    { claim, emit }: { readonly emit: Emit; readonly claim: (result: StepResult) => Effect.Effect<void, E> }
  ): Effect.Effect<StepResult, ToolError | E> {
    return Effect.gen(this, function*() {
      const tools = yield* this.#runner.current
      const byId = new Map(answers.map((answer) => [answer.callId, answer]))
      const provided = stored.calls.flatMap((call): ReadonlyArray<CallResult> => {
        const answer = byId.get(call.callId)
        return answer !== undefined && "result" in answer ? [this.#toAnswerResult(call, answer.result)] : []
      })
      const decided = stored.calls.flatMap(({ call, callId }): ReadonlyArray<CallToRun> => {
        const answer = byId.get(callId)
        return answer !== undefined && "approved" in answer ? [{ call, callId, decision: answer }] : []
      })
      const settled = [...stored.calls.flatMap((call) => storedResult(call, this.#step)), ...provided]
      if (answers.length > 0) {
        yield* claim(this.#toStepResult(stored, [...settled, ...decided.map((entry) => this.#toClaimResult(entry))]))
      }
      yield* Effect.forEach(provided, (result) => emit(toEvent(result)), { discard: true })
      const run = yield* this.#runCalls(stored.calls, decided, tools, false, turnRef, emit, settled)
      return this.#toStepResult(stored, [...settled, ...run.results])
    })
  }

  #toAnswerResult({ call, callId }: StoredCall, result: string | ReadonlyArray<ContentPart>): CallResult {
    const { media, text } = resultOf(typeof result === "string" ? result : new Content({ parts: result }))
    return { callId, call, step: this.#step, outcome: "success", content: truncateResult(text), media }
  }

  #toClaimResult({ call, callId, decision }: CallToRun): CallResult {
    const { outcome, text } = (decision === undefined ? undefined : denialOf(call, decision)) ??
      { outcome: "unknown", text: ResultTexts.unknown }
    return { callId, call, step: this.#step, outcome, content: text, media: [] }
  }

  /** The result of a stored step, with the results in the order of its calls. */
  #toStepResult(stored: StoredStep, results: ReadonlyArray<CallResult>): StepResult {
    const ordered = stored.calls.flatMap(({ callId }) => results.find((result) => result.callId === callId) ?? [])
    return {
      toolCalls: stored.calls.map(({ call }) => call),
      messages: ordered.map(toMessage),
      requests: [],
      isOpen: ordered.length < stored.calls.length
    }
  }

  #runCalls(
    all: ReadonlyArray<CallToRun>,
    calls: ReadonlyArray<CallToRun>,
    tools: ReadonlyArray<Provided>,
    isCutOff: boolean,
    turnRef: TurnRef,
    emit: Emit,
    settled: ReadonlyArray<CallResult> = []
  ): Effect.Effect<RunResult, ToolError> {
    const { approvalTimeout, approve, isFinal, toolConcurrency = defaultConcurrency } = this.#options
    const running = this.#begin(all, settled)
    return Effect.suspend(() => {
      if (running.isAborted) return Effect.interrupt
      running.hasBegun = true
      return this.#runner.runCalls({
        calls,
        tools,
        context: { ...turnRef, step: this.#step },
        concurrency: toolConcurrency,
        approve: approve && ((request) => this.runApproval(approve(request))),
        approvalTimeout,
        isFinal,
        previous: this.#results,
        isCutOff,
        emit,
        onStart: (snapshot) => {
          running.snapshot = () => [...settled, ...snapshot()]
        }
      }).pipe(Effect.onExit(() => Deferred.succeed(running.ended, undefined)))
    })
  }

  /** Begins a run. Until it starts, only the settled calls have a result. */
  #begin(calls: ReadonlyArray<CallToRun>, settled: ReadonlyArray<CallResult>): CurrentRun {
    const running: CurrentRun = {
      calls,
      snapshot: () => settled,
      hasBegun: false,
      isAborted: false,
      ended: makeDeferred()
    }
    this.#currentRun = running
    return running
  }

  #toNotStartedResult({ call, callId }: CallToRun): CallResult {
    return { callId, call, step: this.#step, outcome: "notStarted", content: ResultTexts.notStarted, media: [] }
  }

  /**
   * Aborts the current run, and returns a result for each of its calls: the result of a call that ended, "notStarted", or
   * "unknown" for a call that was running. Waits for the finalizers of the handlers, for at most `finalizerTimeout`.
   */
  get abort(): Effect.Effect<Aborted> {
    return Effect.suspend(() => {
      const running = this.#currentRun
      if (running === undefined) return Effect.succeed({ messages: [], events: [] })
      running.isAborted = true
      const ended = running.hasBegun
        ? Effect.timeoutOption(Deferred.await(running.ended), finalizerTimeout)
        : Effect.succeed(Option.none())
      return Effect.map(ended, () => {
        const known = running.snapshot()
        const results = running.calls.map((entry) =>
          known.find(({ callId }) => callId === entry.callId) ?? this.#toNotStartedResult(entry)
        )
        const unfinished = results.filter(({ outcome }) => outcome === "unknown" || outcome === "notStarted")
        return { messages: results.map(toMessage), events: unfinished.map(toEvent) }
      })
    })
  }

  /** Adds a completed step with the results of its calls. Returns its number. */
  addStep(
    step: Pick<Step, "finishReason" | "usage">,
    calls: ReadonlyArray<ToolCall>,
    { turnId }: TurnRef,
    results: ReadonlyArray<ToolMessage>
  ): number {
    const stored = calls.map((call, index): StoredCall => ({
      callId: callIdOf(turnId, this.#step, index),
      call,
      result: results.find(({ toolCallId }) => toolCallId === call.id)
    }))
    this.#steps.push({ ...step, toolCalls: stored.map(toStepCall) })
    this.#results.push(...stored.flatMap((call) => storedResult(call, this.#step)))
    this.#offered = undefined
    this.#currentRun = undefined
    if (calls.length > 0) this.#step++
    const isRepeated = results.some(({ outcome }) => outcome === "repeated")
    if (isRepeated) this.#stepLimit = "repeatedCall"
    else if (calls.length > 0 && this.#step >= Math.max(1, this.#options.maxSteps ?? defaultMaxSteps)) {
      this.#stepLimit = "maxSteps"
    }
    return this.#steps.length - 1
  }
}

const describe = ({ description, name, parameters, strict }: Provided): Described =>
  defined<Described>({ name, description, parameters, strict })

const toStepCall = ({ call, callId, result }: StoredCall): StepCall =>
  defined<StepCall>({
    callId,
    name: call.name,
    arguments: call.arguments,
    outcome: result?.outcome,
    result: result?.content
  })

const storedResult = ({ call, callId, result }: StoredCall, step: number): ReadonlyArray<CallResult> =>
  result === undefined
    ? []
    : [{ callId, call, step, outcome: result.outcome ?? "success", content: result.content, media: result.media ?? [] }]

const toMessage = ({ call, content, media, outcome }: CallResult): ToolMessage =>
  defined<ToolMessage>({
    role: "tool",
    toolCallId: call.id,
    content,
    media: media.length === 0 ? undefined : media,
    outcome
  })

/** The event of a result. */
const toEvent = ({ call, callId, content, media, outcome, step }: CallResult): ToolEvent => ({
  _tag: "ToolResult",
  callId,
  step,
  name: call.name,
  outcome,
  content,
  media
})
