/**
 * The writes of a conversation that add turns, or replace and remove them, with what the conversation chose.
 */
import * as Effect from "effect/Effect"
import type { Commit } from "../../StoredConversation.ts"
import { conflict } from "../history/errors.ts"
import { store as noopStore } from "../history/noopStore.ts"
import type { Choices } from "./choices.ts"
import {
  add,
  addedSince,
  addTurns,
  type Content,
  type ConversationOptions,
  type FinishedTurn,
  firstTurns,
  type StoreError
} from "./content.ts"
import { checkContinues, plan } from "./openCalls.ts"
import type { Unsettled } from "./unsettled.ts"

/** The writes of one conversation. */
export class Writes {
  readonly #options: ConversationOptions
  readonly #choices: Choices
  readonly #unsettled: Unsettled

  constructor(options: ConversationOptions, choices: Choices, unsettled: Unsettled) {
    this.#options = options
    this.#choices = choices
    this.#unsettled = unsettled
  }

  /**
   * Writes a turn. Returns the content with it. A turn that replaces others keeps those that were stored since, and fails
   * with `ConflictError` if others were removed.
   */
  append(content: Content, turn: FinishedTurn): Effect.Effect<Content, StoreError> {
    const { id, store } = this.#options
    const { incarnation, version } = content
    const added = turn.known === undefined ? [] : addedSince(content, turn.known)
    if (added === undefined) return Effect.fail(conflict(id, version, version))
    const chosen = Effect.zipRight(checkContinues(content, turn, id), this.#choices.apply(content))
    return Effect.flatMap(chosen, (chosen) => {
      const { extendsLast, keepTurns, settled, turns } = plan(content, {
        ...turn,
        moved: [...turn.moved ?? [], ...added]
      })
      const usage = add(this.#unsettled.withUnstored(content.usage), turn.usage)
      const kept = firstTurns(chosen, keepTurns)
      const summary = extendsLast ? chosen.summary : kept.summary
      const write = keepTurns !== undefined || this.#choices.needsCommit(version)
        ? this.commit({
          expected: { incarnation, version },
          keepTurns: keepTurns === undefined ? undefined : content.firstTurn + keepTurns,
          turns,
          usage,
          ...(keepTurns === undefined ? {} : { summary })
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
        return { ...addTurns(kept, turns), summary, version, usage }
      })
    })
  }

  /** A write that also stores what is chosen. */
  commit(commit: Omit<Commit, "id">, chosen: Content): Effect.Effect<number, StoreError> {
    const { id, store } = this.#options
    return this.#storingChoices(
      Effect.map(store.commit({ id, ...commit, ...this.#choices.columns(chosen) }), ({ version }) => version)
    )
  }

  #storingChoices<A>(write: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> {
    // A conversation without a store has no other place than its chats for what they chose.
    return this.#choices.storing(write, this.#options.store !== noopStore)
  }
}
