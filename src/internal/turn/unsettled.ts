/**
 * What a conversation has and its store may not have: a turn that the store did not take, and tokens that are not stored.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Option from "effect/Option"
import type { Usage } from "../../ChatResponse.ts"
import {
  add,
  type Content,
  type FinishedTurn,
  isOfAnother,
  isSame,
  isStored,
  type StoreError,
  type UnconfirmedWrite,
  type Unsaved
} from "./content.ts"

/** Whether a write was refused. One that failed in another way, or by a defect of the store, may have been done. */
export const isConflict = (cause: Cause.Cause<StoreError>): boolean =>
  Option.exists(Cause.failureOption(cause), ({ _tag }) => _tag === "ConflictError")

/** The unsettled part of one conversation. Mutable. */
export class Unsettled {
  #turn: Unsaved | undefined
  /** The tokens of turns that left nothing else. They are stored with the next turn. */
  #unstored: Usage | undefined
  /** Those of them that a write in progress stores. */
  #storing: Usage | undefined
  #unconfirmed: UnconfirmedWrite | undefined

  /** The turn that the store did not take. */
  get turn(): Unsaved | undefined {
    return this.#turn
  }

  /** Whether a write failed that may have been done all the same. */
  get isUnconfirmed(): boolean {
    return this.#unconfirmed !== undefined
  }

  /** The tokens of all turns, those that are not stored included. */
  total(usage: Usage): Usage {
    return [this.#unstored, this.#storing, this.#unconfirmed?.unstored, this.#turn?.usage].reduce(add, usage)
  }

  /** The tokens to store. */
  withUnstored(usage: Usage): Usage {
    return add(usage, this.#unstored)
  }

  /** Counts tokens that are stored with the next turn. */
  record(usage: Usage | undefined): void {
    if (usage !== undefined) this.#unstored = add(usage, this.#unstored)
  }

  /** A write of the tokens of all turns. Tokens that are counted meanwhile are stored with the next one. */
  storing(usage: Usage, write: Effect.Effect<number, StoreError>): Effect.Effect<number, StoreError> {
    return Effect.suspend(() => {
      const unstored = this.#unstored
      this.#unstored = undefined
      this.#storing = unstored
      return Effect.onExit(write, (exit) =>
        Effect.sync(() => {
          this.#storing = undefined
          if (Exit.isSuccess(exit)) return
          if (isConflict(exit.cause)) this.record(unstored)
          else this.#unconfirmed = { usage, unstored }
        }))
    })
  }

  /** A write failed. */
  fail(): void {
    this.#unconfirmed ??= {}
  }

  /** Remembers a turn until the store has it. */
  keep(turn: FinishedTurn, { incarnation, version }: Pick<Content, "incarnation" | "version">): void {
    this.discard()
    this.#turn = { ...turn, version, incarnation }
  }

  /** The store has the turn. */
  stored(): void {
    this.#turn = undefined
  }

  /** Gives up the turn that the store did not take. Its tokens still count. */
  discard(): void {
    this.record(this.#turn?.usage)
    this.#turn = undefined
  }

  /** Decides by what is stored which failed writes were done. A turn of a removed conversation is given up. */
  settle(content: Content): Content {
    const unconfirmed = this.#unconfirmed
    this.#unconfirmed = undefined
    if (unconfirmed?.unstored !== undefined && !isSame(unconfirmed.usage, content.usage)) {
      this.#unstored = add(unconfirmed.unstored, this.#unstored)
    }
    if (this.#turn !== undefined) {
      if (isStored(content, this.#turn)) this.#turn = undefined
      else if (isOfAnother(content, this.#turn)) this.discard()
    }
    return content
  }
}
