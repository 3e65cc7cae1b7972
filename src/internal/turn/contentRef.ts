/**
 * What is in memory of a stored conversation: it is read when it is needed, compared with the store, and written.
 *
 * A window that uses the end of a history only has only that read, and more of it if that was not enough.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as SynchronizedRef from "effect/SynchronizedRef"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { ChatMessage } from "../../ChatMessage.ts"
import type { WindowLimits } from "../../ChatSettings.ts"
import type { AtMost, HistoryWindow } from "../../HistorySelection.ts"
import * as Settings from "../history/settings.ts"
import { isTailEnough } from "../window/tail.ts"
import * as Background from "./background.ts"
import type { Choices } from "./choices.ts"
import {
  type Amount,
  type Content,
  type ConversationOptions,
  findTurn,
  type FoundTurn,
  hasTurns,
  isCurrent,
  load,
  type StoreError
} from "./content.ts"
import type { TurnLock } from "./lock.ts"
import { isConflict, type Unsettled } from "./unsettled.ts"

/** The content of one conversation. Mutable. */
export class ContentRef {
  /** Whether the conversation was removed: nothing is written then. */
  isRemoved = false
  readonly #options: ConversationOptions
  readonly #choices: Choices
  readonly #unsettled: Unsettled
  readonly #lock: TurnLock
  readonly #background: Background.Background
  /** Undefined until the conversation is used. A `SynchronizedRef` takes 900 bytes, half of an idle conversation. */
  #ref: SynchronizedRef.SynchronizedRef<Content | undefined> | undefined
  #limits: WindowLimits | undefined

  constructor(
    options: ConversationOptions,
    choices: Choices,
    unsettled: Unsettled,
    lock: TurnLock,
    background: Background.Background
  ) {
    this.#options = options
    this.#choices = choices
    this.#unsettled = unsettled
    this.#lock = lock
    this.#background = background
  }

  get #content(): SynchronizedRef.SynchronizedRef<Content | undefined> {
    return this.#ref ??= SynchronizedRef.unsafeMake<Content | undefined>(undefined)
  }

  /** Chooses what turns send of the history. */
  get window(): HistoryWindow {
    return this.#limits === undefined ? this.#options.window : Settings.toWindow(this.#limits, this.#options.window)
  }

  /** What is in memory, undefined if nothing was read. */
  get loaded(): Effect.Effect<Content | undefined> {
    return SynchronizedRef.get(this.#content)
  }

  /** Makes the next use read what is stored. */
  get forget(): Effect.Effect<void> {
    return Effect.uninterruptible(SynchronizedRef.set(this.#content, undefined))
  }

  /**
   * The content once what is being written is stored, compared with the store unless a turn runs: that turn was made for
   * what is in memory.
   */
  current(amount?: Amount): Effect.Effect<Content, HistoryStoreError> {
    return Effect.zipRight(
      this.#background.settled,
      Effect.suspend(() => this.read(!this.#lock.isInTurn, amount))
    )
  }

  /** A read goes on when the reader leaves: a semaphore loses the permit of a fiber that is interrupted as it gets it. */
  read(compare: boolean, amount: Amount = fewest(this.window)): Effect.Effect<Content, HistoryStoreError> {
    const read = Background.read(
      SynchronizedRef.modifyEffect(
        this.#content,
        (content) => Effect.map(this.#refresh(content, compare, amount), (content) => [content, content])
      )
    )
    const isShared = compare && this.#options.store.isShared
    return SynchronizedRef.get(this.#content).pipe(
      Effect.flatMap((content) =>
        content !== undefined && !isShared && hasTurns(content, amount) ? Effect.succeed(content) : read
      ),
      Effect.flatMap((content) => this.#choices.apply(content)),
      Effect.tap(({ limits }) => this.#limits = limits)
    )
  }

  /** The content with as many turns as the window uses before these messages, or all. */
  forWindow(
    opening: ReadonlyArray<ChatMessage>,
    amount: Amount = fewest(this.window)
  ): Effect.Effect<Content, HistoryStoreError> {
    return Effect.flatMap(this.read(true, amount), (content) => {
      const { firstTurn: offset, messages, turns } = content
      const { atMost } = this.window
      if (offset === 0 || atMost !== undefined && isTailEnough(atMost, { messages, opening, offset })) {
        return Effect.succeed(content)
      }
      // A store that has lost turns can never give as many as are asked for.
      const isShort = amount !== "whole" && turns.length < amount
      return this.forWindow(opening, atMost === undefined || isShort ? "whole" : turns.length * 2)
    })
  }

  /** The turn with this id, which is looked for in the store if the content has the last turns only. */
  find(content: Content, turnId: string): Effect.Effect<FoundTurn | undefined, HistoryStoreError> {
    const found = findTurn(content, turnId)
    if (found !== undefined || content.firstTurn === 0) return Effect.succeed(found)
    const { id, store } = this.#options
    return Effect.map(Background.read(store.findTurn(id, turnId)), Option.getOrUndefined)
  }

  /** One write at a time, and none after the removal. After one that failed, what is stored is read again. */
  write(
    compare: boolean,
    f: (content: Content) => Effect.Effect<Content, StoreError>,
    amount: Amount = fewest(this.window)
  ): Effect.Effect<void, StoreError> {
    const write = SynchronizedRef.updateEffect(this.#content, (content) => {
      if (this.isRemoved) return Effect.succeed(content)
      const known = this.#unsettled.isUnconfirmed ? undefined : content
      return Effect.flatMap(this.#refresh(known, compare && !this.#lock.isInTurn, amount), f)
    }).pipe(
      Effect.tapErrorCause((cause) => isConflict(cause) ? this.forget : Effect.sync(() => this.#unsettled.fail()))
    )
    return Effect.uninterruptible(write)
  }

  /** The content, read if there is none or not enough of it, or if another version is stored. */
  #refresh(content: Content | undefined, compare: boolean, amount: Amount): Effect.Effect<Content, HistoryStoreError> {
    const { id, store } = this.#options
    if (content === undefined || !hasTurns(content, amount)) return this.#load(amount)
    return compare && store.isShared
      ? Effect.flatMap(
        store.version(id),
        (found) => isCurrent(content, found) ? Effect.succeed(content) : this.#load(amount)
      )
      : Effect.succeed(content)
  }

  #load(amount: Amount): Effect.Effect<Content, HistoryStoreError> {
    return Effect.map(load(this.#options, amount), (content) => this.#unsettled.settle(content))
  }
}

/** How many turns are read first. */
const fewest = ({ atMost }: { readonly atMost?: AtMost | undefined }): Amount =>
  atMost === undefined ? "whole" : Math.max(16, (atMost.turns ?? 0) + 1)
