/**
 * Many conversations by id, side by side: one per user, group or thread.
 *
 * A session that nobody uses for the `timeout` leaves memory, and so does the least recently used idle one beyond the
 * `capacity`. A session in use never does, nor one that has a turn which its store did not take. What `getChat` gives
 * stays good: its next use brings the conversation back.
 *
 * With a `HistoryStore` in the context every turn is stored before it is done, and what comes back has its history, its
 * usage and its settings. Without one a conversation lives in memory only, and comes back empty.
 *
 * All conversations of a manager share its `limits` and its `fallback`. The fallback lies over the limits: every attempt
 * waits for a place of its own, and gives it back before the next server is asked.
 *
 * @since 0.1.0
 */
import type * as HttpClient from "@effect/platform/HttpClient"
import * as Context from "effect/Context"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import type * as ParseResult from "effect/ParseResult"
import * as Ref from "effect/Ref"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import * as Stream from "effect/Stream"
import * as ChatCompletions from "./ChatCompletions.ts"
import type { ConflictError, HistoryStoreError, InvalidRequestError } from "./ChatError.ts"
import { addUsage, emptyUsage, type Usage } from "./ChatResponse.ts"
import type { Changes } from "./ChatSettings.ts"
import type { ConversationData } from "./ConversationData.ts"
import type * as Fallback from "./Fallback.ts"
import * as HistoryStore from "./HistoryStore.ts"
import * as HistoryWindow from "./HistoryWindow.ts"
import { store as noopStore } from "./internal/history/noopStore.ts"
import { validate } from "./internal/history/settings.ts"
import { exportData, importData } from "./internal/history/transfer.ts"
import { fork, removeOlderThan } from "./internal/history/upkeep.ts"
import { inOneLine } from "./internal/issue.ts"
import * as Registry from "./internal/sessions/registry.ts"
import { encodeDuration, Timeout, WholeOrInfinite } from "./internal/settings.ts"
import * as Chat from "./internal/turn/chat.ts"
import type { Mark } from "./internal/turn/choices.ts"
import { Conversation } from "./internal/turn/conversation.ts"
import type * as Limits from "./Limits.ts"
import type * as LLMChat from "./LLMChat.ts"
import * as LLMConfig from "./LLMConfig.ts"
import * as LocalSessions from "./LocalSessions.ts"

/**
 * What happens to the sessions of a manager.
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
  /** What a conversation has that brings no config of its own. */
  readonly config: LLMConfig.LLMConfig | LLMConfig.Options
  /** How long a session may be idle. Counts from its last use, not from `getChat`. Default infinite. */
  readonly timeout?: Duration.DurationInput | undefined
  /** How many sessions may be in memory, 1 or more. Sessions that cannot leave count, but stay. Default infinite. */
  readonly capacity?: number | undefined
  /**
   * How long the turns that run may go on when the manager's scope closes, before they are interrupted. Default none.
   */
  readonly grace?: Duration.DurationInput | undefined
  /** How many calls all conversations together may make. Who waits is served conversation by conversation. Default none. */
  readonly limits?: Limits.Limits | undefined
  /** Further servers, for when the one of a conversation's config cannot answer. Default none. */
  readonly fallback?: Fallback.Fallback | undefined
  /** What turns send of their conversation's history. Default `HistoryWindow.all`. */
  readonly window?: HistoryWindow.HistoryWindow | undefined
}

/**
 * What a program chooses for a conversation.
 *
 * @since 0.1.0
 * @category models
 */
export interface GetOptions {
  /**
   * The config of the conversation. Its differences from the manager's config become settings of the conversation, in
   * place of those that it chose before. A system prompt that is the manager's leaves the conversation's own. A config
   * with another `baseUrl` is used as a whole, and none of it is stored.
   */
  readonly config?: LLMConfig.LLMConfig | undefined
  /** Settings of the conversation, which change those that are given. */
  readonly settings?: Changes | undefined
  /** Whose conversation it is: see `conversations`. */
  readonly owner?: string | undefined
  /** A title for listings. */
  readonly title?: string | undefined
}

/**
 * What a manager offers. Ids are data: every text is one, the empty text included.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /**
   * The conversation with this id, which is created if there is none. What the options choose is in force from now on, also
   * in a conversation that is in memory, and is stored with the next turn. Fails with `InvalidRequestError` if one of the
   * `settings` breaks its rule.
   */
  readonly getChat: (id: string, options?: GetOptions) => Effect.Effect<LLMChat.Service, InvalidRequestError>
  /**
   * Ends the conversation with this id and forgets it; whether there was one. A turn that is running is stopped and not
   * kept. Whoever still holds the chat begins a new conversation with it.
   */
  readonly removeChat: (id: string) => Effect.Effect<boolean, HistoryStoreError>
  /**
   * Begins the conversation `to` as a copy of `from`, with all turns or those up to and including `upTo`, the id of a turn.
   * The copy is written as a whole. Fails with `ConflictError` if `to` is stored, and with `HistoryStoreError` if `from` or
   * the turn is not.
   */
  readonly fork: (
    from: string,
    to: string,
    options?: { readonly upTo?: string | undefined }
  ) => Effect.Effect<void, HistoryStoreError | ConflictError>
  /**
   * Begins the conversation with what another store or program had: the JSON of `export`, or a list of messages as OpenAI's
   * API or this library has them, alone or as the `messages` of an object. Settings that it does not have come from the
   * manager's config. Fails with `InvalidRequestError` for other data, and with `ConflictError` if the conversation is
   * stored.
   */
  readonly import: (
    id: string,
    data: unknown
  ) => Effect.Effect<void, HistoryStoreError | ConflictError | InvalidRequestError>
  /** The stored conversation as JSON, without secrets. Fails with `HistoryStoreError` if it is not stored. */
  readonly export: (id: string) => Effect.Effect<ConversationData, HistoryStoreError>
  /**
   * A page of the stored conversations, newest first; 50 without a `limit`. `before` is the last conversation of the page
   * before. A SQL store reads that page only. Stores in files, memory and a `KeyValueStore` read every conversation.
   */
  readonly conversations: (
    query?: HistoryStore.ConversationQuery
  ) => Effect.Effect<ReadonlyArray<HistoryStore.ConversationInfo>, HistoryStoreError>
  /**
   * Removes the stored conversations that were not written for this long. Returns how many. Conversations that are in use
   * stay, and so do those whose last write has no known time.
   */
  readonly removeOlderThan: (age: Duration.DurationInput) => Effect.Effect<number, HistoryStoreError>
  /** The ids of all stored conversations; of those in memory where there is no store. */
  readonly list: Stream.Stream<string, HistoryStoreError>
}

/**
 * A manager with its sessions, which are on this machine.
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

const Lifetime = Schema.Struct({
  timeout: Timeout,
  grace: Schema.Union(Timeout, Schema.DurationFromMillis),
  capacity: WholeOrInfinite
})

const decodeLifetime = ({ capacity = Infinity, grace = 0, timeout = Duration.infinity }: Options) =>
  Effect.mapError(
    Schema.decodeUnknown(Lifetime)({ capacity, grace: encodeDuration(grace), timeout: encodeDuration(timeout) }),
    inOneLine
  )

/**
 * A manager that lives as long as its scope. Its end interrupts the turns that still run after the `grace`, by each
 * config's `onInterrupt`, and stores what is to be kept.
 * Fails with the field, the value and the rule where a setting is bad.
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
 *   const { text } = yield* chat.chat("Hi")
 *   assert.strictEqual(text, "Hello!")
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
 * Like {@link make}, over a wire of the caller's: one that is shared, limited or replaced.
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
 *   const [user, group] = [yield* users.getChat("ada"), yield* groups.getChat("physics")]
 *   yield* user.chat("Hi")
 *   yield* group.chat("Hi")
 *   assert.strictEqual((yield* group.history).length, 3)
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
    const kept = yield* Effect.serviceOption(HistoryStore.HistoryStore)
    const store = Option.getOrElse(kept, () => noopStore)
    const wire = yield* shared(completions, options)
    const total = yield* Ref.make(emptyUsage)
    const onUsage = (usage: Usage) => Ref.update(total, (sum) => addUsage(sum, usage))
    const registry = yield* Registry.make(yield* decodeLifetime(options))
    const manager: LocalManager = {
      getChat: (id, options = {}) =>
        Effect.gen(function*() {
          const { config = defaults, settings } = options
          if (settings !== undefined) yield* validate(settings, config)
          const { begin, chooseIn } = choosing(
            options,
            (after) => new Conversation({ id, store, after, defaults, window, onUsage })
          )
          chooseIn(yield* registry.create(id, begin))
          return Chat.make(wire, config, registry.lender(id, begin))
        }),
      removeChat: (id) => registry.remove(id, store.remove(id)),
      fork: (from, to, options) => registry.write(to, fork(store, from, to, options?.upTo)),
      import: (id, data) => registry.write(id, importData(store, id, data, defaults)),
      export: (id) => exportData(store, id),
      conversations: store.conversations,
      removeOlderThan: (age) => removeOlderThan(store, age, (id) => registry.removeUnused(id, store.remove(id))),
      has: registry.has,
      size: registry.size,
      ids: registry.ids,
      list: Option.isSome(kept) ? store.list : Stream.unwrap(Effect.map(registry.ids, Stream.fromIterable)),
      usage: Ref.get(total),
      events: registry.events
    }
    return manager
  })

/** Makes the choices of one `getChat` in the conversation that it begins or finds, and again after it left memory. */
const choosing = (choice: GetOptions, begin: Registry.Begin) => {
  let mark: Mark | undefined
  let isMade = false
  const choose = (conversation: Conversation): Conversation => {
    mark = conversation.choose(choice, mark)
    isMade = true
    return conversation
  }
  return {
    begin: (after: Effect.Effect<void> | undefined) => choose(begin(after)),
    /** Chooses in a conversation that was begun by another call. */
    chooseIn: (conversation: Conversation) => isMade ? conversation : choose(conversation)
  }
}

/** The wire of all conversations. Made before their registry, so that turns which wait still go on when that closes. */
const shared = (
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
