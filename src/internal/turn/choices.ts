/**
 * The settings, title and owner that the program chose for a conversation, on top of the stored ones.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Changes, ChatSettings } from "../../ChatSettings.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import type { Commit, Settings } from "../../StoredConversation.ts"
import * as ConversationSettings from "../history/settings.ts"
import type { Content } from "./content.ts"

/** The choices of one `getChat`. */
export interface Choice {
  readonly config?: LLMConfig.LLMConfig | undefined
  readonly settings?: Changes | undefined
  readonly title?: string | undefined
  readonly owner?: string | undefined
}

/** Whether choices are stored. They are not made again then. */
export interface Mark {
  isStored: boolean
}

/** What is stored of a change of settings. `done` makes the rest of it, in memory. */
interface Change {
  readonly update: ConversationSettings.Update
  readonly done: () => void
}

/** The columns of a commit that choices change. */
type Columns = Pick<Commit, "title" | "owner">

const noColumns: Columns = {}

/** The choices that are not stored yet, and the config that the conversation has. Mutable. */
export class Choices {
  readonly #id: string
  readonly #defaults: LLMConfig.LLMConfig
  /** The config of the last `getChat`, and the same with changes that are not stored. */
  #given: LLMConfig.LLMConfig
  #base: LLMConfig.LLMConfig
  #update: ConversationSettings.Update = ConversationSettings.noUpdate
  #columns: Columns = noColumns
  #mark: Mark | undefined
  #applied: { readonly to: Content; readonly content: Either.Either<Content, HistoryStoreError> } | undefined

  constructor(id: string, defaults: LLMConfig.LLMConfig) {
    this.#id = id
    this.#defaults = defaults
    this.#given = defaults
    this.#base = defaults
  }

  /** Makes a choice. `mark` tells whether it is stored already. Returns the mark that tells it from now on. */
  make({ config, owner, settings, title }: Choice, mark?: Mark): Mark | undefined {
    if (config !== undefined) this.#given = this.#base = ConversationSettings.toBase(config, this.#defaults)
    if (mark?.isStored !== true) {
      if (config !== undefined) this.#add(ConversationSettings.fromConfig(config, this.#defaults))
      if (settings !== undefined) {
        const { done, update } = this.change(settings)
        done()
        this.#add(update)
      }
      if (title !== undefined) this.#columns = { ...this.#columns, title }
      if (owner !== undefined) this.#columns = { ...this.#columns, owner }
      if (settings !== undefined || title !== undefined || owner !== undefined) this.#mark ??= { isStored: false }
    }
    this.#applied = undefined
    return mark?.isStored === true ? mark : this.#mark
  }

  /**
   * What of these changes is stored. Those of the model and the sampling change a config of another server in memory only,
   * when `done` is called.
   */
  change({ systemPrompt, window, ...sampling }: Changes): Change {
    if (!this.#isForeign) {
      return { update: ConversationSettings.fromChanges({ systemPrompt, window, ...sampling }), done: () => {} }
    }
    return {
      update: ConversationSettings.fromChanges({ systemPrompt, window }),
      done: () => this.#rebase(Either.getOrElse(LLMConfig.override(this.#base, sampling), () => this.#base))
    }
  }

  /** Drops the choices of these settings. Those of a config of another server are again as it has them. */
  reset(names: ReadonlyArray<keyof ChatSettings>): Change {
    return {
      update: ConversationSettings.fromNames(names),
      done: () => {
        if (this.#isForeign) this.#rebase(ConversationSettings.withFieldsOf(this.#base, this.#given, names))
      }
    }
  }

  #rebase(config: LLMConfig.LLMConfig): void {
    this.#base = config
    this.#applied = undefined
  }

  /** Whether there is anything to store. */
  get isPending(): boolean {
    return this.#mark !== undefined
  }

  /** Whether there is anything to store that `append` does not store at this version. */
  needsCommit(version: number): boolean {
    return this.isPending && (version > 0 || Object.keys(this.#columns).length > 0)
  }

  /** The content with the choices. */
  apply(content: Content): Either.Either<Content, HistoryStoreError> {
    if (this.#applied?.to === content) return this.#applied.content
    const choices = ConversationSettings.update(this.#update, content)
    const configs = { base: this.#base, defaults: this.#defaults }
    const applied = Either.map(
      ConversationSettings.resolve(this.#id, choices, configs),
      (inForce): Content => ({ ...content, ...choices, ...inForce })
    )
    this.#applied = { to: content, content: applied }
    return applied
  }

  /** The choices that a commit stores. */
  columns({ prompt, settings }: Content): Columns & { readonly settings: Settings; readonly systemPrompt: string } {
    return { ...this.#columns, settings, systemPrompt: prompt }
  }

  /** Whether an update changes the prompt alone, to one that is not empty, and there is nothing else to store. */
  isPrompt({ changes: { systemPrompt, ...others } }: ConversationSettings.Update): boolean {
    return !this.isPending && typeof systemPrompt === "string" && systemPrompt !== "" &&
      Object.keys(others).length === 0
  }

  /** Runs a write that stores the choices. They are made again later if it fails, or if `isKept` is false. */
  storing<A, E>(write: Effect.Effect<A, E>, isKept: boolean): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const update = this.#update
      const columns = this.#columns
      const mark = this.#mark
      this.#update = ConversationSettings.noUpdate
      this.#columns = noColumns
      this.#mark = undefined
      this.#applied = undefined
      // A store that throws has not stored them either.
      return Effect.onExit(write, (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            if (mark !== undefined) mark.isStored = isKept
            return
          }
          this.#update = ConversationSettings.combine(update, this.#update)
          this.#columns = { ...columns, ...this.#columns }
          this.#mark = mark ?? this.#mark
          this.#applied = undefined
        }))
    })
  }

  get #isForeign(): boolean {
    return ConversationSettings.isForeign({ base: this.#base, defaults: this.#defaults })
  }

  #add(update: ConversationSettings.Update): void {
    this.#update = ConversationSettings.combine(this.#update, update)
    this.#applied = undefined
    if (update.isReset || Object.keys(update.changes).length > 0) this.#mark ??= { isStored: false }
  }
}
