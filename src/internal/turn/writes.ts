/**
 * The writes of a conversation that add, replace and remove turns. They also store the conversation's own settings.
 */
import * as Effect from "effect/Effect"
import type { Commit } from "../../StoredConversation.ts"
import { conflict } from "../history/errors.ts"
import { store as noopStore } from "../history/noopStore.ts"
import type { ChosenSettings } from "./chosenSettings.ts"
import {
  addedSince,
  addTurns,
  addUsageIfKnown,
  type Content,
  type ConversationOptions,
  type FinishedTurn,
  firstTurns,
  type StoreError
} from "./content.ts"
import { checkIsLastTurn, planWrite } from "./openCalls.ts"
import type { Unsaved } from "./unsaved.ts"

/** The writes of one conversation. */
export class Writes {
  readonly #options: ConversationOptions
  readonly #chosenSettings: ChosenSettings
  readonly #unsaved: Unsaved

  constructor(options: ConversationOptions, chosenSettings: ChosenSettings, unsaved: Unsaved) {
    this.#options = options
    this.#chosenSettings = chosenSettings
    this.#unsaved = unsaved
  }

  /**
   * Writes a turn and returns the new content. A turn that replaces others keeps the turns that were stored meanwhile. It
   * fails with `ConflictError` if turns were removed meanwhile.
   */
  addTurn(content: Content, turn: FinishedTurn): Effect.Effect<Content, StoreError> {
    const { id, store } = this.#options
    const { incarnation, version } = content
    const added = turn.knownTurnIds === undefined ? [] : addedSince(content, turn.knownTurnIds)
    if (added === undefined) return Effect.fail(conflict(id, version, version))
    const chosen = Effect.zipRight(checkIsLastTurn(content, turn, id), this.#chosenSettings.apply(content))
    return Effect.flatMap(chosen, (chosen) => {
      const { extendsLast, keepTurns, settled, turns } = planWrite(content, {
        ...turn,
        movedTurns: [...turn.movedTurns ?? [], ...added]
      })
      const usage = addUsageIfKnown(this.#unsaved.withUnstored(content.usage), turn.usage)
      const keptContent = firstTurns(chosen, keepTurns)
      const summary = extendsLast ? chosen.summary : keptContent.summary
      const write = keepTurns !== undefined || this.#chosenSettings.needsCommit(version)
        ? this.commit({
          expected: { incarnation, version },
          keepTurns: keepTurns === undefined ? undefined : content.firstTurn + keepTurns,
          turns,
          usage,
          ...(keepTurns === undefined ? {} : { summary })
        }, chosen)
        : this.#trackSettings(store.append({
          id,
          turnId: turn.turnId,
          expectedVersion: version,
          incarnation,
          messages: turn.messages,
          usage,
          systemPrompt: chosen.ownPrompt,
          settings: chosen.settings
        }))
      return Effect.map(this.#unsaved.trackWrite(usage, write), (version) => {
        this.#unsaved.confirmTurn()
        turn.onSettled?.(settled)
        return { ...addTurns(keptContent, turns), summary, version, usage }
      })
    })
  }

  /** Commits a change together with the conversation's own settings. */
  commit(commit: Omit<Commit, "id">, chosen: Content): Effect.Effect<number, StoreError> {
    const { id, store } = this.#options
    return this.#trackSettings(
      Effect.map(
        store.commit({ id, ...commit, ...this.#chosenSettings.commitFields(chosen) }),
        ({ version }) => version
      )
    )
  }

  #trackSettings<A>(write: Effect.Effect<A, StoreError>): Effect.Effect<A, StoreError> {
    // Without a store, only the chats know their settings. They choose them again when the session is created again.
    return this.#chosenSettings.trackWrite(write, this.#options.store !== noopStore)
  }
}
