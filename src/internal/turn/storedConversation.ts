/**
 * Conversations that a store keeps.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { Usage } from "../../ChatResponse.ts"
import type * as HistoryStore from "../../HistoryStore.ts"
import type { HistoryWindow, Summary } from "../../HistoryWindow.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import * as Settings from "../history/settings.ts"
import {
  add,
  begun,
  type Choice,
  type Content,
  Conversation,
  type FinishedTurn,
  type StoreError,
  type TurnInput
} from "./conversation.ts"

/** Where a conversation is kept, and what it is begun with. */
export interface Options {
  readonly id: string
  readonly store: HistoryStore.Service
  /** What must be over before the conversation is read: the removal of the one before it. */
  readonly after?: Effect.Effect<void> | undefined
  readonly config: LLMConfig
  /** Whether the config counts even where the conversation is stored with another one. */
  readonly isConfigGiven: boolean
  /** What turns send of the history. */
  readonly window: HistoryWindow
  /** Told what each turn took. */
  readonly onUsage?: (usage: Usage) => Effect.Effect<void>
}

interface State extends Content {
  /** Of what is stored; 0 where nothing is. */
  readonly version: number
}

/** A turn that the store did not take. */
interface Unsaved {
  readonly messages: ReadonlyArray<ChatMessage>
  readonly usage: Usage | undefined
  /** What was stored before the write: infinite where there was none. */
  readonly version: number
}

/** What a write was to store. */
interface Doubt {
  /** The tokens of all turns, where the write had them. */
  readonly usage?: Usage
  /** Those among them that were not stored before. */
  readonly unstored?: Usage | undefined
}

/** One conversation. What is stored of it is read with its first use, and again after a write that failed. */
export class StoredConversation extends Conversation {
  readonly #options: Options
  readonly #state: SynchronizedRef.SynchronizedRef<State | undefined> = SynchronizedRef.unsafeMake<
    State | undefined
  >(undefined)
  #unsaved: Unsaved | undefined
  /** What turns took that left nothing else, and is stored with the next one. */
  #unstored: Usage | undefined
  /** A write that failed, and may have been done all the same. What is stored tells. */
  #doubt: Doubt | undefined
  #dismissed = false

  constructor(options: Options) {
    super(options.window, options.id)
    this.#options = options
  }

  /** Whether the conversation has a turn that the store did not take. */
  get isUnsaved(): boolean {
    return this.#unsaved !== undefined
  }

  override get usage(): Effect.Effect<Usage, HistoryStoreError> {
    return this.use((state) => [this.#unstored, this.#doubt?.unstored, this.#unsaved?.usage].reduce(add, state.usage))
  }

  /** What was stored is read again where that is in doubt. */
  override choice(input: TurnInput): Effect.Effect<Choice, HistoryStoreError> {
    const certain = Effect.suspend(() => this.#doubt === undefined ? Effect.void : this.#forget)
    return Effect.zipRight(certain, super.choice(input))
  }

  override summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError> {
    return this.#write((state) => {
      if (state.messages !== messages) return Effect.succeed(state)
      const usage = add(state.usage, this.#unstored)
      const { id, store } = this.#options
      return Effect.map(
        this.#storing(usage, store.setSummary({ id, expectedVersion: state.version, summary, usage })),
        (version) => ({ ...state, version, usage, summary })
      )
    }).pipe(Effect.catchTag("ConflictError", () => Effect.void))
  }

  override updateSystemPrompt(systemPrompt: string): Effect.Effect<void, StoreError> {
    return this.#write((state) =>
      Effect.map(
        this.#options.store.setSystemPrompt({
          id: this.#options.id,
          expectedVersion: state.version,
          systemPrompt,
          settings: Settings.fromConfig(state.config)
        }),
        (version) => ({ ...state, version, systemPrompt })
      )
    )
  }

  override get clear(): Effect.Effect<void, StoreError> {
    return this.#write((state) => {
      // What is not stored has nothing there to clear.
      const clear = state.version === 0
        ? Effect.succeed(0)
        : this.#options.store.clear({ id: this.#options.id, expectedVersion: state.version })
      return Effect.map(clear, (version) => {
        this.#giveUp()
        return { ...state, version, messages: [], summary: undefined }
      })
    })
  }

  /** Ends the conversation: the turn that runs may go on for a while, and those that wait for it go elsewhere. */
  end(grace: Duration.Duration): Effect.Effect<void> {
    return Effect.flatMap(this.lock.close, () => {
      const turn = this.lock.holder
      if (turn === undefined) return Effect.void
      return Duration.equals(grace, Duration.zero)
        ? turn.stop
        : turn.done.pipe(Effect.timeoutOption(grace), Effect.interruptible, Effect.zipRight(turn.stop))
    })
  }

  /** Ends the conversation: the turn that runs leaves nothing behind, and nothing is written once this is done. */
  get dismiss(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#dismissed = true
      const written = SynchronizedRef.update(this.#state, (state) => state)
      return Effect.zipRight(this.end(Duration.zero), written)
    })
  }

  override commit({ messages, usage }: FinishedTurn): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      if (this.#dismissed) return this.recordUsage(usage)
      const write = this.#write((state) => {
        this.#giveUp()
        this.#unsaved = { messages, usage, version: state.version }
        return this.#append(state, messages, usage)
      })
      // What is stored may have to be read before, and that can fail.
      const kept = Effect.tapError(write, () =>
        Effect.sync(() => {
          if (this.#unsaved?.messages === messages) return
          this.#giveUp()
          this.#unsaved = { messages, usage, version: Infinity }
        }))
      return Effect.zipRight(this.#count(usage), kept)
    })
  }

  override get save(): Effect.Effect<boolean, StoreError> {
    return Effect.suspend(() => {
      const unsaved = this.#unsaved
      if (unsaved === undefined) return Effect.succeed(false)
      const write = this.#write((state) =>
        this.#unsaved === unsaved ? this.#append(state, unsaved.messages, unsaved.usage) : Effect.succeed(state)
      )
      return Effect.as(Effect.zipRight(this.#forget, write), true)
    })
  }

  override recordUsage(usage: Usage | undefined): Effect.Effect<void> {
    // Not during a write, which stores what it found.
    const keep = SynchronizedRef.update(this.#state, (state) => {
      this.#unstored = usage === undefined ? this.#unstored : add(usage, this.#unstored)
      return state
    })
    return usage === undefined ? Effect.void : Effect.zipRight(this.#count(usage), keep)
  }

  #count(usage: Usage | undefined): Effect.Effect<void> {
    const { onUsage } = this.#options
    return usage === undefined || onUsage === undefined ? Effect.void : onUsage(usage)
  }

  #append(
    state: State,
    messages: ReadonlyArray<ChatMessage>,
    cost: Usage | undefined
  ): Effect.Effect<State, StoreError> {
    const usage = add(add(state.usage, this.#unstored), cost)
    const turn = {
      id: this.#options.id,
      expectedVersion: state.version,
      messages,
      usage,
      systemPrompt: state.systemPrompt,
      settings: Settings.fromConfig(state.config)
    }
    return Effect.map(this.#storing(usage, this.#options.store.append(turn)), (version) => {
      this.#unsaved = undefined
      return { ...state, version, usage, messages: [...state.messages, ...messages] }
    })
  }

  /** A write that has the tokens of all turns. */
  #storing(usage: Usage, write: Effect.Effect<number, StoreError>): Effect.Effect<number, StoreError> {
    const unstored = this.#unstored
    return Effect.tapBoth(write, {
      onSuccess: () => Effect.sync(() => this.#unstored = undefined),
      onFailure: (error) =>
        Effect.sync(() => {
          if (error._tag === "ConflictError") return
          this.#unstored = undefined
          this.#doubt = { usage, unstored }
        })
    })
  }

  /** The turn that the store did not take stays what it is: one that took tokens and left nothing. */
  #giveUp(): void {
    if (this.#unsaved?.usage !== undefined) this.#unstored = add(this.#unsaved.usage, this.#unstored)
    this.#unsaved = undefined
  }

  /** Has what is stored read again with the next use. */
  get #forget(): Effect.Effect<void> {
    return Effect.uninterruptible(SynchronizedRef.set(this.#state, undefined))
  }

  /** What is stored tells which writes were done although they failed. */
  #settle(state: State): State {
    const doubt = this.#doubt
    const unsaved = this.#unsaved
    this.#doubt = undefined
    if (doubt?.unstored !== undefined && !isSame(doubt.usage, state.usage)) {
      this.#unstored = add(doubt.unstored, this.#unstored)
    }
    if (unsaved !== undefined && isStored(state, unsaved)) this.#unsaved = undefined
    return state
  }

  protected override use<A>(f: (content: Content) => A): Effect.Effect<A, HistoryStoreError> {
    return Effect.flatMap(
      SynchronizedRef.get(this.#state),
      (state) => state === undefined ? Effect.map(this.#loaded, f) : Effect.succeed(f(state))
    )
  }

  /** Only the load itself can be interrupted: a semaphore loses the permit of whoever is interrupted as it gets it. */
  get #loaded(): Effect.Effect<State, HistoryStoreError> {
    return Effect.uninterruptibleMask((restore) =>
      SynchronizedRef.modifyEffect(
        this.#state,
        (state) =>
          Effect.map(state === undefined ? restore(this.#load) : Effect.succeed(state), (state) => [state, state])
      )
    )
  }

  /** One write at a time, and none of what is to be removed. After one that failed the conversation is what is stored. */
  #write(f: (state: State) => Effect.Effect<State, StoreError>): Effect.Effect<void, StoreError> {
    return SynchronizedRef.updateEffect(
      this.#state,
      (state) =>
        this.#dismissed
          ? Effect.succeed(state)
          : Effect.flatMap(state === undefined || this.#doubt !== undefined ? this.#load : Effect.succeed(state), f)
    ).pipe(
      Effect.tapErrorTag("ConflictError", () => this.#forget),
      Effect.tapErrorTag("HistoryStoreError", () => Effect.sync(() => this.#doubt ??= {})),
      Effect.uninterruptible
    )
  }

  get #load(): Effect.Effect<State, HistoryStoreError> {
    const { after, config, id, isConfigGiven, store } = this.#options
    return Effect.flatMap(
      after === undefined ? store.load(id) : Effect.zipRight(after, store.load(id)),
      Option.match({
        onNone: () => Effect.succeed<State>({ ...begun(config), version: 0 }),
        onSome: (stored) =>
          Effect.map(
            isConfigGiven ? Effect.succeed(config) : Settings.toConfig(stored, config),
            (config): State => ({
              config,
              version: stored.version,
              systemPrompt: stored.systemPrompt,
              messages: stored.messages,
              summary: stored.summary,
              usage: stored.usage
            })
          )
      })
    ).pipe(Effect.map((state) => this.#settle(state)))
  }
}

/** Whether the turn is the last one that is stored, and came there since. */
const isStored = (state: State, unsaved: Unsaved): boolean =>
  state.version > unsaved.version &&
  isSame(state.messages.slice(-unsaved.messages.length), unsaved.messages)

const isSame = (some: unknown, other: unknown): boolean => JSON.stringify(some) === JSON.stringify(other)
