/**
 * The loaded content of a conversation: reads it on demand, compares its version with the store, and writes it.
 *
 * If the window uses only the last turns, only those are loaded, and more turns if they are not enough.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { WindowLimits } from "../../ChatSettings.ts"
import type { AtMost, HistoryWindow } from "../../HistorySelection.ts"
import * as ConversationSettings from "../history/conversationSettings.ts"
import { isTailEnough } from "../window/tail.ts"
import * as Background from "./background.ts"
import type { ChosenSettings } from "./chosenSettings.ts"
import {
  type Content,
  type ConversationOptions,
  findTurn,
  type FoundTurn,
  hasTurns,
  isCurrent,
  load,
  type StoreError,
  type TurnCount
} from "./content.ts"
import type { TurnLock } from "./lock.ts"
import { isConflict, type Unsaved } from "./unsaved.ts"

/** The content of one conversation. Mutable. */
export class ContentRef {
  /** Whether the conversation was removed. Writes have no effect then. */
  isRemoved = false
  readonly #options: ConversationOptions
  readonly #chosenSettings: ChosenSettings
  readonly #unsaved: Unsaved
  readonly #lock: TurnLock
  readonly #background: Background.Background
  /** Created at the first use, because its 900 bytes are half of the memory of an idle conversation. */
  #ref: SynchronizedRef.SynchronizedRef<Content | undefined> | undefined
  #limits: WindowLimits | undefined

  constructor(
    options: ConversationOptions,
    chosenSettings: ChosenSettings,
    unsaved: Unsaved,
    lock: TurnLock,
    background: Background.Background
  ) {
    this.#options = options
    this.#chosenSettings = chosenSettings
    this.#unsaved = unsaved
    this.#lock = lock
    this.#background = background
  }

  get #content(): SynchronizedRef.SynchronizedRef<Content | undefined> {
    return this.#ref ??= SynchronizedRef.unsafeMake<Content | undefined>(undefined)
  }

  /** Selects the messages of the history that turns send. */
  get window(): HistoryWindow {
    return this.#limits === undefined
      ? this.#options.window
      : ConversationSettings.toWindow(this.#limits, this.#options.window)
  }

  /** The content in memory. Undefined if nothing was read. */
  get loaded(): Effect.Effect<Content | undefined> {
    return SynchronizedRef.get(this.#content)
  }

  /** Makes the next use read the stored content. */
  get invalidate(): Effect.Effect<void> {
    return Effect.uninterruptible(SynchronizedRef.set(this.#content, undefined))
  }

  /**
   * The content after all writes in progress. Checks the stored version, unless a turn is running: the turn is based on the
   * content in memory.
   */
  current(turnCount?: TurnCount): Effect.Effect<Content, HistoryStoreError> {
    return Effect.zipRight(
      this.#background.settled,
      Effect.suspend(() => this.read(!this.#lock.isHeldByTurn, turnCount))
    )
  }

  /**
   * The content with at least `turnCount` turns. `compare` checks the stored version. The read continues if its caller is
   * interrupted, because a semaphore loses the permit of a fiber that is interrupted while it receives the permit.
   */
  read(
    compare: boolean,
    turnCount: TurnCount = initialTurnCount(this.window)
  ): Effect.Effect<Content, HistoryStoreError> {
    const read = Background.read(
      SynchronizedRef.modifyEffect(
        this.#content,
        (content) => Effect.map(this.#refresh(content, compare, turnCount), (content) => [content, content])
      )
    )
    const isShared = compare && this.#options.store.isShared
    return SynchronizedRef.get(this.#content).pipe(
      Effect.flatMap((content) =>
        content !== undefined && !isShared && hasTurns(content, turnCount) ? Effect.succeed(content) : read
      ),
      Effect.flatMap((content) => this.#chosenSettings.apply(content)),
      Effect.tap(({ limits }) => this.#limits = limits)
    )
  }

  /** The content with as many turns as the window needs before the messages in `newMessages`. */
  readForWindow(
    newMessages: ReadonlyArray<ChatMessage>,
    turnCount: TurnCount = initialTurnCount(this.window)
  ): Effect.Effect<Content, HistoryStoreError> {
    return Effect.flatMap(this.read(true, turnCount), (content) => {
      const { firstTurn: offset, messages, turns } = content
      const { atMost } = this.window
      if (offset === 0 || atMost !== undefined && isTailEnough(atMost, { messages, newMessages, offset })) {
        return Effect.succeed(content)
      }
      // A store that has lost turns can return fewer turns than requested. Then the whole history is read.
      const isShort = turnCount !== "all" && turns.length < turnCount
      return this.readForWindow(newMessages, atMost === undefined || isShort ? "all" : turns.length * 2)
    })
  }

  /** Finds the turn with this id in the content, or in the store if not all turns are loaded. */
  find(content: Content, turnId: string): Effect.Effect<FoundTurn | undefined, HistoryStoreError> {
    const found = findTurn(content, turnId)
    if (found !== undefined || content.firstTurn === 0) return Effect.succeed(found)
    const { id, store } = this.#options
    return Effect.map(Background.read(store.findTurn(id, turnId)), Option.getOrUndefined)
  }

  /** Runs one write at a time. After a failed write, the next use reads the stored content again. */
  write(
    compare: boolean,
    f: (content: Content) => Effect.Effect<Content, StoreError>,
    turnCount: TurnCount = initialTurnCount(this.window)
  ): Effect.Effect<void, StoreError> {
    const write = SynchronizedRef.updateEffect(this.#content, (content) => {
      if (this.isRemoved) return Effect.succeed(content)
      const trusted = this.#unsaved.isUnconfirmed ? undefined : content
      return Effect.flatMap(this.#refresh(trusted, compare && !this.#lock.isHeldByTurn, turnCount), f)
    }).pipe(
      Effect.tapErrorCause((cause) =>
        isConflict(cause) ? this.invalidate : Effect.sync(() => this.#unsaved.markUnconfirmed())
      )
    )
    return Effect.uninterruptible(write)
  }

  /** Reads the stored content if it is not loaded, has too few turns, or has another version. */
  #refresh(
    content: Content | undefined,
    compare: boolean,
    turnCount: TurnCount
  ): Effect.Effect<Content, HistoryStoreError> {
    const { id, store } = this.#options
    if (content === undefined || !hasTurns(content, turnCount)) return this.#load(turnCount)
    return compare && store.isShared
      ? Effect.flatMap(
        store.version(id),
        (found) => isCurrent(content, found) ? Effect.succeed(content) : this.#load(turnCount)
      )
      : Effect.succeed(content)
  }

  #load(turnCount: TurnCount): Effect.Effect<Content, HistoryStoreError> {
    return Effect.map(load(this.#options, turnCount), (content) => this.#unsaved.reconcile(content))
  }
}

/** How many turns the first read loads. */
const initialTurnCount = ({ atMost }: { readonly atMost?: AtMost | undefined }): TurnCount =>
  atMost === undefined ? "all" : Math.max(16, (atMost.turns ?? 0) + 1)
