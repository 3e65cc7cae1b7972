/**
 * Runs the tool calls of one answer concurrently. The results have the order of the calls.
 */
import * as Cause from "effect/Cause"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Option from "effect/Option"
import type { ApprovalRequest } from "../../ChatEvent.ts"
import type { ContentPart } from "../../ChatMessage.ts"
import type { ToolCall, ToolOutcome } from "../../ChatResponse.ts"
import { canonicalCall, parseArguments } from "./arguments.ts"
import type { HandlerFailure, Prepared, Provided } from "./model.ts"
import { truncateResult } from "./result.ts"
import * as ResultTexts from "./resultTexts.ts"
import type { CallResult, CallToRun, Decision, RunOptions, RunResult } from "./runOptions.ts"
import { ToolError } from "./toolError.ts"

/** How long a turn that ends, or a handler that times out, waits for the finalizers of interrupted handlers. */
export const finalizerTimeout = "5 seconds"

/** The state of one call. */
type State =
  | { readonly _tag: "NotStarted" }
  | { readonly _tag: "Running" }
  | { readonly _tag: "Pending"; readonly request: ApprovalRequest }
  | { readonly _tag: "Done"; readonly result: CallResult }

/** The end of a call, before its text is truncated. */
interface CallEnd {
  readonly outcome: ToolOutcome
  readonly text: string
  readonly media?: ReadonlyArray<ContentPart>
}

/** Runs the calls, and passes a result for each call to `onAbort` if the run does not succeed. */
export const runCalls = (options: RunOptions): Effect.Effect<RunResult, ToolError> =>
  Effect.suspend(() => {
    const run = new CallRunner(options)
    options.onStart?.(() => run.aborted())
    return Effect.forEach(options.calls, (entry, index) => run.runCall(entry, index), {
      concurrency: "unbounded",
      discard: true
    }).pipe(
      Effect.map(() => run.result()),
      Effect.onExit((exit) =>
        Exit.isSuccess(exit) || options.onAbort === undefined ? Effect.void : options.onAbort(run.aborted())
      )
    )
  })

class CallRunner {
  readonly #options: RunOptions
  readonly #states: Array<State>
  readonly #permits: Effect.Semaphore

  constructor(options: RunOptions) {
    this.#options = options
    this.#states = options.calls.map(() => ({ _tag: "NotStarted" }))
    this.#permits = Effect.unsafeMakeSemaphore(Math.max(1, options.concurrency))
  }

  result(): RunResult {
    const results = this.#states.flatMap((state) => state._tag === "Done" ? [state.result] : [])
    const pending = this.#options.calls.flatMap((entry, index) => {
      const state = this.#states[index]
      return state?._tag === "Pending" ? [{ call: entry, request: state.request }] : []
    })
    return { results, pending }
  }

  /** A result for each call of a run that is interrupted or fails. */
  aborted(): ReadonlyArray<CallResult> {
    return this.#options.calls.map((entry, index) => {
      const state = this.#states[index]
      if (state?._tag === "Done") return state.result
      return this.#toResult(
        entry,
        state?._tag === "Running"
          ? { outcome: "unknown", text: ResultTexts.unknown }
          : { outcome: "notStarted", text: ResultTexts.notStarted }
      )
    })
  }

  runCall(entry: CallToRun, index: number): Effect.Effect<void, ToolError> {
    const { calls, isCutOff = false, previous, tools, context } = this.#options
    const tool = tools.find(({ name }) => name === entry.call.name)
    if (isCutOff && index === calls.length - 1) {
      return this.#recordResult(entry, index, { outcome: "cutOff", text: ResultTexts.cutOff })
    }
    const denial = entry.decision === undefined ? undefined : denialOf(entry.call, entry.decision)
    if (denial !== undefined) return this.#recordResult(entry, index, denial)
    if (tool === undefined) {
      return this.#recordResult(entry, index, {
        outcome: "unknownTool",
        text: ResultTexts.unknownTool(entry.call.name, tools)
      })
    }
    const args = parseArguments(entry.call.arguments)
    if (args === undefined) {
      return this.#recordResult(entry, index, {
        outcome: "invalidArguments",
        text: ResultTexts.invalidArguments("They are not JSON")
      })
    }
    const refused = refusalOfEqualCall(entry.call, previous, context.step)
    if (refused !== undefined) return this.#recordResult(entry, index, refused)
    return Effect.flatMap(Effect.either(tool.prepare(args.value)), (prepared) =>
      prepared._tag === "Left"
        ? this.#recordResult(entry, index, {
          outcome: "invalidArguments",
          text: ResultTexts.invalidArguments(prepared.left.message)
        })
        : this.#runOrRequestApproval(entry, index, tool, prepared.right))
  }

  readonly #runOrRequestApproval = Effect.fnUntraced(
    function*(this: CallRunner, entry: CallToRun, index: number, tool: Provided, prepared: Prepared<never>) {
      const { approvalTimeout = "10 minutes", approve, context, emit, isFinal = false } = this.#options
      const { call, callId, decision } = entry
      if (decision === undefined && !(yield* prepared.needsApproval)) {
        return yield* this.#runHandler(entry, index, tool, prepared)
      }
      if (decision !== undefined) return yield* this.#applyDecision(entry, index, tool, prepared, decision)
      const request: ApprovalRequest = {
        _tag: "ApprovalRequest",
        callId,
        step: context.step,
        name: call.name,
        arguments: call.arguments
      }
      if (approve === undefined && isFinal) {
        return yield* this.#applyDecision(entry, index, tool, prepared, {
          approved: false,
          reason: ResultTexts.noApprover
        })
      }
      if (approve === undefined) {
        this.#states[index] = { _tag: "Pending", request }
        return
      }
      yield* emit(request)
      const answer = yield* Effect.timeoutOption(approve(request), approvalTimeout)
      return yield* Option.isNone(answer)
        ? this.#recordResult(entry, index, { outcome: "approvalTimeout", text: ResultTexts.approvalTimeout })
        : this.#applyDecision(entry, index, tool, prepared, answer.value)
    }
  ).bind(this)

  #applyDecision(entry: CallToRun, index: number, tool: Provided, prepared: Prepared<never>, decision: Decision) {
    const denial = denialOf(entry.call, decision)
    return denial === undefined
      ? this.#runHandler(entry, index, tool, prepared)
      : this.#recordResult(entry, index, denial)
  }

  /** Runs a handler and records its outcome, in one uninterruptible region, so that a stop cannot lose the outcome. */
  #runHandler(
    entry: CallToRun,
    index: number,
    tool: Provided,
    prepared: Prepared<never>
  ): Effect.Effect<void, ToolError> {
    const { context, emit } = this.#options
    const { call, callId } = entry
    const start = emit({ _tag: "ToolStart", callId, step: context.step, name: call.name, arguments: call.arguments })
    const handler = prepared.run({ ...context, callId })
    const limited = tool.timeout === undefined
      ? Effect.map(handler, Option.some)
      : withTimeLimit(handler, tool.timeout)
    const recorded = Effect.uninterruptibleMask((restore) =>
      Effect.suspend(() => {
        this.#states[index] = { _tag: "Running" }
        return Effect.exit(restore(limited))
      }).pipe(
        Effect.flatMap((exit) => this.#recordExit(entry, index, tool, exit))
      )
    )
    return this.#permits.withPermits(1)(Effect.zipRight(start, recorded))
  }

  #recordExit(
    entry: CallToRun,
    index: number,
    tool: Provided,
    exit: Exit.Exit<
      Option.Option<{ readonly text: string; readonly media: ReadonlyArray<ContentPart> }>,
      HandlerFailure
    >
  ): Effect.Effect<void, ToolError> {
    if (Exit.isSuccess(exit)) {
      return this.#recordResult(
        entry,
        index,
        Option.match(exit.value, {
          onNone: (): CallEnd => ({ outcome: "timeout", text: ResultTexts.timeout(tool.timeout) }),
          onSome: (result): CallEnd => ({ outcome: "success", ...result })
        }),
        tool.maxResultLength
      )
    }
    const failure = Cause.failureOrCause(exit.cause)
    if (failure._tag === "Right") return Effect.failCause(failure.right)
    const { cause, text } = failure.left
    const ended = this.#recordResult(entry, index, { outcome: "failure", text }, tool.maxResultLength)
    if (tool.failureMode === "report") return ended
    const message = `The tool ${tool.name} failed`
    return Effect.zipRight(ended, Effect.fail(new ToolError({ message, tool: tool.name, callId: entry.callId, cause })))
  }

  #recordResult(entry: CallToRun, index: number, ended: CallEnd, max?: number): Effect.Effect<void> {
    return Effect.suspend(() => {
      const result = this.#toResult(entry, ended, max)
      this.#states[index] = { _tag: "Done", result }
      const { callId, content, media, outcome, step } = result
      return this.#options.emit({ _tag: "ToolResult", callId, step, name: entry.call.name, outcome, content, media })
    })
  }

  #toResult({ call, callId }: CallToRun, { media = [], outcome, text }: CallEnd, max?: number): CallResult {
    return { callId, call, step: this.#options.context.step, outcome, content: truncateResult(text, max), media }
  }
}

/** Interrupts a handler at its time limit. Then waits for its finalizers, for at most `finalizerTimeout`. */
const withTimeLimit = <A, E>(
  handler: Effect.Effect<A, E>,
  limit: Duration.DurationInput
): Effect.Effect<Option.Option<A>, E> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(Effect.forkDaemon(restore(handler)), (fiber) => {
      const ended = Fiber.await(fiber)
      const leave = Effect.zipRight(Fiber.interruptFork(fiber), Effect.timeoutOption(ended, finalizerTimeout))
      return Effect.onInterrupt(
        restore(Effect.flatMap(Effect.timeoutOption(ended, limit), (exit) =>
          Option.isSome(exit) ? Effect.asSome(exit.value) : Effect.as(leave, Option.none()))),
        () =>
          Fiber.interrupt(fiber)
      )
    })
  )

/** Refuses a call if an equal call was denied in this turn, or had the same result twice in a row. */
const refusalOfEqualCall = (call: ToolCall, previous: ReadonlyArray<CallResult>, step: number): CallEnd | undefined => {
  const key = canonicalCall(call)
  const equal = previous.filter((earlier) => canonicalCall(earlier.call) === key)
  const last = equal.at(-1)
  if (last === undefined) return undefined
  if (equal.some(({ outcome }) => outcome === "denied")) {
    return { outcome: "denied", text: ResultTexts.denied(call.name, "an equal call was denied in this turn") }
  }
  if (last.step < step - 1) return undefined
  if (last.outcome === "repeated") return { outcome: "repeated", text: ResultTexts.repeated }
  const before = equal.at(-2)
  const isRepeated = before !== undefined && before.step >= last.step - 1 && before.outcome === last.outcome &&
    before.content === last.content && JSON.stringify(before.media) === JSON.stringify(last.media)
  return isRepeated ? { outcome: "repeated", text: ResultTexts.repeated } : undefined
}

/** The end of a call that was not approved. */
export const denialOf = ({ name }: ToolCall, decision: Decision): CallEnd | undefined => {
  const { approved, reason } = typeof decision === "boolean" ? { approved: decision, reason: undefined } : decision
  return approved ? undefined : { outcome: "denied", text: ResultTexts.denied(name, reason) }
}
