/**
 * What a conversation is: its messages, where they are kept, and the one turn that it can be in.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { ChatRequest } from "../../ChatCompletions.ts"
import type { ConflictError, HistoryStoreError } from "../../ChatError.ts"
import { type ChatMessage, fromResponse, system, type ToolMessage, type UserMessage } from "../../ChatMessage.ts"
import { addUsage, type ChatResponse, emptyUsage, type Usage } from "../../ChatResponse.ts"
import type * as HistoryStore from "../../HistoryStore.ts"
import type { HistoryWindow, Input, Summary } from "../../HistoryWindow.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import * as Settings from "../history/settings.ts"
import { TurnLock } from "./turnLock.ts"

/** What a turn begins with. */
export type Opening = ReadonlyArray<UserMessage | ToolMessage>

/** What can go wrong between a conversation and its store. */
export type StoreError = HistoryStoreError | ConflictError

/** Where a conversation is kept, and what it is begun with. */
export interface Options {
  readonly id: string
  /** Whose its calls are, where that is not said by the id. */
  readonly owner?: object
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

interface State {
  readonly config: LLMConfig
  /** Of what is stored; 0 where nothing is. */
  readonly version: number
  readonly systemPrompt: string
  /** Whole turns in their order, without the system message. */
  readonly messages: ReadonlyArray<ChatMessage>
  readonly summary: Summary | undefined
  readonly usage: Usage
}

/** What a window chooses from, and the request that it chooses the messages of. */
export interface Choice {
  readonly input: Input
  readonly request: Omit<ChatRequest, "messages">
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
export class Conversation {
  readonly lock: TurnLock = new TurnLock()
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
    this.#options = options
  }

  /** What turns send of the history. */
  get window(): HistoryWindow {
    return this.#options.window
  }

  /** Whether the conversation has a turn that the store did not take. */
  get isUnsaved(): boolean {
    return this.#unsaved !== undefined
  }

  /** The settings that are in force. */
  get config(): Effect.Effect<LLMConfig, HistoryStoreError> {
    return this.#use((state) => state.config)
  }

  /** The messages, the system message first where there is one. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError> {
    return this.#use((state) => withSystem(state, state.messages))
  }

  /** The tokens of all turns. */
  get usage(): Effect.Effect<Usage, HistoryStoreError> {
    return this.#use((state) => [this.#unstored, this.#doubt?.unstored, this.#unsaved?.usage].reduce(add, state.usage))
  }

  /** What a question outside the history is sent with. */
  question(opening: Opening): Effect.Effect<ChatRequest, HistoryStoreError> {
    return this.#use((state) => ({
      config: state.config,
      messages: withSystem(state, opening),
      conversation: this.#owner
    }))
  }

  /** What a turn is sent with, before the window chooses. */
  choice(opening: Opening): Effect.Effect<Choice, HistoryStoreError> {
    const certain = Effect.suspend(() => this.#doubt === undefined ? Effect.void : this.#forget)
    const choose = this.#use(({ config, messages, summary, systemPrompt }): Choice => ({
      input: { system: systemPrompt === "" ? undefined : system(systemPrompt), messages, opening, summary },
      request: { config, conversation: this.#owner }
    }))
    return Effect.zipRight(certain, choose)
  }

  /** Keeps the summary of these messages, unless the history is another one by now. */
  summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError> {
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

  updateSystemPrompt(systemPrompt: string): Effect.Effect<void, StoreError> {
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

  get clear(): Effect.Effect<void, StoreError> {
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

  /** Ends the turn that runs, if one does. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder?.stop ?? Effect.void)
  }

  /** Ends the conversation: the turn that runs may go on for a while, and those that wait for it go elsewhere. */
  end(grace: Duration.Duration): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.lock.close()
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

  /** Adds a turn, if its answer says anything. It is stored when this is done. */
  commit(opening: Opening, response: ChatResponse): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      const answer = this.#dismissed ? undefined : fromResponse(response)
      if (answer === undefined) return this.spend(response.usage)
      const { usage } = response
      const messages = [...opening, answer]
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

  /** Tries again to store the turn that the store did not take; whether there was one. */
  get save(): Effect.Effect<boolean, StoreError> {
    return Effect.suspend(() => {
      const unsaved = this.#unsaved
      if (unsaved === undefined) return Effect.succeed(false)
      const write = this.#write((state) =>
        this.#unsaved === unsaved ? this.#append(state, unsaved.messages, unsaved.usage) : Effect.succeed(state)
      )
      return Effect.as(Effect.zipRight(this.#forget, write), true)
    })
  }

  /** Counts the tokens of a turn that left nothing else. */
  spend(usage: Usage | undefined): Effect.Effect<void> {
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

  /** Whose calls these are, where calls wait in line. */
  get #owner(): object | string {
    const { id, owner = id } = this.#options
    return owner
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

  #use<A>(f: (state: State) => A): Effect.Effect<A, HistoryStoreError> {
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
        onNone: () =>
          Effect.succeed<State>({
            config,
            version: 0,
            systemPrompt: config.systemPrompt,
            messages: [],
            summary: undefined,
            usage: emptyUsage
          }),
        onSome: (stored) =>
          Effect.map(
            isConfigGiven ? Effect.succeed(config) : Settings.toConfig(stored, config),
            (config): State => ({ ...stored, config, summary: stored.summary })
          )
      })
    ).pipe(Effect.map((state) => this.#settle(state)))
  }
}

const add = (usage: Usage, more: Usage | undefined): Usage => more === undefined ? usage : addUsage(usage, more)

const withSystem = (
  { systemPrompt }: State,
  messages: ReadonlyArray<ChatMessage>
): ReadonlyArray<ChatMessage> => systemPrompt === "" ? messages.slice() : [system(systemPrompt), ...messages]

/** Whether the turn is the last one that is stored, and came there since. */
const isStored = (state: State, unsaved: Unsaved): boolean =>
  state.version > unsaved.version &&
  isSame(state.messages.slice(-unsaved.messages.length), unsaved.messages)

const isSame = (some: unknown, other: unknown): boolean => JSON.stringify(some) === JSON.stringify(other)
