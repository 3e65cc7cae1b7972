/**
 * One conversation with a model: single questions, turns with history, streaming.
 *
 * A turn is atomic. Its user message and its answer enter the history together, once, when the answer is complete. A turn
 * that fails leaves the history as it was, unless the config's `onFailure` is `keep`. One turn runs at a time.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as ParseResult from "effect/ParseResult"
import type * as Schema from "effect/Schema"
import type * as Stream from "effect/Stream"
import type { CallOptions, ObjectOptions } from "./CallOptions.ts"
import * as ChatCompletions from "./ChatCompletions.ts"
import type { BusyError, ChatError, ConflictError, HistoryStoreError, InvalidRequestError } from "./ChatError.ts"
import type { ChatEvent } from "./ChatEvent.ts"
import type { ChatMessage, Prompt, SystemMessage } from "./ChatMessage.ts"
import type { ChatResponse, Usage } from "./ChatResponse.ts"
import type { Changes, ChatSettings } from "./ChatSettings.ts"
import type * as Fallback from "./Fallback.ts"
import * as HistoryWindow from "./HistoryWindow.ts"
import { store as noopStore } from "./internal/history/noopStore.ts"
import * as Chat from "./internal/turn/chat.ts"
import { Conversation } from "./internal/turn/conversation.ts"
import * as LLMConfig from "./LLMConfig.ts"
import type * as Turn from "./Turn.ts"

/**
 * What a conversation offers.
 *
 * The `ask` methods send the system prompt and the question, and neither read nor write the history. The `chat` methods
 * are turns: they wait for the turn before them (or do what the config's `turnPolicy` says), send the history, and add
 * to it. A turn that is interrupted, because its fiber is, its consumer leaves the stream, or `stop` is called, follows
 * the config's `onInterrupt`: `keep` stores the question and what had arrived of the answer, which can be empty, with the
 * finish reason `interrupted`; `rollback` stores nothing. A blank prompt fails with `InvalidRequestError`.
 *
 * A turn's response, as its message in the history, has the `usage` of the turn: where the server told none it is an
 * estimate, marked so. The response of a single question has what the server told.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  readonly config: LLMConfig.LLMConfig
  /** A single question, its answer whole. */
  readonly ask: (prompt: Prompt, options?: CallOptions) => Effect.Effect<ChatResponse, ChatError>
  /** A single question, the pieces of its answer's text as they arrive. */
  readonly askStream: (prompt: Prompt, options?: CallOptions) => Stream.Stream<string, ChatError>
  /** A single question, all events of its answer. */
  readonly askEvents: (prompt: Prompt, options?: CallOptions) => Stream.Stream<ChatEvent, ChatError>
  /**
   * A single question whose answer is a value of the Schema, which the server is asked to keep to. An answer that does
   * not decode is a `MalformedResponseError` with the raw text (`body`) and the place (`path`).
   */
  readonly askObject: <A, I>(
    prompt: Prompt,
    schema: Schema.Schema<A, I>,
    options?: ObjectOptions
  ) => Effect.Effect<A, ChatError>
  /** A turn, its answer whole. After `stop` the response has the finish reason `interrupted`. */
  readonly chat: (input: Turn.Input, options?: Turn.Options) => Effect.Effect<ChatResponse, ChatError>
  /** Answers the last turn again: `chat(Turn.regenerate())`. */
  readonly regenerate: (options?: Turn.Options) => Effect.Effect<ChatResponse, ChatError>
  /** A turn, the pieces of its answer's text as they arrive. The history has the turn before the stream ends. */
  readonly chatStream: (input: Turn.Input, options?: Turn.Options) => Stream.Stream<string, ChatError>
  /** A turn, all events of its answer. The history has the turn before `Finish` is told. */
  readonly chatEvents: (input: Turn.Input, options?: Turn.Options) => Stream.Stream<ChatEvent, ChatError>
  /** A turn whose answer is a value of the Schema. One that does not decode leaves the history as it was. */
  readonly chatObject: <A, I>(
    input: Turn.Input,
    schema: Schema.Schema<A, I>,
    options?: Turn.OptionsOfObject
  ) => Effect.Effect<A, ChatError>
  /** The messages so far, the system message first: whole turns only. */
  readonly history: Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError>
  /**
   * The tokens of all turns so far, those that failed or were interrupted and the summaries of a window included; single
   * questions are not. Estimated (and marked so) where the server told none, or an answer was cut: by the characters of
   * what was sent and of what came. A turn that ended before anything of its answer came counts as nothing. Where there
   * is a store, it has the tokens of a turn that left no message from the next turn or summary on: they are forgotten if
   * the conversation leaves memory before.
   */
  readonly usage: Effect.Effect<Usage, HistoryStoreError>
  /** The settings that are in force, without secrets. */
  readonly settings: Effect.Effect<ChatSettings, HistoryStoreError>
  /**
   * Changes some settings from the next request on, and stores them with the conversation. Settings that it does not
   * choose come from the config. Fails with `InvalidRequestError` if a setting breaks its rule.
   */
  readonly updateSettings: (
    changes: Changes
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /** Changes the system prompt from the next request on. The history stays. */
  readonly updateSystemPrompt: (prompt: string) => Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Removes all turns so far and keeps the system prompt. A turn that is running goes on, and nothing of it is kept but its
   * tokens.
   */
  readonly clearHistory: Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Stores the turn that the store last failed to take, as a `HistoryStoreError` or `ConflictError` told; whether there
   * was one. After a conflict it comes behind what was stored since. The next turn gives it up, and so does `clearHistory`.
   */
  readonly save: Effect.Effect<boolean, HistoryStoreError | ConflictError>
  /**
   * Adds messages as a turn that asks nothing: a greeting or a reminder that the program sends by itself. Fails with
   * `InvalidRequestError` without messages.
   */
  readonly append: (
    messages: ReadonlyArray<Exclude<ChatMessage, SystemMessage>>
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /**
   * Removes the last turns, 1 by default, in one write, once the turn that is running is over. Returns how many it removed.
   * Their tokens still count.
   */
  readonly rewind: (turns?: number) => Effect.Effect<number, HistoryStoreError | ConflictError | BusyError>
  /** Ends the turn that is running, if one is, and waits until that is settled. Its stream ends with `Finish`. */
  readonly stop: Effect.Effect<void>
  /** Ends the turn that is running and those that wait for it, as `stop` does. */
  readonly stopAll: Effect.Effect<void>
}

/**
 * The tag of a conversation.
 *
 * @since 0.1.0
 * @category services
 */
export class LLMChat extends Context.Tag("effect-chat/LLMChat")<LLMChat, Service>() {}

/**
 * What a conversation has beside its settings.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** What turns send of the history. Default `HistoryWindow.all`. */
  readonly window?: HistoryWindow.HistoryWindow | undefined
  /** Further servers, for when the settings' own cannot answer. Default none. */
  readonly fallback?: Fallback.Fallback | undefined
}

/**
 * A conversation of its own. Fails with the field, the value and the rule where a setting is bad.
 *
 * Plain settings that do not say `maxTokens` get 2048; an `LLMConfig` has 8192.
 *
 * @example
 * import { Effect } from "effect"
 * import { HistoryWindow, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.make({ baseUrl: "http://localhost/v1" }, { window: HistoryWindow.lastTurns(20) })
 *   const { text } = yield* chat.chat("Hi")
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])])
 *
 * Effect.runPromise(Effect.provide(program, script))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  config: LLMConfig.LLMConfig | LLMConfig.Options,
  options?: Options
): Effect.Effect<Service, ParseResult.ParseError, HttpClient.HttpClient> =>
  Effect.flatMap(ChatCompletions.make, (completions) => fromCompletions(completions, config, options))

/**
 * Like {@link make}, over a wire of the caller's: one that is shared, limited or replaced.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { ChatCompletions, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const completions = yield* ChatCompletions.ChatCompletions
 *   const tasks: Array<string> = []
 *   const logged: ChatCompletions.Service = {
 *     complete: (request) =>
 *       Effect.zipRight(Effect.sync(() => tasks.push(request.config.model)), completions.complete(request)),
 *     stream: completions.stream
 *   }
 *   const chat = yield* LLMChat.fromCompletions(logged, { baseUrl: "http://localhost/v1", model: "qwen3" })
 *   yield* chat.ask("Hi")
 *   assert.deepStrictEqual(tasks, ["qwen3"])
 * })
 *
 * const Completions = ChatCompletions.layer.pipe(
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Completions))
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCompletions = (
  completions: ChatCompletions.Service,
  config: LLMConfig.LLMConfig | LLMConfig.Options,
  { fallback, window = HistoryWindow.all }: Options = {}
): Effect.Effect<Service, ParseResult.ParseError> =>
  Effect.gen(function*() {
    const settings = yield* LLMConfig.decode(config instanceof LLMConfig.LLMConfig ? config : withPlainDefaults(config))
    const wire = fallback === undefined ? completions : yield* fallback.over(completions)
    const conversation = new Conversation({ id: "", owner: {}, store: noopStore, defaults: settings, window })
    return Chat.make(wire, settings, {
      with: (f) => Effect.suspend(() => f(conversation)),
      acquire: () => Effect.succeed(conversation)
    })
  })

/** Plain options that do not say how many tokens an answer may have at most. */
const withPlainDefaults = (config: LLMConfig.Options): LLMConfig.Options =>
  config.maxTokens === undefined ? { ...config, maxTokens: 2048 } : config

/**
 * A conversation as a layer.
 *
 * @example
 * import { Effect, Layer, Stream } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   const text = yield* Stream.mkString(chat.chatStream("Hi"))
 *   assert.strictEqual(text, "Hello!")
 * })
 *
 * const Chat = LLMChat.layer({ baseUrl: "http://localhost/v1", systemPrompt: "Be brief." }).pipe(
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Chat))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  config: LLMConfig.LLMConfig | LLMConfig.Options,
  options?: Options
): Layer.Layer<LLMChat, ParseResult.ParseError, HttpClient.HttpClient> => Layer.effect(LLMChat, make(config, options))

/**
 * A conversation with the settings of the environment; see `LLMConfig.config` for their names.
 *
 * @example
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   const { model } = yield* chat.settings
 *   assert.strictEqual(model, "qwen3")
 * })
 *
 * // In a program, these are variables of the environment.
 * const variables = new Map([["LLM_PROVIDER", "ollama"], ["LLM_MODEL", "qwen3"]])
 *
 * const Chat = LLMChat.layerConfig.pipe(
 *   Layer.provide(ScriptedHttpClient.layer([])),
 *   Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(variables)))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Chat))
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig: Layer.Layer<
  LLMChat,
  ConfigError.ConfigError | ParseResult.ParseError,
  HttpClient.HttpClient
> = Layer.effect(LLMChat, Effect.flatMap(LLMConfig.config, (config) => make(config)))
