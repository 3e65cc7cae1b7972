/**
 * The whole answer of a model: its text, reasoning, refusal, tool calls, why it ended, and what it cost.
 *
 * @since 0.1.0
 */
import * as Schema from "effect/Schema"

/**
 * Why an answer ended.
 *
 * - `stop`: the model was done, or met a stop sequence.
 * - `length`: the limit of output tokens, or of the context, was reached.
 * - `tool-calls`: the model asks for tools to be run.
 * - `content-filter`: the provider withheld or cut the answer.
 * - `error`: the server said that generation failed.
 * - `interrupted`: the program stopped the answer.
 * - `other`: a reason that this library has no name for; see `rawFinishReason`.
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
 * Counts are whole tokens, 0 where the server did not say. `inputTokens` includes `cachedTokens`; whether
 * `outputTokens` includes `reasoningTokens` is the server's choice, so the two are never added here.
 *
 * @since 0.1.0
 * @category models
 */
export interface Usage {
  readonly inputTokens: number
  readonly outputTokens: number
  /** What the server reports, else input plus output. */
  readonly totalTokens: number
  readonly reasoningTokens: number
  readonly cachedTokens: number
  /** Whether the counts are this library's estimate, because the server sent none or the answer was cut. */
  readonly estimated: boolean
  /** The server's own object, unchanged. `null` where there was none. */
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
 * No tokens at all: the usage of a conversation that has not begun.
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
 * Adds two usages count by count. The sum is an estimate where either is, and has no `raw`.
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
  readonly input: number
  readonly output: number
  /** Of input tokens that the server had in its cache. Default: as all input. */
  readonly cached?: number | undefined
}

/**
 * What a usage costs, in the currency of the prices. An estimate where the usage is one.
 *
 * Reasoning costs as output does, also where the server counts it in `totalTokens` alone.
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
 * A tool that the model asks for.
 *
 * `arguments` is the model's own text, usually JSON. It can be empty, and it can be cut where the finish reason is
 * `length`: decode it with a Schema before use.
 *
 * @since 0.1.0
 * @category models
 */
export interface ToolCall {
  /** Ties the tool's result to this call. Empty where the server gave none. */
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
 * - `timeout`: the handler was interrupted at its time limit. Its effects may have happened.
 * - `denied`: the call was not approved.
 * - `approvalTimeout`: nobody decided about the call in time.
 * - `repeated`: two equal calls in a row had the same result, so the third was not run.
 * - `cutOff`: the answer was cut at its token limit, so its last call was not run.
 * - `superseded`: a new question came while the call waited for an approval.
 * - `notStarted`: the turn ended before the handler started.
 * - `unknown`: the handler was interrupted. Its effects may have happened.
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
 * A call of a turn's step, with what came of it.
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
  /** The tokens of this request alone. Its input is the size of the context. */
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
 * Members of an assistant message that its server wants back as it sent them.
 *
 * @since 0.1.0
 * @category models
 */
export interface Opaque {
  /** The origin of the server. */
  readonly origin: string
  /** The model that was asked. */
  readonly model: string
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
 * An answer, folded from all that the server sent.
 *
 * The same fields serve a part of an answer: an error's `partial` is what had arrived when it failed, with the finish
 * reason `error`, and an interrupted turn's response has the finish reason `interrupted`.
 *
 * @since 0.1.0
 * @category models
 */
export class ChatResponse extends Schema.Class<ChatResponse>("effect-chat/ChatResponse")({
  /** The answer's text, empty where there is none. */
  text: Schema.String,
  /** What the model thought aloud, apart from its text. Empty where the server tells none. */
  reasoning: Schema.String,
  /** Why the model would not answer, in its own words. Empty where it did not refuse. */
  refusal: Schema.String,
  toolCalls: Schema.Array(ToolCall),
  /** What the server wants back as it sent it, such as signatures of the reasoning. Sent back to that server only. */
  opaque: Schema.optional(Opaque),
  /** Citations and other marks on the text, as the server sent them. */
  annotations: Schema.optional(Schema.Array(Schema.Unknown)),
  /** The log probabilities of the tokens, as the server sent them: a list for each kind of content. */
  logprobs: Schema.optional(Members),
  /** Members of the answer that have no field of their own, such as `citations`, `service_tier` or `audio`. */
  extra: Schema.optional(Members),
  /** The deprecated single call of OpenAI's `functions`, kept for servers that still answer with it. */
  functionCall: Schema.optional(Schema.Struct({ name: Schema.String, arguments: Schema.String })),
  finishReason: FinishReason,
  /** The server's own word for the reason, the last one that it sent. Undefined where it sent none. */
  rawFinishReason: Schema.UndefinedOr(Schema.String),
  /** Undefined where the server sent no usage. */
  usage: Schema.UndefinedOr(Usage),
  /** The requests of a turn with tools, this answer's last. Absent from other answers. */
  steps: Schema.optional(Schema.Array(Step)),
  /**
   * Why the model had to answer without further tools: `maxSteps` was reached, or it repeated a call that kept its result.
   * Absent if it ended by itself.
   */
  stepLimit: Schema.optional(Schema.Literal("maxSteps", "repeatedCall")),
  /** The id of the turn in its conversation. Absent from the answer to a single question. */
  turnId: Schema.optional(Schema.String),
  /** The completion's id, empty where the server gave none. */
  id: Schema.String,
  /** The model that answered, as the server names it. Empty where it does not. */
  model: Schema.String,
  /**
   * Who answered: the `provider` of the config, or the origin of its `baseUrl` where it names none. Absent from the part
   * of an interrupted turn.
   */
  provider: Schema.optional(Schema.String)
}) {}
