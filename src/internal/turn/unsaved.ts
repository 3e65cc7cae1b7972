/**
 * The state of a conversation that its store does not have: a turn that could not be stored, and tokens to store later.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Usage } from "../../ChatResponse.ts"
import {
  addUsageIfKnown,
  type Content,
  type FinishedTurn,
  isFromRemoved,
  isSame,
  isStored,
  type StoreError,
  type UnconfirmedWrite,
  type UnsavedTurn
} from "./content.ts"

/** Whether the store rejected a write. After any other failure, the store may still have applied the write. */
export const isConflict = (cause: Cause.Cause<StoreError>): boolean =>
  Option.exists(Cause.failureOption(cause), ({ _tag }) => _tag === "ConflictError")

/** The unsaved state of one conversation. Mutable. */
export class Unsaved {
  #turn: UnsavedTurn | undefined
  /** The tokens of turns that are not stored. The next write stores them. */
  #unstored: Usage | undefined
  /** The tokens that the write in progress stores. */
  #beingStored: Usage | undefined
  #unconfirmed: UnconfirmedWrite | undefined

  /** The turn that could not be stored. */
  get turn(): UnsavedTurn | undefined {
    return this.#turn
  }

  /** Whether a write failed that the store may have applied. */
  get isUnconfirmed(): boolean {
    return this.#unconfirmed !== undefined
  }

  /** The stored usage plus all usage that is not stored. */
  total(usage: Usage): Usage {
    return [this.#unstored, this.#beingStored, this.#unconfirmed?.unstored, this.#turn?.usage].reduce(
      addUsageIfKnown,
      usage
    )
  }

  /** The usage to store with the next write. */
  withUnstored(usage: Usage): Usage {
    return addUsageIfKnown(usage, this.#unstored)
  }

  /** Records tokens that the next write stores. */
  record(usage: Usage | undefined): void {
    if (usage !== undefined) this.#unstored = addUsageIfKnown(usage, this.#unstored)
  }

  /** Runs a write that stores the total `usage`. The next write stores tokens that are recorded meanwhile. */
  trackWrite(usage: Usage, write: Effect.Effect<number, StoreError>): Effect.Effect<number, StoreError> {
    return Effect.suspend(() => {
      const unstored = this.#unstored
      this.#unstored = undefined
      this.#beingStored = unstored
      return Effect.onExit(write, (exit) =>
        Effect.sync(() => {
          this.#beingStored = undefined
          if (Exit.isSuccess(exit)) return
          if (isConflict(exit.cause)) this.record(unstored)
          else this.#unconfirmed = { usage, unstored }
        }))
    })
  }

  /** Records that a write failed which the store may have applied. */
  markUnconfirmed(): void {
    this.#unconfirmed ??= {}
  }

  /** Keeps a turn until its write succeeds. Discards the previous one. */
  keepTurn(turn: FinishedTurn, { incarnation, version }: Pick<Content, "incarnation" | "version">): void {
    this.discardTurn()
    this.#turn = { ...turn, version, incarnation }
  }

  /** Removes the turn after its write succeeded. */
  confirmTurn(): void {
    this.#turn = undefined
  }

  /** Discards the unsaved turn. Its tokens still count. */
  discardTurn(): void {
    this.record(this.#turn?.usage)
    this.#turn = undefined
  }

  /** Finds out from the stored content which failed writes the store applied. Discards a turn of a removed conversation. */
  reconcile(content: Content): Content {
    const unconfirmed = this.#unconfirmed
    this.#unconfirmed = undefined
    if (unconfirmed?.unstored !== undefined && !isSame(unconfirmed.usage, content.usage)) {
      this.#unstored = addUsageIfKnown(unconfirmed.unstored, this.#unstored)
    }
    if (this.#turn !== undefined) {
      if (isStored(content, this.#turn)) this.#turn = undefined
      else if (isFromRemoved(content, this.#turn)) this.discardTurn()
    }
    return content
  }
}
