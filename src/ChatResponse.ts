/**
 * The complete answer of a model: text, reasoning, refusal, tool calls, finish reason and token usage.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Why an answer ended.
 *
 * - `stop`: the model finished, or generated a stop sequence.
 * - `length`: the limit of output tokens, or of the context, was reached.
 * - `tool-calls`: the model calls tools.
 * - `content-filter`: the provider removed or cut the answer.
 * - `error`: the server reported that generation failed.
 * - `interrupted`: the program stopped the answer.
 * - `other`: a reason that this library does not know; see `rawFinishReason`.
 *
 * @since 0.1.0
 * @category models
 */
export type FinishReason = "stop" | "length" | "tool-calls" | "content-filter" | "error" | "interrupted" | "other"

/**
 * The Schema of {@link FinishReason}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const FinishReason: Schema.Schema<FinishReason> = Schema.Literal(
  "stop",
  "length",
  "tool-calls",
  "content-filter",
  "error",
  "interrupted",
  "other"
)

/**
 * Tokens that a request used.
 *
 * Counts are whole tokens, and 0 if the server sent no count. `inputTokens` includes `cachedTokens`. Some servers include
 * `reasoningTokens` in `outputTokens` and others do not, so this library never adds the two.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  /** The count of the server, or input plus output if it sent none. */
  readonly totalTokens: number
  readonly reasoningTokens: number
  readonly cachedTokens: number
  /** Whether this library estimated the counts because the server sent none or the answer was cut off. */
  readonly estimated: boolean
  /** The usage object as the server sent it, `null` if it sent none. */
  readonly raw: unknown
}

const Count = Schema.NonNegative

/**
 * The Schema of {@link Usage}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Usage: Schema.Schema<Usage> = Schema.Struct({
  inputTokens: Count,
  outputTokens: Count,
  totalTokens: Count,
  reasoningTokens: Count,
  cachedTokens: Count,
  estimated: Schema.Boolean,
  raw: Schema.Unknown
})

/**
 * The usage of an empty conversation: no tokens.
 *
 * @example
 * import { ChatResponse } from "effect-chat"
 *
 * assert.strictEqual(ChatResponse.emptyUsage.totalTokens, 0)
 *
 * @since 0.1.0
 * @category constructors
 */
export const emptyUsage: Usage = {
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  reasoningTokens: 0,
  cachedTokens: 0,
  estimated: false,
  raw: null
}

/**
 * Adds two usages count by count. The sum is an estimate if one of them is, and has no `raw`.
 *
 * @example
 * import { ChatResponse } from "effect-chat"
 *
 * const usage = { ...ChatResponse.emptyUsage, inputTokens: 10, outputTokens: 5, totalTokens: 15 }
 *
 * assert.strictEqual(ChatResponse.addUsage(usage, usage).totalTokens, 30)
 *
 * @since 0.1.0
 * @category combinators
 */
export const addUsage = (self: Usage, that: Usage): Usage => ({
  inputTokens: self.inputTokens + that.inputTokens,
  outputTokens: self.outputTokens + that.outputTokens,
  totalTokens: self.totalTokens + that.totalTokens,
  reasoningTokens: self.reasoningTokens + that.reasoningTokens,
  cachedTokens: self.cachedTokens + that.cachedTokens,
  estimated: self.estimated || that.estimated,
  raw: null
})

/**
 * What a million tokens cost, in any currency.
 *
 * @since 0.1.0
 * @category models
 */
export interface Prices {
  /** For input tokens. */
  readonly input: number
  /** For output tokens, including reasoning. */
  readonly output: number
  /** For input tokens that the server had in its cache. Default: the price of input. */
  readonly cached?: number | undefined
}

/**
 * Calculates what a usage costs, in the currency of the prices. The cost of an estimated usage is an estimate.
 *
 * Reasoning has the price of output, even if the server counts it only in `totalTokens`.
 *
 * @example
 * import { ChatResponse } from "effect-chat"
 *
 * const usage = { ...ChatResponse.emptyUsage, inputTokens: 10_000, cachedTokens: 8000, outputTokens: 1000, totalTokens: 11_000 }
 *
 * assert.strictEqual(ChatResponse.cost(usage, { input: 0.5, cached: 0.25, output: 2 }), 0.005)
 *
 * @since 0.1.0
 * @category combinators
 */
export const cost = (usage: Usage, { cached: cachedPrice, input, output }: Prices): number => {
  const cached = Math.min(usage.cachedTokens, usage.inputTokens)
  const answered = Math.max(usage.outputTokens, usage.totalTokens - usage.inputTokens)
  return ((usage.inputTokens - cached) * input + cached * (cachedPrice ?? input) + answered * output) / 1_000_000
}

/** Members by name. A member named `__proto__` would not survive a copy. */
const Members = Schema.Record({
  key: Schema.String.pipe(Schema.filter((name) => name !== "__proto__")),
  value: Schema.Unknown
})

/**
 * A call of a tool by the model.
 *
 * `arguments` is text of the model, usually JSON. It can be empty, and it can be cut off if the finish reason is `length`:
 * decode it with a Schema before use.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCall {
  /** The id that the tool's result refers to. Empty if the server sent none. */
  readonly id: string
  readonly name: string
  readonly arguments: string
  /** Further members of the call as the server sent them, such as Gemini's `extra_content`. */
  readonly extra?: Readonly<Record<string, unknown>> | undefined
  /** Whether the call waits for an approval. It is open until a result follows, or another turn. */
  readonly needsApproval?: boolean | undefined
}

/**
 * The Schema of {@link ToolCall}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolCall: Schema.Schema<ToolCall> = Schema.Struct({
  id: Schema.String,
  name: Schema.String,
  arguments: Schema.String,
  extra: Schema.optional(Members),
  needsApproval: Schema.optional(Schema.Boolean)
})

/**
 * How a call of a tool ended.
 *
 * - `success`: the handler succeeded.
 * - `failure`: the handler failed.
 * - `invalidArguments`: the arguments did not decode, so the handler did not run.
 * - `unknownTool`: there is no such tool.
 * - `timeout`: the handler was interrupted at its time limit. It may already have done its work.
 * - `denied`: the call was not approved.
 * - `approvalTimeout`: nobody decided about the call in time.
 * - `repeated`: two equal calls in a row had the same result, so the third was not run.
 * - `cutOff`: the answer was cut at its token limit, so its last call was not run.
 * - `superseded`: a new question came while the call waited for an approval.
 * - `notStarted`: the turn ended before the handler started.
 * - `unknown`: the handler was interrupted. It may already have done its work.
 *
 * @since 0.1.0
 * @category models
 */
export type ToolOutcome = typeof ToolOutcome.Type

/**
 * The Schema of {@link ToolOutcome}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const ToolOutcome = Schema.Literal(
  "success",
  "failure",
  "invalidArguments",
  "unknownTool",
  "timeout",
  "denied",
  "approvalTimeout",
  "repeated",
  "cutOff",
  "superseded",
  "notStarted",
  "unknown"
)

/**
 * A call of a turn's step, with its result.
 *
 * @since 0.1.0
 * @category models
 */
export interface StepCall {
  /** The library's own id of the call, which no other call shares. */
  readonly callId: string
  readonly name: string
  readonly arguments: string
  /** Absent while the call is open. */
  readonly outcome?: ToolOutcome | undefined
  /** The text that the model got. Absent while the call is open. */
  readonly result?: string | undefined
}

/**
 * One request of a turn with tools.
 *
 * @since 0.1.0
 * @category models
 */
export interface Step {
  readonly finishReason: FinishReason
  /** The tokens of this request alone. The `inputTokens` of the last step show how full the context is. */
  readonly usage: Usage | undefined
  readonly toolCalls: ReadonlyArray<StepCall>
}

/**
 * The Schema of {@link Step}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Step: Schema.Schema<Step> = Schema.Struct({
  finishReason: FinishReason,
  usage: Schema.UndefinedOr(Usage),
  toolCalls: Schema.Array(Schema.Struct({
    callId: Schema.String,
    name: Schema.String,
    arguments: Schema.String,
    outcome: Schema.optional(ToolOutcome),
    result: Schema.optional(Schema.String)
  }))
})

/**
 * Members of an assistant message that must be sent back to the server unchanged.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opaque {
  /** The origin of the server. */
  readonly origin: string
  /** The model of the request. */
  readonly model: string
  /** The members by their names in the server's JSON. */
  readonly fields: Readonly<Record<string, unknown>>
}

/**
 * The Schema of {@link Opaque}.
 *
 * @since 0.1.0
 * @category schemas
 */
export const Opaque: Schema.Schema<Opaque> = Schema.Struct({
  origin: Schema.String,
  model: Schema.String,
  fields: Members
})

/**
 * An answer, built from everything that the server sent.
 *
 * A part of an answer has the same fields. The `partial` of an error contains what had arrived when the call failed and has
 * the finish reason `error`. The response of an interrupted turn has the finish reason `interrupted`.
 *
 * @since 0.1.0
 * @category models
 */
export class ChatResponse extends Schema.Class<ChatResponse>("effect-chat/ChatResponse")({
  /** The text of the answer. Empty if it has none. */
  text: Schema.String,
  /** The reasoning of the model. `text` does not contain it. Empty if the server sends none. */
  reasoning: Schema.String,
  /** The refusal of the model in its own words. Empty if it did not refuse. */
  refusal: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  /** Members that must be sent back unchanged, such as signatures of reasoning. They are sent to that server only. */
  opaque: Schema.optional(Opaque),
  /** Citations and other annotations of the text, as the server sent them. */
  annotations: Schema.optional(Schema.Array(Schema.Unknown)),
  /** The log probabilities of the tokens, as the server sent them: a list for each kind of content. */
  logprobs: Schema.optional(Members),
  /** Members of the answer that have no field here, such as `citations`, `service_tier` or `audio`. */
  extra: Schema.optional(Members),
  /** The single call of OpenAI's deprecated `functions`, for servers that still send it. */
  functionCall: Schema.optional(Schema.Struct({ name: Schema.String, arguments: Schema.String })),
  finishReason: FinishReason,
  /** The last finish reason that the server sent, in its own words. Undefined if it sent none. */
  rawFinishReason: Schema.UndefinedOr(Schema.String),
  /** Undefined if the server sent no usage. */
  usage: Schema.UndefinedOr(Usage),
  /** The requests of a turn with tools. The last one is that of this answer. Absent from other answers. */
  steps: Schema.optional(Schema.Array(Step)),
  /**
   * Why the model had to answer without further tools: `maxSteps` was reached, or it repeated a call that returned the same
   * result each time. Absent if it ended by itself.
   */
  stepLimit: Schema.optional(Schema.Literal("maxSteps", "repeatedCall")),
  /** The id of the turn in its conversation. Absent if the answer belongs to no turn. */
  turnId: Schema.optional(Schema.String),
  /** The id of the completion. Empty if the server sent none. */
  id: Schema.String,
  /** The name of the model that answered, as the server sent it. Empty if it sent none. */
  model: Schema.String,
  /**
   * The server that answered: the `provider` of the config, or the origin of its `baseUrl` if it has no `provider`. Absent
   * from the response of an interrupted turn.
   */
  provider: Schema.optional(Schema.String)
}) {}
