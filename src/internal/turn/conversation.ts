/**
 * A conversation: its history over a store, and the lock of its turns.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { BusyError, HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { type ChatMessage, system } from "../../ChatMessage.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { Changes, ChatSettings, WindowLimits } from "../../ChatSettings.ts"
import type { HistoryWindow, Summary } from "../../HistorySelection.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import type * as HistoryStore from "../../StoredConversation.ts"
import { store as noopStore } from "../history/noopStore.ts"
import * as Settings from "../history/settings.ts"
import * as Background from "./background.ts"
import { type Choice as SettingsChoice, Choices, type Mark } from "./choices.ts"
import {
  add,
  type Choice,
  type Content,
  type ConversationOptions,
  type FinishedTurn,
  firstTurns,
  isCurrent,
  load,
  type Question,
  type StoreError,
  withSystem,
  withTurn
} from "./content.ts"
import { type Closed, TurnLock } from "./lock.ts"
import * as OpenCalls from "./openCalls.ts"
import { Unsettled } from "./unsettled.ts"

/**
 * One conversation. It reads what is stored with its first use, after a write that failed, and, if other programs write
 * to the store, whenever another version is stored.
 */
export class Conversation {
  readonly lock: TurnLock = new TurnLock()
  readonly owner: string | object
  readonly #options: ConversationOptions
  readonly #choices: Choices
  #limits: WindowLimits | undefined
  readonly #content: SynchronizedRef.SynchronizedRef<Content | undefined> = SynchronizedRef.unsafeMake<
    Content | undefined
  >(undefined)
  readonly #unsettled = new Unsettled()
  /** Reads and writes of the store. They go on when who began them leaves. */
  readonly background = new Background.Background()
  #isRemoved = false
  #clears = 0

  constructor(options: ConversationOptions) {
    this.owner = options.owner ?? options.id
    this.#options = options
    this.#choices = new Choices(options.id, options.defaults)
  }

  /** Chooses what turns send of the history. */
  get window(): HistoryWindow {
    return this.#limits === undefined ? this.#options.window : Settings.toWindow(this.#limits, this.#options.window)
  }

  /** Chooses settings, which are stored with the next write. `mark` tells whether they are stored already. */
  choose(choice: SettingsChoice, mark?: Mark): Mark | undefined {
    return this.#choices.make(choice, mark)
  }

  /** Whether the conversation has a turn that the store did not take. */
  get isUnsaved(): boolean {
    return this.#unsettled.turn !== undefined
  }

  /** The tokens of all turns. */
  get usage(): Effect.Effect<Usage, HistoryStoreError> {
    return Effect.map(this.#current, ({ usage }) => this.#unsettled.total(usage))
  }

  /** The settings that are in force, without a look at the stored version. */
  get config(): Effect.Effect<LLMConfig, HistoryStoreError> {
    return Effect.map(this.#read(false), ({ config }) => config)
  }

  /** The settings that are in force, without secrets. */
  get settings(): Effect.Effect<ChatSettings, HistoryStoreError> {
    return Effect.map(this.#current, Settings.toSettings)
  }

  /** The messages, after the system message if there is one. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError> {
    return Effect.map(this.#current, (content) => withSystem(content, content.messages))
  }

  get id(): string {
    return this.#options.id
  }

  /** What the history has. While a turn runs, that is what the turn was made for. */
  get content(): Effect.Effect<Content, HistoryStoreError> {
    return this.#current
  }

  /** What is stored now. */
  get stored(): Effect.Effect<Content, HistoryStoreError> {
    return this.#read(true)
  }

  /** How often the history was cleared. A turn that began before is not kept. */
  get clears(): number {
    return this.#clears
  }

  /** The request of a turn, before the window chooses its messages. It looks at what is stored. */
  choice({ context = [], input, keepTurns }: Question): Effect.Effect<Choice, HistoryStoreError> {
    const confirmed = Effect.zipRight(
      this.background.settled,
      Effect.suspend(() => this.#unsettled.isUnconfirmed ? this.#forget : Effect.void)
    )
    return Effect.map(Effect.zipRight(confirmed, this.#read(true)), (content) => {
      const { config, messages, summary, systemPrompt } = firstTurns(content, keepTurns)
      const opening = [...context, ...input]
      return {
        input: { system: systemPrompt === "" ? undefined : system(systemPrompt), messages, opening, summary },
        request: { config, conversation: this.owner }
      }
    })
  }

  /** Stores the summary of these messages, unless the history has changed. */
  summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError> {
    const { id, store } = this.#options
    const write = this.#write(false, (content) => {
      if (content.messages !== messages) return Effect.succeed(content)
      const usage = this.#unsettled.withUnstored(content.usage)
      const { incarnation, version } = content
      return Effect.map(
        this.#unsettled.storing(usage, store.setSummary({ id, expectedVersion: version, incarnation, summary, usage })),
        (version) => ({ ...content, version, usage, summary })
      )
    })
    return Effect.catchTag(this.background.run(write), "ConflictError", () => Effect.void)
  }

  updateSystemPrompt(systemPrompt: string): Effect.Effect<void, StoreError> {
    return this.#updateSettings({ systemPrompt })
  }

  updateSettings(changes: Changes): Effect.Effect<void, StoreError | InvalidRequestError> {
    return Effect.zipRight(Settings.validate(changes, this.#options.defaults), this.#updateSettings(changes))
  }

  #updateSettings(changes: Changes): Effect.Effect<void, StoreError> {
    const write = this.#write(true, (content) =>
      Effect.flatMap(this.#choices.apply(content), (chosen) => {
        const { incarnation, version } = content
        const { done, update } = this.#choices.change(changes)
        const next: Content = { ...chosen, ...Settings.update(update, chosen) }
        const { prompt: systemPrompt, settings } = next
        const commit = this.#choices.isPrompt(update)
          ? this.#options.store.setSystemPrompt({
            id: this.#options.id,
            expectedVersion: version,
            incarnation,
            systemPrompt,
            settings
          })
          : this.#commit({ expected: { incarnation, version }, turns: [] }, next)
        return Effect.map(commit, (version) => {
          done()
          return { ...next, version }
        })
      }))
    return this.background.run(write)
  }

  get clear(): Effect.Effect<void, StoreError> {
    const { id, store } = this.#options
    const write = this.#write(true, (content) => {
      const { incarnation, version } = content
      // A conversation that is not stored has nothing to clear there.
      const clear = version === 0 ? Effect.succeed(0) : store.clear({ id, expectedVersion: version, incarnation })
      return Effect.map(clear, (version) => {
        this.#clears++
        this.#unsettled.discard()
        return { ...content, version, messages: [], turns: [], summary: undefined }
      })
    })
    return this.background.run(write)
  }

  /** Ends the turn that runs, and those that wait. */
  get stopAll(): Effect.Effect<void> {
    return this.lock.stopAll
  }

  /** Ends the turn that runs, if there is one. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder?.stop ?? Effect.void)
  }

  /**
   * Ends the conversation, once what it writes is stored. The turn that runs may go on for a while; turns that wait begin
   * in the next conversation.
   */
  end(grace: Duration.Duration): Effect.Effect<void> {
    const stopped = Effect.flatMap(this.lock.close, () => {
      const turn = this.lock.holder
      if (turn === undefined) return Effect.void
      return Duration.equals(grace, Duration.zero)
        ? turn.stop
        : turn.done.pipe(Effect.timeoutOption(grace), Effect.interruptible, Effect.zipRight(turn.stop))
    })
    return Effect.zipRight(stopped, this.background.settled)
  }

  /** Ends the conversation: the turn that runs is not kept, and nothing is written after this. */
  get remove(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#isRemoved = true
      return this.end(Duration.zero)
    })
  }

  /** Adds a turn to the history. It is stored when this is done. */
  commit(turn: FinishedTurn): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      if (this.#isRemoved) return this.recordUsage(turn.usage)
      const write = this.#write(false, (content) => {
        this.#unsettled.keep(turn, content)
        return this.#append(content, turn)
      })
      // What is stored may have to be read first, and that can fail.
      const kept = Effect.tapError(write, () =>
        Effect.sync(() => {
          if (this.#unsettled.turn?.messages !== turn.messages) {
            this.#unsettled.keep(turn, { version: Infinity, incarnation: undefined })
          }
        }))
      return Effect.zipRight(this.#count(turn.usage), kept)
    })
  }

  /** Writes the turn that a function makes of what is stored, if it makes one. It is not kept for later if that fails. */
  write(compare: boolean, toTurn: (content: Content) => FinishedTurn | undefined): Effect.Effect<void, StoreError> {
    return this.#write(compare, (content) => {
      const turn = toTurn(content)
      return turn === undefined ? Effect.succeed(content) : this.#append(content, turn)
    })
  }

  /** Removes the last turns, once the turn that runs is over. Returns how many there were to remove. */
  rewind(count: number): Effect.Effect<number, StoreError | BusyError | Closed> {
    let removed = 0
    const write = this.write(true, ({ turns }) => {
      removed = Math.min(turns.length, Math.max(0, Math.trunc(count)))
      if (removed === 0) return undefined
      this.#unsettled.discard()
      return { turnId: "", messages: [], usage: undefined, keepTurns: turns.length - removed }
    })
    return this.lock.with(Effect.map(write, () => removed), this.background)
  }

  /** Tries to store the turn that the store did not take. Returns whether there was one. */
  get save(): Effect.Effect<boolean, StoreError> {
    return Effect.suspend(() => {
      const unsaved = this.#unsettled.turn
      if (unsaved === undefined) return Effect.succeed(false)
      const write = this.#write(
        false,
        (content) =>
          this.#unsettled.turn?.messages === unsaved.messages
            ? this.#append(content, unsaved)
            : Effect.succeed(content)
      )
      return Effect.as(this.background.run(Effect.zipRight(this.#forget, write)), true)
    })
  }

  /** Counts the tokens of a turn that left nothing else. */
  recordUsage(usage: Usage | undefined): Effect.Effect<void> {
    return Effect.zipRight(this.#count(usage), Effect.sync(() => this.#unsettled.record(usage)))
  }

  #count(usage: Usage | undefined): Effect.Effect<void> {
    const { onUsage } = this.#options
    return usage === undefined || onUsage === undefined ? Effect.void : onUsage(usage)
  }

  #append(content: Content, turn: FinishedTurn): Effect.Effect<Content, StoreError> {
    const { id, store } = this.#options
    return Effect.flatMap(Effect.zipRight(OpenCalls.checkContinues(content, turn, id), this.#choices.apply(content)), (
      chosen
    ) => {
      const { keepTurns, settled, turns } = OpenCalls.plan(content, turn)
      const { incarnation, version } = content
      const usage = add(this.#unsettled.withUnstored(content.usage), turn.usage)
      const kept = firstTurns(chosen, keepTurns)
      const write = keepTurns !== undefined || this.#choices.needsCommit(version)
        ? this.#commit({
          expected: { incarnation, version },
          keepTurns,
          turns,
          usage,
          ...(keepTurns === undefined ? {} : { summary: kept.summary })
        }, chosen)
        : this.#storingChoices(store.append({
          id,
          turnId: turn.turnId,
          expectedVersion: version,
          incarnation,
          messages: turn.messages,
          usage,
          systemPrompt: chosen.prompt,
          settings: chosen.settings
        }))
      return Effect.map(this.#unsettled.storing(usage, write), (version) => {
        this.#unsettled.stored()
        turn.onSettled?.(settled)
        return { ...turns.reduce(withTurn, kept), version, usage }
      })
    })
  }

  /** A write that also stores what is chosen. */
  #commit(commit: Omit<HistoryStore.Commit, "id">, chosen: Content): Effect.Effect<number, StoreError> {
    const { id, store } = this.#options
    return this.#storingChoices(
      Effect.map(store.commit({ id, ...commit, ...this.#choices.columns(chosen) }), ({ version }) => version)
    )
  }

  #storingChoices<A>(write: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> {
    // A conversation without a store has no other place than its chats for what they chose.
    return this.#choices.storing(write, this.#options.store !== noopStore)
  }

  /** Makes the next use read what another write stored. A turn that runs gets a conflict from its own write. */
  get reload(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder === undefined ? this.#forget : Effect.void)
  }

  /** Makes the next use read what is stored. */
  get #forget(): Effect.Effect<void> {
    return Effect.uninterruptible(SynchronizedRef.set(this.#content, undefined))
  }

  /**
   * The content once what is being written is stored, compared with the store unless a turn runs: that turn was made for
   * what is in memory.
   */
  get #current(): Effect.Effect<Content, HistoryStoreError> {
    return Effect.zipRight(
      this.background.settled,
      Effect.suspend(() => this.#read(this.lock.holder === undefined))
    )
  }

  /** A read goes on when the reader leaves: a semaphore loses the permit of a fiber that is interrupted as it gets it. */
  #read(compare: boolean): Effect.Effect<Content, HistoryStoreError> {
    const read = Background.read(
      SynchronizedRef.modifyEffect(
        this.#content,
        (content) => Effect.map(this.#refresh(content, compare), (content) => [content, content])
      )
    )
    return SynchronizedRef.get(this.#content).pipe(
      Effect.flatMap((content) =>
        content !== undefined && !(compare && this.#options.store.isShared) ? Effect.succeed(content) : read
      ),
      Effect.flatMap((content) => this.#choices.apply(content)),
      Effect.tap(({ limits }) => this.#limits = limits)
    )
  }

  /** The content, read if there is none, or if another version is stored. */
  #refresh(content: Content | undefined, compare: boolean): Effect.Effect<Content, HistoryStoreError> {
    const { id, store } = this.#options
    if (content === undefined) return this.#load
    return compare && store.isShared
      ? Effect.flatMap(store.version(id), (found) => isCurrent(content, found) ? Effect.succeed(content) : this.#load)
      : Effect.succeed(content)
  }

  /** One write at a time, and none after the removal. After one that failed, what is stored is read again. */
  #write(
    compare: boolean,
    f: (content: Content) => Effect.Effect<Content, StoreError>
  ): Effect.Effect<void, StoreError> {
    const write = SynchronizedRef.updateEffect(this.#content, (content) => {
      if (this.#isRemoved) return Effect.succeed(content)
      const known = this.#unsettled.isUnconfirmed ? undefined : content
      return Effect.flatMap(this.#refresh(known, compare && this.lock.holder === undefined), f)
    }).pipe(
      Effect.tapErrorTag("ConflictError", () => this.#forget),
      Effect.tapErrorTag("HistoryStoreError", () => Effect.sync(() => this.#unsettled.fail()))
    )
    return Effect.uninterruptible(write)
  }

  get #load(): Effect.Effect<Content, HistoryStoreError> {
    return Effect.map(load(this.#options), (content) => this.#unsettled.settle(content))
  }
}
