/**
 * Many conversations by id: one per user, group or thread.
 *
 * **Details**
 *
 * A conversation in memory is a session. A session that is idle for the `timeout` leaves memory. If there are more than
 * `capacity`, so does the one that is idle for longest. A session stays while it is in use, or has a turn whose write failed.
 * A chat stays valid after eviction: its next use reads the conversation from the store.
 *
 * All conversations of a manager share its `limits` and its `fallback`. Every attempt of a fallback waits for its own permit
 * of the limits, and returns it before the next server is tried.
 *
 * **Gotchas**
 *
 * With a `HistoryStore` in the context, every turn is stored before it is done, with its usage and the settings of the
 * conversation. Without one, a conversation is in memory only and is empty after eviction.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import type * as ConfigError from "effect/ConfigError"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Ref from "effect/Ref"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChatCompletions from "./ChatCompletions.ts"
import type { ChatError, ConflictError, HistoryStoreError, InvalidRequestError } from "./ChatError.ts"
import { addUsage, emptyUsage, type Usage } from "./ChatResponse.ts"
import type { Changes } from "./ChatSettings.ts"
import type { ConversationData } from "./ConversationData.ts"
import type * as Fallback from "./Fallback.ts"
import * as HistoryStore from "./HistoryStore.ts"
import * as HistoryWindow from "./HistoryWindow.ts"
import { fork, removeOlderThan } from "./internal/history/maintenance.ts"
import { store as noopStore } from "./internal/history/noopStore.ts"
import { withTimeout } from "./internal/history/storeTimeout.ts"
import { exportData, importData } from "./internal/history/transfer.ts"
import { makeGetChat } from "./internal/sessions/getChat.ts"
import { decodeLifetime } from "./internal/sessions/lifetime.ts"
import * as Registry from "./internal/sessions/registry.ts"
import { Conversation } from "./internal/turn/conversation.ts"
import type * as Limits from "./Limits.ts"
import type * as LLMChat from "./LLMChat.ts"
import * as LLMConfig from "./LLMConfig.ts"
import * as LocalSessions from "./LocalSessions.ts"
import type * as Turn from "./Turn.ts"

/**
 * The events of sessions.
 *
 * @since 0.1.0
 */
export * from "./SessionEvent.ts"

/**
 * The settings of a manager.
 *
 * @since 0.1.0
 * @category models
 */
export interface Options {
  /** The config of conversations that have no other one. */
  readonly config: LLMConfig.LLMConfig | LLMConfig.Options
  /** How long a session may be idle, counted from its last use and not from `getChat`. Default infinite. */
  readonly timeout?: Duration.DurationInput | undefined
  /** How many sessions may be in memory, 1 or more. Sessions in use count, but are not evicted. Default infinite. */
  readonly capacity?: number | undefined
  /**
   * How long running turns may continue when the manager's scope closes, before they are interrupted. Default 0.
   */
  readonly grace?: Duration.DurationInput | undefined
  /**
   * How long a read or a write of the `HistoryStore` may take before it fails with `HistoryStoreError`. An interruption and
   * `stop` do not wait for the write of their turn, which continues. The end of a stopped turn waits for it, and so do the
   * conversation's next turn and the end of the manager's scope. Default 10 seconds.
   */
  readonly storeTimeout?: Duration.DurationInput | undefined
  /** Limits of the calls of all conversations together. Calls that wait are served fairly by conversation. Default none. */
  readonly limits?: Limits.Limits | undefined
  /** Further servers that are tried if that of a conversation's config cannot answer. Default none. */
  readonly fallback?: Fallback.Fallback | undefined
  /** The part of the history that turns send. Default `HistoryWindow.all`. */
  readonly window?: HistoryWindow.HistoryWindow | undefined
}

/**
 * The options of one conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface GetOptions {
  /**
   * The config of the conversation. Its differences from the manager's config become the settings of the conversation and
   * replace earlier ones. If the system prompt is the manager's, the conversation keeps its own. A config with another
   * `baseUrl` is used completely, and nothing of it is stored.
   */
  readonly config?: LLMConfig.LLMConfig | undefined
  /** Settings of the conversation. Other settings stay as they are. */
  readonly settings?: Changes | undefined
  /** The owner of the conversation, for `conversations({ owner })`. */
  readonly owner?: string | undefined
  /** A title for listings. */
  readonly title?: string | undefined
}

/**
 * A conversation of a manager. Started turns belong to the manager, so they continue if their readers stop reading.
 *
 * @since 0.1.0
 * @category models
 */
export interface ManagedChat extends LLMChat.Service {
  /**
   * Starts a turn and returns its id at once. The turn continues without readers. It ends by `stop`, or after the `grace`
   * when the manager's scope closes. A turn with this `turnId` that runs or is stored is not started again. Fails with
   * `InvalidRequestError` for a blank prompt or for another prompt under the same `turnId`, and with `BusyError` as the
   * `turnPolicy` decides. `attach` reports later errors.
   */
  readonly start: (input: Turn.Input, options?: Turn.Options) => Effect.Effect<string, ChatError>
  /** The running turn, if it was started or has a `turnId` of the program. */
  readonly running: Effect.Effect<Option.Option<Turn.Running>>
  /**
   * The numbered events of a turn: the earlier ones, then new ones. Default: the running turn, and no events if none runs.
   * With `after`, only the events after that number. A stored turn is read from the store, where its answer may have fewer
   * events; its `Finish` is complete. The stream fails as the turn failed, and with `InvalidRequestError` if the turn does
   * not exist. A started turn continues if a reader stops reading.
   */
  readonly attach: (
    turnId?: string,
    options?: { readonly after?: number | undefined }
  ) => Stream.Stream<Turn.NumberedEvent, ChatError>
}

/**
 * A manager. Every text is a valid id, including the empty text.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * Gets the conversation with this id, or creates it. The options take effect at once, also in a conversation that is in
   * memory, and are stored with the next turn. Fails with `InvalidRequestError` if one of the `settings` is invalid.
   */
  readonly getChat: (id: string, options?: GetOptions) => Effect.Effect<ManagedChat, InvalidRequestError>
  /**
   * Removes the conversation with this id from memory and from the store. Returns whether it existed. A running turn is
   * stopped and not stored. The next turn of a chat with this id starts a new conversation.
   */
  readonly removeChat: (id: string) => Effect.Effect<boolean, HistoryStoreError>
  /**
   * Creates the conversation `to` as a copy of `from`, with all turns or those up to and including `upTo`, the id of a turn.
   * The copy is written completely or not at all. Fails with `ConflictError` if `to` exists, and with `HistoryStoreError` if
   * `from` or the turn does not.
   */
  readonly fork: (
    from: string,
    to: string,
    options?: { readonly upTo?: string | undefined }
  ) => Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Creates the conversation from the JSON of `export`, or from a list of messages in the format of OpenAI's API or of this
   * library, alone or as the `messages` of an object. Absent settings come from the manager's config. Fails with
   * `InvalidRequestError` for other data, and with `ConflictError` if the conversation exists.
   */
  readonly import: (
    id: string,
    data: unknown
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /** The stored conversation as JSON, without secrets. Fails with `HistoryStoreError` if it is not stored. */
  readonly export: (id: string) => Effect.Effect<ConversationData, HistoryStoreError>
  /**
   * A page of the stored conversations, newest first. The default `limit` is 50. `before` is the last conversation of the
   * previous page. A SQL store reads that page only. Stores in files, memory and a `KeyValueStore` read all conversations.
   */
  readonly conversations: (
    query?: HistoryStore.ConversationQuery
  ) => Effect.Effect<ReadonlyArray<HistoryStore.ConversationInfo>, HistoryStoreError>
  /**
   * Removes the stored conversations whose last write is older than this. Returns how many. Conversations in use stay, and
   * so do those whose last write has no stored time.
   */
  readonly removeOlderThan: (age: Duration.DurationInput) => Effect.Effect<number, HistoryStoreError>
  /** The ids of all stored conversations, or of those in memory if there is no store. */
  readonly list: Stream.Stream<string, HistoryStoreError>
}

/**
 * A manager with the sessions of this machine.
 *
 * @since 0.1.0
 * @category models
 */
export interface LocalManager extends Service, LocalSessions.Service {}

/**
 * The tag of a manager.
 *
 * @since 0.1.0
 * @category services
 */
export class ChatManager extends Context.Tag("effect-chat/ChatManager")<ChatManager, Service>() {}

/**
 * Makes a manager that lives as long as its scope. When the scope closes, turns that still run after the `grace` are
 * interrupted and, by each config's `onInterrupt`, stored. Fails with the field, the value and the rule if a setting is
 * invalid.
 *
 * @example
 * import { Effect } from "effect"
 * import { ChatManager } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.make({
 *     config: { baseUrl: "http://localhost/v1" },
 *     timeout: "30 minutes",
 *     capacity: 10_000
 *   })
 *   const chat = yield* manager.getChat("ada")
 *   yield* chat.chat("Hi")
 *   assert.deepStrictEqual(yield* manager.ids, ["ada"])
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hel", "lo!"])])
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const make = (
  options: Options
): Effect.Effect<LocalManager, ParseResult.ParseError, HttpClient.HttpClient | Scope.Scope> =>
  Effect.flatMap(ChatCompletions.make, (completions) => fromCompletions(completions, options))

/**
 * Like {@link make}, over a given completions service: one that is shared, limited, logged or replaced.
 *
 * @example
 * import { Effect } from "effect"
 * import { ChatCompletions, ChatManager, Limits } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * // Two managers that share the limits of one account.
 * const program = Effect.gen(function*() {
 *   const limits = Limits.make({ concurrency: 20 })
 *   const completions = yield* limits.over(yield* ChatCompletions.make)
 *   const config = { baseUrl: "http://localhost/v1" }
 *   const users = yield* ChatManager.fromCompletions(completions, { config })
 *   const groups = yield* ChatManager.fromCompletions(completions, { config })
 *   const chats = [yield* users.getChat("ada"), yield* groups.getChat("physics")]
 *   yield* Effect.forEach(chats, (chat) => chat.chat("Hi"), { concurrency: 2 })
 * })
 *
 * const script = ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])], { repeatLast: true })
 *
 * Effect.runPromise(program.pipe(Effect.scoped, Effect.provide(script)))
 *
 * @since 0.1.0
 * @category constructors
 */
export const fromCompletions = (
  completions: ChatCompletions.Service,
  options: Options
): Effect.Effect<LocalManager, ParseResult.ParseError, Scope.Scope> =>
  Effect.gen(function*() {
    const defaults = yield* LLMConfig.decode(options.config)
    const { window = HistoryWindow.all } = options
    const provided = yield* Effect.serviceOption(HistoryStore.HistoryStore)
    const lifetime = yield* decodeLifetime(options)
    const store = Option.match(provided, {
      onNone: () => noopStore,
      onSome: (store) => withTimeout(store, lifetime.storeTimeout)
    })
    const shared = yield* limitedCompletions(completions, options)
    const total = yield* Ref.make(emptyUsage)
    const onUsage = (usage: Usage) => Ref.update(total, (sum) => addUsage(sum, usage))
    const registry = yield* Registry.make(lifetime)
    const manager: LocalManager = {
      getChat: makeGetChat({
        registry,
        completions: shared,
        defaults,
        make: (id, pendingRemoval) => new Conversation({ id, store, pendingRemoval, defaults, window, onUsage })
      }),
      removeChat: (id) => registry.remove(id, store.remove(id)),
      fork: (from, to, options) => registry.write(to, fork(store, from, to, options?.upTo)),
      import: (id, data) => registry.write(id, importData(store, id, data, defaults)),
      export: (id) => exportData(store, id),
      conversations: store.conversations,
      removeOlderThan: (age) => removeOlderThan(store, age, (id) => registry.removeUnused(id, store.remove(id))),
      has: (id) => registry.has(id),
      size: registry.size,
      ids: registry.ids,
      list: Option.isSome(provided) ? store.list : Stream.unwrap(Effect.map(registry.ids, Stream.fromIterable)),
      usage: Ref.get(total),
      events: registry.events
    }
    return manager
  })

/** The completions service of all conversations. It outlives their registry, so that waiting turns continue on close. */
const limitedCompletions = (
  completions: ChatCompletions.Service,
  { fallback, limits }: Options
): Effect.Effect<ChatCompletions.Service, ParseResult.ParseError, Scope.Scope> =>
  Effect.gen(function*() {
    const limited = limits === undefined ? completions : yield* limits.over(completions)
    return fallback === undefined ? limited : yield* fallback.over(limited)
  })

/**
 * A manager and its sessions as a layer.
 *
 * @example
 * import { Effect, Layer } from "effect"
 * import { ChatManager, HistoryStore } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.ChatManager
 *   const chat = yield* manager.getChat("ada")
 *   yield* chat.chat("Hi")
 *   const { turns } = yield* manager.export("ada")
 *   assert.strictEqual(turns.length, 1)
 * })
 *
 * const Manager = ChatManager.layer({ config: { baseUrl: "http://localhost/v1" }, timeout: "30 minutes" }).pipe(
 *   Layer.provide(HistoryStore.layerMemory),
 *   Layer.provide(ScriptedHttpClient.layer([ScriptedHttpClient.tokens(["Hello!"])]))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Manager))
 *
 * @since 0.1.0
 * @category layers
 */
export const layer = (
  options: Options
): Layer.Layer<ChatManager | LocalSessions.LocalSessions, ParseResult.ParseError, HttpClient.HttpClient> =>
  Layer.scopedContext(
    Effect.map(
      make(options),
      (manager) => Context.make(ChatManager, manager).pipe(Context.add(LocalSessions.LocalSessions, manager))
    )
  )

/**
 * A manager whose conversations have the settings of the environment, except those in `config`. `LLMConfig.config` lists the
 * variables.
 *
 * @example
 * import { ConfigProvider, Effect, Layer } from "effect"
 * import { ChatManager } from "effect-chat"
 * import { ScriptedHttpClient } from "effect-chat/testing"
 *
 * const program = Effect.gen(function*() {
 *   const manager = yield* ChatManager.ChatManager
 *   const chat = yield* manager.getChat("ada")
 *   const { model } = yield* chat.settings
 *   assert.strictEqual(model, "qwen3")
 * })
 *
 * // In a program, these are variables of the environment.
 * const variables = new Map([["LLM_PROVIDER", "ollama"], ["LLM_MODEL", "qwen3"]])
 *
 * const Manager = ChatManager.layerConfig({ config: { turnPolicy: "replace" }, timeout: "30 minutes" }).pipe(
 *   Layer.provide(ScriptedHttpClient.layer([])),
 *   Layer.provide(Layer.setConfigProvider(ConfigProvider.fromMap(variables)))
 * )
 *
 * Effect.runPromise(Effect.provide(program, Manager))
 *
 * @since 0.1.0
 * @category layers
 */
export const layerConfig = (
  { config = {}, ...options }: Omit<Options, "config"> & { readonly config?: LLMConfig.Overrides | undefined } = {}
): Layer.Layer<
  ChatManager | LocalSessions.LocalSessions,
  ConfigError.ConfigError | ParseResult.ParseError,
  HttpClient.HttpClient
> => Layer.unwrapEffect(Effect.map(LLMConfig.configWith(config), (config) => layer({ ...options, config })))
