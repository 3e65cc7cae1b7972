/**
 * A conversation: its history and settings in a store, and the lock of its turns.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { BusyError, HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { type ChatMessage, system } from "../../ChatMessage.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { Changes, ChatSettings } from "../../ChatSettings.ts"
import type { HistoryWindow, Summary } from "../../HistorySelection.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import * as ConversationSettings from "../history/conversationSettings.ts"
import { Background } from "./background.ts"
import { ChosenSettings, type SettingsChoice, type StoredFlag } from "./chosenSettings.ts"
import {
  addTurns,
  type Content,
  type ConversationOptions,
  findTurn,
  type FinishedTurn,
  firstTurns,
  type FoundTurn,
  keptTurns,
  type Question,
  type RequestDraft,
  type StoreError,
  type TurnCount,
  withSystem
} from "./content.ts"
import { ContentRef } from "./contentRef.ts"
import { type Closed, TurnLock } from "./lock.ts"
import { RunningTurns } from "./runningTurns.ts"
import { Unsaved } from "./unsaved.ts"
import { Writes } from "./writes.ts"

/**
 * One conversation. It reads the stored content at its first use and after a failed write. If other programs can write to
 * the store, it also reads the content again when the stored version has changed.
 */
export class Conversation {
  readonly lock: TurnLock = new TurnLock()
  readonly fairnessKey: string | object
  readonly #options: ConversationOptions
  readonly #chosenSettings: ChosenSettings
  readonly #content: ContentRef
  readonly #unsaved = new Unsaved()
  readonly #writes: Writes
  /** The writes to the store. They continue if the caller is interrupted. */
  readonly background: Background
  #runningTurns: RunningTurns | undefined
  #clearCount = 0

  constructor(options: ConversationOptions) {
    this.fairnessKey = options.fairnessKey ?? options.id
    this.#options = options
    this.#chosenSettings = new ChosenSettings(options.id, options.defaults)
    this.#writes = new Writes(options, this.#chosenSettings, this.#unsaved)
    this.background = new Background()
    this.#content = new ContentRef(options, this.#chosenSettings, this.#unsaved, this.lock, this.background)
  }

  /** The turns with an event log. Created at the first use, to save memory: most conversations have none. */
  get runningTurns(): RunningTurns {
    return this.#runningTurns ??= new RunningTurns()
  }

  /** Selects the messages of the history that turns send. */
  get window(): HistoryWindow {
    return this.#content.window
  }

  /** Chooses the settings of a `getChat`. See `ChosenSettings.choose`. */
  chooseSettings(choice: SettingsChoice, flag?: StoredFlag): StoredFlag | undefined {
    return this.#chosenSettings.choose(choice, flag)
  }

  /** Whether the conversation has a turn that could not be stored. */
  get hasUnsavedTurn(): boolean {
    return this.#unsaved.turn !== undefined
  }

  /** The tokens of all turns. */
  get usage(): Effect.Effect<Usage, HistoryStoreError> {
    return Effect.map(this.#content.current(), ({ usage }) => this.#unsaved.total(usage))
  }

  /** The current config. Does not check whether the stored version has changed. */
  get config(): Effect.Effect<LLMConfig, HistoryStoreError> {
    return Effect.map(this.#content.read(false), ({ config }) => config)
  }

  /** The current settings, without secrets. */
  get settings(): Effect.Effect<ChatSettings, HistoryStoreError> {
    return Effect.map(this.#content.current(), ConversationSettings.toSettings)
  }

  /** The system message, if there is one, and the messages of the turns. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError> {
    return Effect.map(this.#content.current("all"), (content) => withSystem(content, content.messages))
  }

  get id(): string {
    return this.#options.id
  }

  /** The stored content. While a turn is running, the content that the turn began with. */
  get content(): Effect.Effect<Content, HistoryStoreError> {
    return this.#content.current()
  }

  /** The content in memory. Undefined if nothing was read. */
  get loaded(): Effect.Effect<Content | undefined> {
    return this.#content.loaded
  }

  /** The content after a check of the stored version, even if a turn is running. */
  readStored(turnCount?: TurnCount): Effect.Effect<Content, HistoryStoreError> {
    return this.#content.read(true, turnCount)
  }

  /** How often the history was cleared. A turn that began before a clear is not stored. */
  get clearCount(): number {
    return this.#clearCount
  }

  /** The turn with this id, if it is stored. */
  find(turnId: string): Effect.Effect<FoundTurn | undefined, HistoryStoreError> {
    return Effect.flatMap(this.#content.current(), (content) => this.#content.find(content, turnId))
  }

  /**
   * Finds the stored turn with this id, and the other turns that stay if a new turn replaces it. For the turn that holds
   * the lock.
   */
  findWithOthers(turnId: string): Effect.Effect<
    | { readonly found: FoundTurn; readonly others: Pick<Question, "keepTurns" | "movedTurns" | "knownTurnIds"> }
    | undefined,
    HistoryStoreError
  > {
    const findInAll = Effect.map(this.#content.read(true, "all"), (content) => {
      const found = findTurn(content, turnId)
      return found && { found, others: keptTurns(content, found) }
    })
    return Effect.flatMap(
      this.#content.read(true),
      (content) =>
        Effect.flatMap(
          this.#content.find(content, turnId),
          (found) => found === undefined ? Effect.succeed(found) : findInAll
        )
    )
  }

  /** Builds the request of a turn without its messages, and the input of the window that selects them. */
  draftRequest(
    { context = [], input, keepTurns, movedTurns }: Question
  ): Effect.Effect<RequestDraft, HistoryStoreError> {
    const newMessages = [...context, ...input]
    const confirmed = Effect.zipRight(
      this.background.settled,
      Effect.suspend(() => this.#unsaved.isUnconfirmed ? this.#content.invalidate : Effect.void)
    )
    const content = keepTurns === undefined ? this.#content.readForWindow(newMessages) : this.#content.read(true, "all")
    return Effect.map(Effect.zipRight(confirmed, content), (content) => {
      const { config, firstTurn, messages, summary, systemPrompt, turns } = addTurns(
        firstTurns(content, keepTurns),
        movedTurns
      )
      return {
        input: {
          system: systemPrompt === "" ? undefined : system(systemPrompt),
          messages,
          newMessages,
          // `replaces` counts from the first message of the whole history. A window that uses the summary loads all of it.
          summary: firstTurn > 0 ? undefined : summary,
          offset: firstTurn,
          turnStarts: turns.map(({ start }) => start)
        },
        request: { config, conversation: this.fairnessKey }
      }
    })
  }

  /** Stores the summary of these messages, if the history is still the same. */
  summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError> {
    const { id, store } = this.#options
    const write = this.#content.write(false, (content) => {
      if (content.messages !== messages) return Effect.succeed(content)
      const usage = this.#unsaved.withUnstored(content.usage)
      const { incarnation, version } = content
      return Effect.map(
        this.#unsaved.trackWrite(
          usage,
          store.setSummary({ id, expectedVersion: version, incarnation, summary, usage })
        ),
        (version) => ({ ...content, version, usage, summary })
      )
    })
    return Effect.catchTag(this.background.run(write), "ConflictError", () => Effect.void)
  }

  updateSystemPrompt(systemPrompt: string): Effect.Effect<void, StoreError> {
    return this.#setSettings(() => this.#chosenSettings.change({ systemPrompt }))
  }

  updateSettings(changes: Changes): Effect.Effect<void, StoreError | InvalidRequestError> {
    return Effect.zipRight(
      ConversationSettings.validate(changes, this.#options.defaults),
      this.#setSettings(() => this.#chosenSettings.change(changes))
    )
  }

  /** Removes the conversation's own values of these settings. */
  resetSettings(names: ReadonlyArray<keyof ChatSettings>): Effect.Effect<void, StoreError> {
    return this.#setSettings(() => this.#chosenSettings.reset(names))
  }

  #setSettings(change: () => ReturnType<ChosenSettings["change"]>): Effect.Effect<void, StoreError> {
    const write = this.#content.write(
      true,
      (content) =>
        Effect.flatMap(this.#chosenSettings.apply(content), (chosen) => {
          const { incarnation, version } = content
          const { applyInMemory, update } = change()
          const next: Content = { ...chosen, ...ConversationSettings.applyUpdate(update, chosen) }
          const { ownPrompt: systemPrompt, settings } = next
          const commit = this.#chosenSettings.isPromptOnly(update)
            ? this.#options.store.setSystemPrompt({
              id: this.#options.id,
              expectedVersion: version,
              incarnation,
              systemPrompt,
              settings
            })
            : this.#writes.commit({ expected: { incarnation, version }, turns: [] }, next)
          return Effect.map(commit, (version) => {
            applyInMemory()
            return { ...next, version }
          })
        })
    )
    return this.background.run(write)
  }

  get clear(): Effect.Effect<void, StoreError> {
    const { id, store } = this.#options
    const write = this.#content.write(true, (content) => {
      const { incarnation, version } = content
      // Version 0 is a conversation that the store does not have.
      const clear = version === 0 ? Effect.succeed(0) : store.clear({ id, expectedVersion: version, incarnation })
      return Effect.map(clear, (version) => {
        this.#clearCount++
        this.#unsaved.discardTurn()
        return { ...content, version, messages: [], turns: [], firstTurn: 0, summary: undefined }
      })
    })
    return this.background.run(write)
  }

  /** Fails if the conversation would reject a new turn now. */
  get checkPolicy(): Effect.Effect<void, BusyError | HistoryStoreError> {
    return Effect.flatMap(this.config, ({ turnPolicy }) => this.lock.checkPolicy(turnPolicy))
  }

  /** Discards the turn with this id if its write failed. */
  discardUnsaved(turnId: string): void {
    if (this.#unsaved.turn?.turnId === turnId) this.#unsaved.discardTurn()
  }

  /** Stops the running turn and the waiting turns. */
  get stopAll(): Effect.Effect<void> {
    return this.lock.stopAll
  }

  /** Stops the running turn, if there is one. */
  get stop(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder?.stop ?? Effect.void)
  }

  /**
   * Closes the conversation when its manager closes. The running turn, and waiting turns that were started with `start`,
   * may continue for the duration `grace` and are then stopped. Waits until all writes have ended.
   */
  shutdown(grace: Duration.Duration): Effect.Effect<void> {
    const wait = Duration.equals(grace, Duration.zero)
      ? Effect.void
      : this.lock.idle.pipe(Effect.timeoutOption(grace), Effect.interruptible)
    return this.lock.close(({ id }) => id !== undefined && this.runningTurns.get(id)?.isStarted === true).pipe(
      Effect.zipRight(wait),
      Effect.zipRight(this.lock.stopAll),
      Effect.zipRight(this.background.settled)
    )
  }

  /**
   * Closes the conversation before its removal from the store. The running turn is stopped and not stored, and no write
   * follows. The waiting turns begin in the next conversation with the same id.
   */
  get closeForRemoval(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#content.isRemoved = true
      return this.lock.close().pipe(Effect.zipRight(this.stop), Effect.zipRight(this.background.settled))
    })
  }

  /**
   * Adds a turn to the history, and waits until it is stored. If the write fails, the turn stays in memory as unsaved. With
   * `compare`, the turn is added after the turns of other programs, unless a turn is running.
   */
  commit(turn: FinishedTurn, compare = false): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      if (this.#content.isRemoved) return this.recordUsage(turn.usage)
      const write = this.#content.write(compare, (content) =>
        this.#unlessAlreadyStored(content, turn, () => {
          this.#unsaved.keepTurn(turn, content)
          return this.#writes.addTurn(content, turn)
        }), turn.keepTurns === undefined ? undefined : "all")
      // The write may have to read the stored content first. If that fails, the version is unknown.
      const writeOrKeep = Effect.tapError(write, () =>
        Effect.sync(() => {
          if (this.#unsaved.turn?.messages !== turn.messages) {
            this.#unsaved.keepTurn(turn, { version: Infinity, incarnation: undefined })
          }
        }))
      return Effect.zipRight(this.#reportUsage(turn.usage), writeOrKeep)
    })
  }

  /** Writes the turn that `toTurn` makes from the stored content, if there is one. Does not keep it if the write fails. */
  write(
    compare: boolean,
    toTurn: (content: Content) => FinishedTurn | undefined,
    turnCount?: TurnCount
  ): Effect.Effect<void, StoreError> {
    return this.#content.write(compare, (content) => {
      const turn = toTurn(content)
      return turn === undefined ? Effect.succeed(content) : this.#writes.addTurn(content, turn)
    }, turnCount)
  }

  /** Writes the turn, unless the store already has a turn with its id. Its tokens count in both cases. */
  #unlessAlreadyStored(
    content: Content,
    turn: FinishedTurn,
    write: () => Effect.Effect<Content, StoreError>
  ): Effect.Effect<Content, StoreError> {
    if (turn.mayBeStored !== true) return write()
    return Effect.flatMap(this.#content.find(content, turn.turnId), (found) => {
      if (found === undefined) return write()
      this.discardUnsaved(turn.turnId)
      this.#unsaved.record(turn.usage)
      return Effect.succeed(content)
    })
  }

  /** Waits for the running turn, and removes the last turns. Returns how many it removed. */
  rewind(count: number): Effect.Effect<number, StoreError | BusyError | Closed> {
    let removed = 0
    const write = this.write(true, ({ turns }) => {
      removed = Math.min(turns.length, count)
      if (removed === 0) return undefined
      this.#unsaved.discardTurn()
      return { turnId: "", messages: [], usage: undefined, keepTurns: turns.length - removed }
    }, "all")
    return this.lock.write(Effect.map(write, () => removed), this.background)
  }

  /** Writes the unsaved turn again. Returns whether there was one. */
  get save(): Effect.Effect<boolean, StoreError> {
    return Effect.suspend(() => {
      const unsaved = this.#unsaved.turn
      if (unsaved === undefined) return Effect.succeed(false)
      const write = this.#content.write(
        false,
        (content) =>
          this.#unsaved.turn?.messages === unsaved.messages
            ? this.#unlessAlreadyStored(content, unsaved, () => this.#writes.addTurn(content, unsaved))
            : Effect.succeed(content),
        unsaved.keepTurns === undefined ? undefined : "all"
      )
      return Effect.as(this.background.run(Effect.zipRight(this.#content.invalidate, write)), true)
    })
  }

  /** Counts the tokens of a turn that is not stored. */
  recordUsage(usage: Usage | undefined): Effect.Effect<void> {
    return Effect.zipRight(this.#reportUsage(usage), Effect.sync(() => this.#unsaved.record(usage)))
  }

  #reportUsage(usage: Usage | undefined): Effect.Effect<void> {
    const { onUsage } = this.#options
    return usage === undefined || onUsage === undefined ? Effect.void : onUsage(usage)
  }

  /** Makes the next use read what the manager wrote to the store. A running turn fails with `ConflictError`. */
  get reload(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder === undefined ? this.#content.invalidate : Effect.void)
  }
}
