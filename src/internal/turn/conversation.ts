/**
 * A conversation: its history over a store, and the lock of its turns.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type { BusyError, HistoryStoreError, InvalidRequestError } from "../../ChatError.ts"
import { type ChatMessage, system } from "../../ChatMessage.ts"
import type { Usage } from "../../ChatResponse.ts"
import type { Changes, ChatSettings } from "../../ChatSettings.ts"
import type { HistoryWindow, Summary } from "../../HistorySelection.ts"
import type { LLMConfig } from "../../LLMConfig.ts"
import * as Settings from "../history/settings.ts"
import { Background } from "./background.ts"
import { type Choice as SettingsChoice, Choices, type Mark } from "./choices.ts"
import {
  addTurns,
  type Amount,
  type Choice,
  type Content,
  type ConversationOptions,
  findTurn,
  type FinishedTurn,
  firstTurns,
  type FoundTurn,
  others,
  type Question,
  type StoreError,
  withSystem
} from "./content.ts"
import { ContentRef } from "./contentRef.ts"
import { type Closed, TurnLock } from "./lock.ts"
import { RunningTurns } from "./runningTurns.ts"
import { Unsettled } from "./unsettled.ts"
import { Writes } from "./writes.ts"

/**
 * One conversation. It reads what is stored with its first use, after a write that failed, and, if other programs write
 * to the store, whenever another version is stored.
 */
export class Conversation {
  readonly lock: TurnLock = new TurnLock()
  readonly owner: string | object
  readonly #options: ConversationOptions
  readonly #choices: Choices
  readonly #content: ContentRef
  readonly #unsettled = new Unsettled()
  readonly #writes: Writes
  /** The writes of the store. They go on when who began them leaves. */
  readonly background: Background
  #running: RunningTurns | undefined
  #clears = 0

  constructor(options: ConversationOptions) {
    this.owner = options.owner ?? options.id
    this.#options = options
    this.#choices = new Choices(options.id, options.defaults)
    this.#writes = new Writes(options, this.#choices, this.#unsettled)
    this.background = new Background()
    this.#content = new ContentRef(options, this.#choices, this.#unsettled, this.lock, this.background)
  }

  /** The turns that have a log. Made when they are asked for: most conversations have none. */
  get running(): RunningTurns {
    return this.#running ??= new RunningTurns()
  }

  /** Chooses what turns send of the history. */
  get window(): HistoryWindow {
    return this.#content.window
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
    return Effect.map(this.#content.current(), ({ usage }) => this.#unsettled.total(usage))
  }

  /** The settings that are in force, without a look at the stored version. */
  get config(): Effect.Effect<LLMConfig, HistoryStoreError> {
    return Effect.map(this.#content.read(false), ({ config }) => config)
  }

  /** The settings that are in force, without secrets. */
  get settings(): Effect.Effect<ChatSettings, HistoryStoreError> {
    return Effect.map(this.#content.current(), Settings.toSettings)
  }

  /** The messages, after the system message if there is one. */
  get history(): Effect.Effect<ReadonlyArray<ChatMessage>, HistoryStoreError> {
    return Effect.map(this.#content.current("whole"), (content) => withSystem(content, content.messages))
  }

  get id(): string {
    return this.#options.id
  }

  /** What the history has. While a turn runs, that is what the turn was made for. */
  get content(): Effect.Effect<Content, HistoryStoreError> {
    return this.#content.current()
  }

  /** What is in memory, undefined if nothing was read. */
  get loaded(): Effect.Effect<Content | undefined> {
    return this.#content.loaded
  }

  /** What is stored now. */
  stored(amount?: Amount): Effect.Effect<Content, HistoryStoreError> {
    return this.#content.read(true, amount)
  }

  /** How often the history was cleared. A turn that began before is not kept. */
  get clears(): number {
    return this.#clears
  }

  /** The turn with this id, if it is stored. */
  find(turnId: string): Effect.Effect<FoundTurn | undefined, HistoryStoreError> {
    return Effect.flatMap(this.#content.current(), (content) => this.#content.find(content, turnId))
  }

  /** The turn with this id, and what stays of the others if it is asked again. For the turn that holds the lock. */
  findAgain(turnId: string): Effect.Effect<
    { readonly found: FoundTurn; readonly others: Pick<Question, "keepTurns" | "moved" | "known"> } | undefined,
    HistoryStoreError
  > {
    const whole = Effect.map(this.#content.read(true, "whole"), (content) => {
      const found = findTurn(content, turnId)
      return found && { found, others: others(content, found) }
    })
    return Effect.flatMap(
      this.#content.read(true),
      (content) =>
        Effect.flatMap(
          this.#content.find(content, turnId),
          (found) => found === undefined ? Effect.succeed(found) : whole
        )
    )
  }

  /** The request of a turn, before the window chooses its messages. It looks at what is stored. */
  choice({ context = [], input, keepTurns, moved }: Question): Effect.Effect<Choice, HistoryStoreError> {
    const opening = [...context, ...input]
    const confirmed = Effect.zipRight(
      this.background.settled,
      Effect.suspend(() => this.#unsettled.isUnconfirmed ? this.#content.forget : Effect.void)
    )
    const content = keepTurns === undefined ? this.#content.forWindow(opening) : this.#content.read(true, "whole")
    return Effect.map(Effect.zipRight(confirmed, content), (content) => {
      const { config, firstTurn, messages, summary, systemPrompt, turns } = addTurns(
        firstTurns(content, keepTurns),
        moved
      )
      return {
        input: {
          system: systemPrompt === "" ? undefined : system(systemPrompt),
          messages,
          opening,
          // A window that uses it has the whole history.
          summary: firstTurn > 0 ? undefined : summary,
          offset: firstTurn,
          turnStarts: turns.map(({ start }) => start)
        },
        request: { config, conversation: this.owner }
      }
    })
  }

  /** Stores the summary of these messages, unless the history has changed. */
  summarize(messages: ReadonlyArray<ChatMessage>, summary: Summary): Effect.Effect<void, HistoryStoreError> {
    const { id, store } = this.#options
    const write = this.#content.write(false, (content) => {
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
    return this.#setSettings(() => this.#choices.change({ systemPrompt }))
  }

  updateSettings(changes: Changes): Effect.Effect<void, StoreError | InvalidRequestError> {
    return Effect.zipRight(
      Settings.validate(changes, this.#options.defaults),
      this.#setSettings(() => this.#choices.change(changes))
    )
  }

  /** Drops what the conversation chose of these settings. */
  resetSettings(names: ReadonlyArray<keyof ChatSettings>): Effect.Effect<void, StoreError> {
    return this.#setSettings(() => this.#choices.reset(names))
  }

  #setSettings(change: () => ReturnType<Choices["change"]>): Effect.Effect<void, StoreError> {
    const write = this.#content.write(true, (content) =>
      Effect.flatMap(this.#choices.apply(content), (chosen) => {
        const { incarnation, version } = content
        const { done, update } = change()
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
          : this.#writes.commit({ expected: { incarnation, version }, turns: [] }, next)
        return Effect.map(commit, (version) => {
          done()
          return { ...next, version }
        })
      }))
    return this.background.run(write)
  }

  get clear(): Effect.Effect<void, StoreError> {
    const { id, store } = this.#options
    const write = this.#content.write(true, (content) => {
      const { incarnation, version } = content
      // A conversation that is not stored has nothing to clear there.
      const clear = version === 0 ? Effect.succeed(0) : store.clear({ id, expectedVersion: version, incarnation })
      return Effect.map(clear, (version) => {
        this.#clears++
        this.#unsettled.discard()
        return { ...content, version, messages: [], turns: [], firstTurn: 0, summary: undefined }
      })
    })
    return this.background.run(write)
  }

  /** Fails if the conversation would refuse a turn that begins now. */
  get accepts(): Effect.Effect<void, BusyError | HistoryStoreError> {
    return Effect.flatMap(this.config, ({ turnPolicy }) => this.lock.accepts(turnPolicy))
  }

  /** Gives up the turn with this id if the store did not take it. */
  giveUp(turnId: string): void {
    if (this.#unsettled.turn?.turnId === turnId) this.#unsettled.discard()
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
   * Ends the conversation for good, once what it writes is stored. The turn that runs and those that were started may go on
   * for a while, and are stopped then.
   */
  end(grace: Duration.Duration): Effect.Effect<void> {
    const wait = Duration.equals(grace, Duration.zero)
      ? Effect.void
      : this.lock.idle.pipe(Effect.timeoutOption(grace), Effect.interruptible)
    return this.lock.close(({ id }) => id !== undefined && this.running.get(id)?.isStarted === true).pipe(
      Effect.zipRight(wait),
      Effect.zipRight(this.lock.stopAll),
      Effect.zipRight(this.background.settled)
    )
  }

  /**
   * Ends the conversation: the turn that runs is not kept, nothing is written after this, and turns that wait begin in the
   * next conversation.
   */
  get remove(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.#content.isRemoved = true
      return this.lock.close().pipe(Effect.zipRight(this.stop), Effect.zipRight(this.background.settled))
    })
  }

  /**
   * Adds a turn to the history. It is stored when this is done. With `compare` it comes behind what other programs stored,
   * unless a turn runs.
   */
  commit(turn: FinishedTurn, compare = false): Effect.Effect<void, StoreError> {
    return Effect.suspend(() => {
      if (this.#content.isRemoved) return this.recordUsage(turn.usage)
      const write = this.#content.write(compare, (content) =>
        this.#unlessStored(content, turn, () => {
          this.#unsettled.keep(turn, content)
          return this.#writes.append(content, turn)
        }), turn.keepTurns === undefined ? undefined : "whole")
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
  write(
    compare: boolean,
    toTurn: (content: Content) => FinishedTurn | undefined,
    amount?: Amount
  ): Effect.Effect<void, StoreError> {
    return this.#content.write(compare, (content) => {
      const turn = toTurn(content)
      return turn === undefined ? Effect.succeed(content) : this.#writes.append(content, turn)
    }, amount)
  }

  /** Writes the turn, unless the store turns out to have one with its id. The tokens of this one count all the same. */
  #unlessStored(
    content: Content,
    turn: FinishedTurn,
    write: () => Effect.Effect<Content, StoreError>
  ): Effect.Effect<Content, StoreError> {
    if (turn.isUnchecked !== true) return write()
    return Effect.flatMap(this.#content.find(content, turn.turnId), (found) => {
      if (found === undefined) return write()
      this.giveUp(turn.turnId)
      this.#unsettled.record(turn.usage)
      return Effect.succeed(content)
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
    }, "whole")
    return this.lock.with(Effect.map(write, () => removed), this.background)
  }

  /** Tries to store the turn that the store did not take. Returns whether there was one. */
  get save(): Effect.Effect<boolean, StoreError> {
    return Effect.suspend(() => {
      const unsaved = this.#unsettled.turn
      if (unsaved === undefined) return Effect.succeed(false)
      const write = this.#content.write(
        false,
        (content) =>
          this.#unsettled.turn?.messages === unsaved.messages
            ? this.#unlessStored(content, unsaved, () => this.#writes.append(content, unsaved))
            : Effect.succeed(content),
        unsaved.keepTurns === undefined ? undefined : "whole"
      )
      return Effect.as(this.background.run(Effect.zipRight(this.#content.forget, write)), true)
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

  /** Makes the next use read what another write stored. A turn that runs gets a conflict from its own write. */
  get reload(): Effect.Effect<void> {
    return Effect.suspend(() => this.lock.holder === undefined ? this.#content.forget : Effect.void)
  }
}
