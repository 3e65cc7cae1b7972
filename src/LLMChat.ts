/**
 * One conversation with a model: single questions, turns with history, streaming.
 *
 * **Details**
 *
 * A turn is atomic: its user message and its answer enter the history together when the answer is complete. A turn that fails
 * does not change the history, unless the config's `onFailure` is `keep`. One turn runs at a time.
 *
 * **Gotchas**
 *
 * A stopped or interrupted turn keeps the part of the answer that arrived; see the config's `onInterrupt`.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const chat = yield* LLMChat.LLMChat
 *   yield* chat.chat("My name is Ada.")
 *   const { text } = yield* chat.chat("What is my name?") // sent with the first turn
 *   assert.strictEqual(text, "Ada")
 * })
 *
 * // In a program, the layer of an HTTP client, such as `FetchHttpClient.layer`.
 * const Client = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"]), ScriptedHttpClient.tokens(["Ada"])])
 *
 * const Chat = LLMChat.layer({ baseUrl: "http://localhost:11434/v1", model: "qwen3" }).pipe(Layer.provide(Client))
 *
 * Effect.runPromise(Effect.provide(program, Chat))
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
 * A conversation.
 *
 * The `ask` methods send the system prompt and the question. They do not read or change the history. The `chat` methods are
 * turns: they send the history and add to it. The config's `turnPolicy` decides what a turn does while another one runs; by
 * default it waits. A blank prompt fails with `InvalidRequestError`.
 *
 * `ask`, `askObject`, `chat` and `chatObject` do not stream: the server sends the answer when it is complete, so a stopped
 * or failed call has no partial answer. The methods that return a Stream do stream.
 *
 * A turn is interrupted if its fiber is, if the consumer of its stream stops reading, or by `stop`. Then the config's
 * `onInterrupt` decides: `keep` stores the question and the part of the answer that arrived, which can be empty, with the
 * finish reason `interrupted`; `rollback` stores nothing.
 *
 * The response of a turn, and its message in the history, have the `usage` of the turn. If the server sent none, it is an
 * estimate and marked as one. The response of a single question has the usage that the server sent.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** The config that it was made with. Settings that the program changed later are in `settings`. */
  readonly config: LLMConfig.LLMConfig
  /** Asks a single question and returns the complete answer, without streaming. */
  readonly ask: (prompt: Prompt, options?: Turn.AskOptions) => Effect.Effect<ChatResponse, ChatError>
  /** Asks a single question and emits the text of the answer as it arrives. */
  readonly askStream: (prompt: Prompt, options?: Turn.AskOptions) => Stream.Stream<string, ChatError>
  /** Asks a single question and emits all events of the answer. */
  readonly askEvents: (prompt: Prompt, options?: Turn.AskOptions) => Stream.Stream<ChatEvent, ChatError>
  /**
   * Asks a single question whose answer is a value of the Schema. The Schema is sent to the server. An answer that does not
   * decode fails with `MalformedResponseError`, which has the raw text (`body`) and the member that is wrong (`path`).
   */
  readonly askObject: <A, I>(
    prompt: Prompt,
    schema: Schema.Schema<A, I>,
    options?: Turn.AskObjectOptions
  ) => Effect.Effect<A, ChatError>
  /**
   * Runs a turn and returns the complete answer, without streaming. After `stop`, the response has the finish reason
   * `interrupted` and no text.
   */
  readonly chat: (input: Turn.Input, options?: Turn.Options) => Effect.Effect<ChatResponse, ChatError>
  /** Answers the last turn again: `chat(Turn.regenerate())`. */
  readonly regenerate: (options?: Turn.Options) => Effect.Effect<ChatResponse, ChatError>
  /** Runs a turn and emits the text of the answer as it arrives. The history has the turn before the stream ends. */
  readonly chatStream: (input: Turn.Input, options?: Turn.Options) => Stream.Stream<string, ChatError>
  /** Runs a turn and emits all events of the answer. The history has the turn before `Finish` is emitted. */
  readonly chatEvents: (input: Turn.Input, options?: Turn.Options) => Stream.Stream<ChatEvent, ChatError>
  /** Runs a turn whose answer is a value of the Schema. An answer that does not decode does not change the history. */
  readonly chatObject: <A, I>(
    input: Turn.Input,
    schema: Schema.Schema<A, I>,
    options?: Turn.ObjectOptions
  ) => Effect.Effect<A, ChatError>
  /**
   * The calls without a result at the end of the history, such as those that wait for an approval: see `Turn.respond`. A new
   * question, `stop`, `rewind`, `clearHistory` and a removal settle them, and they do not run then.
   */
  readonly openCalls: Effect.Effect<ReadonlyArray<Turn.OpenCall>, HistoryStoreError>
  /** The messages so far: the system message, then complete turns. */
  readonly history: Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError>
  /**
   * The tokens of all turns so far, including failed and interrupted turns and the summaries of a window, without single
   * questions. If the server sent no usage, or an answer was cut off, they are estimated from the characters of the request
   * and the answer, and marked as an estimate. A turn that ended before its answer began counts 0 tokens. The tokens of a
   * turn without messages are stored with the next turn or summary, and are lost if the conversation leaves memory before
   * that.
   */
  readonly usage: Effect.Effect<Usage, HistoryStoreError>
  /** The current settings, without secrets. */
  readonly settings: Effect.Effect<ChatSettings, HistoryStoreError>
  /**
   * Changes some settings from the next request on, and stores them with the conversation. Other settings still come from
   * the config. Fails with `InvalidRequestError` if a setting is invalid.
   */
  readonly updateSettings: (
    changes: Changes
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /**
   * Drops the conversation's own values of these settings, by default of all. From the next request on they come from the
   * config again.
   */
  readonly resetSettings: (
    names?: ReadonlyArray<keyof ChatSettings>
  ) => Effect.Effect<void, HistoryStoreError | ConflictError>
  /** Short for `updateSettings({ systemPrompt })`. The history stays. */
  readonly updateSystemPrompt: (prompt: string) => Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Removes all turns so far and keeps the system prompt. A running turn continues, but is not stored. Its tokens count.
   */
  readonly clearHistory: Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Stores the last turn whose write failed with `HistoryStoreError` or `ConflictError`. Returns whether there was one. After
   * a conflict, it is stored after the turns of the other program. The next turn and `clearHistory` discard it.
   */
  readonly save: Effect.Effect<boolean, HistoryStoreError | ConflictError>
  /**
   * Adds messages as a turn without a request: a greeting or a reminder by the program. Fails with `InvalidRequestError`
   * if the list is empty.
   */
  readonly append: (
    messages: ReadonlyArray<Exclude<ChatMessage, SystemMessage>>
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /**
   * Removes the last turns, 1 by default, in one write. Waits for a running turn. Returns how many it removed. Their tokens
   * still count. Fails with `InvalidRequestError` if the number is not an integer of 0 or more, or `Infinity`.
   */
  readonly rewind: (
    turns?: number
  ) => Effect.Effect<number, HistoryStoreError | ConflictError | BusyError | InvalidRequestError>
  /**
   * Ends the running turn, if there is one. Its stream ends with `Finish`. This does not wait until the turn is stored:
   * `history` and the next turn do.
   */
  readonly stop: Effect.Effect<void>
  /** Ends the running turn and the turns that wait, as `stop` does. */
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
 * Options of a conversation in addition to its settings.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The part of the history that turns send. Default `HistoryWindow.all`. */
  readonly window?: HistoryWindow.HistoryWindow | undefined
  /** Further servers that are tried if the first one cannot answer. Default none. */
  readonly fallback?: Fallback.Fallback | undefined
}

/**
 * Makes a conversation. Fails with the field, the value and the rule if a setting is invalid.
 *
 * The default `maxTokens` of plain settings is 2048 here; that of an `LLMConfig` is 8192.
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
 * Like {@link make}, over a given completions service: one that is shared, limited, logged or replaced.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { ChatCompletions, LLMChat } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const completions = yield* ChatCompletions.ChatCompletions
 *   const models: Array<string> = []
 *   const logged: ChatCompletions.Service = {
 *     complete: (request) =>
 *       Effect.zipRight(Effect.sync(() => models.push(request.config.model)), completions.complete(request)),
 *     stream: completions.stream
 *   }
 *   const chat = yield* LLMChat.fromCompletions(logged, { baseUrl: "http://localhost/v1", model: "qwen3" })
 *   yield* chat.ask("Hi")
 *   assert.deepStrictEqual(models, ["qwen3"])
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
    const withFallback = fallback === undefined ? completions : yield* fallback.over(completions)
    const conversation = new Conversation({ id: "", fairnessKey: {}, store: noopStore, defaults: settings, window })
    return Chat.make(withFallback, settings, {
      with: (f) => Effect.suspend(() => f(conversation)),
      acquire: () => Effect.succeed(conversation)
    })
  })

/** Adds the default of plain settings without `maxTokens`. */
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
 * A conversation with the settings of the environment. `LLMConfig.config` lists the variables.
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
