/**
 * The options and the result of running the tool calls of an answer.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { ApprovalRequest, ToolEvent } from "../../ChatEvent.ts"
import type { ContentPart } from "../../ChatMessage.ts"
import type { ToolCall, ToolOutcome } from "../../ChatResponse.ts"
import type { Context, Provided } from "./model.ts"

/**
 * An answer to a request for approval.
 *
 * @since 0.1.0
 * @category models
 */
export type Decision = boolean | { readonly approved: boolean; readonly reason?: string | undefined }

/**
 * Decides whether a call may run.
 *
 * @since 0.1.0
 * @category models
 */
export type Approve = (request: ApprovalRequest) => Effect.Effect<Decision>

/**
 * A call to run.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallToRun {
  readonly callId: string
  readonly call: ToolCall
  /** The decision about an approval, if it was already made. */
  readonly decision?: Decision | undefined
}

/**
 * The result of a call.
 *
 * @since 0.1.0
 * @category models
 */
export interface CallResult {
  readonly callId: string
  readonly call: ToolCall
  readonly step: number
  readonly outcome: ToolOutcome
  /** The text for the model. */
  readonly content: string
  readonly media: ReadonlyArray<ContentPart>
}

/**
 * The options of `runCalls`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunOptions {
  readonly calls: ReadonlyArray<CallToRun>
  /** The tools of this step. */
  readonly tools: ReadonlyArray<Provided>
  readonly context: Omit<Context, "callId">
  /** The maximum number of handlers that run at once. */
  readonly concurrency: number
  /** Decides about calls that need an approval. Without it, they are returned as pending, or denied if `isFinal`. */
  readonly approve?: Approve | undefined
  /** Whether calls that need an approval are denied without `approve`, because they cannot be answered later. */
  readonly isFinal?: boolean | undefined
  /** How long `approve` may take. Default 10 minutes. */
  readonly approvalTimeout?: Duration.DurationInput | undefined
  /** The results of the turn's earlier steps, in order. */
  readonly previous: ReadonlyArray<CallResult>
  /** Whether the answer was cut off by its token limit. If so, its last call does not run. */
  readonly isCutOff?: boolean | undefined
  readonly emit: (event: ToolEvent) => Effect.Effect<void>
  /** Receives a function that returns the current result of each call. */
  readonly onStart?: ((snapshot: () => ReadonlyArray<CallResult>) => void) | undefined
  /**
   * Receives a result for each call if the run is interrupted, fails or dies. Runs after the finalizers of the handlers.
   */
  readonly onAbort?: ((results: ReadonlyArray<CallResult>) => Effect.Effect<void>) | undefined
}

/**
 * The result of `runCalls`.
 *
 * @since 0.1.0
 * @category models
 */
export interface RunResult {
  /** In the order of the calls, without the pending ones. */
  readonly results: ReadonlyArray<CallResult>
  /** The calls that wait for an approval, in order. */
  readonly pending: ReadonlyArray<{ readonly call: CallToRun; readonly request: ApprovalRequest }>
}
