/**
 * The settings, title and owner that the program chose for a conversation and that are not stored yet.
 */
import * as Effect from "effect/Effect"
import * as Either from "effect/Either"
import * as Exit from "effect/Exit"
import type { HistoryStoreError } from "../../ChatError.ts"
import type { Changes, ChatSettings } from "../../ChatSettings.ts"
import * as LLMConfig from "../../LLMConfig.ts"
import type { Commit, Settings } from "../../StoredConversation.ts"
import * as ConversationSettings from "../history/conversationSettings.ts"
import type { Content } from "./content.ts"

/** The settings that one `getChat` chooses. */
export interface SettingsChoice {
  readonly config?: LLMConfig.LLMConfig | undefined
  readonly settings?: Changes | undefined
  readonly title?: string | undefined
  readonly owner?: string | undefined
}

/** Whether the settings of a `getChat` are stored. If so, they are not chosen again when the session is created again. */
export interface StoredFlag {
  isStored: boolean
}

/** A change of settings: the part to store, and the part that applies in memory only. */
interface SettingsChange {
  readonly update: ConversationSettings.Update
  readonly applyInMemory: () => void
}

/** The title and the owner of a commit. */
type TitleAndOwner = Pick<Commit, "title" | "owner">

const noTitleAndOwner: TitleAndOwner = {}

/** The chosen settings that are not stored yet, and the config of the conversation. Mutable. */
export class ChosenSettings {
  readonly #id: string
  readonly #defaults: LLMConfig.LLMConfig
  /** The config of the last `getChat`. */
  #configured: LLMConfig.LLMConfig
  /** The same config with the changes that apply in memory only. */
  #base: LLMConfig.LLMConfig
  #update: ConversationSettings.Update = ConversationSettings.noUpdate
  #titleAndOwner: TitleAndOwner = noTitleAndOwner
  #storedFlag: StoredFlag | undefined
  #applied: { readonly to: Content; readonly content: Either.Either<Content, HistoryStoreError> } | undefined

  constructor(id: string, defaults: LLMConfig.LLMConfig) {
    this.#id = id
    this.#defaults = defaults
    this.#configured = defaults
    this.#base = defaults
  }

  /** Chooses settings. If `flag` says that they are stored, only applies the config. Returns the flag for the next call. */
  choose({ config, owner, settings, title }: SettingsChoice, flag?: StoredFlag): StoredFlag | undefined {
    if (config !== undefined) this.#configured = this.#base = ConversationSettings.toBase(config, this.#defaults)
    if (flag?.isStored !== true) {
      if (config !== undefined) this.#addUpdate(ConversationSettings.fromConfig(config, this.#defaults))
      if (settings !== undefined) {
        const { applyInMemory, update } = this.change(settings)
        applyInMemory()
        this.#addUpdate(update)
      }
      if (title !== undefined) this.#titleAndOwner = { ...this.#titleAndOwner, title }
      if (owner !== undefined) this.#titleAndOwner = { ...this.#titleAndOwner, owner }
      if (settings !== undefined || title !== undefined || owner !== undefined) this.#storedFlag ??= { isStored: false }
    }
    this.#applied = undefined
    return flag?.isStored === true ? flag : this.#storedFlag
  }

  /**
   * Makes a change of these settings. If the conversation has a config of another server, the model and the sampling
   * settings change in memory only.
   */
  change({ systemPrompt, window, ...sampling }: Changes): SettingsChange {
    if (!this.#isForeign) {
      return {
        update: ConversationSettings.fromChanges({ systemPrompt, window, ...sampling }),
        applyInMemory: () => {}
      }
    }
    return {
      update: ConversationSettings.fromChanges({ systemPrompt, window }),
      applyInMemory: () => this.#setBase(Either.getOrElse(LLMConfig.override(this.#base, sampling), () => this.#base))
    }
  }

  /** Removes the chosen values of these settings. In a config of another server, they get the config's values again. */
  reset(names: ReadonlyArray<keyof ChatSettings>): SettingsChange {
    return {
      update: ConversationSettings.fromNames(names),
      applyInMemory: () => {
        if (this.#isForeign) this.#setBase(ConversationSettings.withFieldsOf(this.#base, this.#configured, names))
      }
    }
  }

  #setBase(config: LLMConfig.LLMConfig): void {
    this.#base = config
    this.#applied = undefined
  }

  /** Whether chosen settings are not stored yet. */
  get isPending(): boolean {
    return this.#storedFlag !== undefined
  }

  /** Whether the store needs a `commit`, because its `append` cannot store the chosen settings at this version. */
  needsCommit(version: number): boolean {
    return this.isPending && (version > 0 || Object.keys(this.#titleAndOwner).length > 0)
  }

  /** Applies the chosen settings to the content. */
  apply(content: Content): Either.Either<Content, HistoryStoreError> {
    if (this.#applied?.to === content) return this.#applied.content
    const choices = ConversationSettings.applyUpdate(this.#update, content)
    const configs = { base: this.#base, defaults: this.#defaults }
    const applied = Either.map(
      ConversationSettings.resolve(this.#id, choices, configs),
      (inForce): Content => ({ ...content, ...choices, ...inForce })
    )
    this.#applied = { to: content, content: applied }
    return applied
  }

  /** The fields of a commit that store the chosen settings. */
  commitFields(
    { ownPrompt, settings }: Content
  ): TitleAndOwner & { readonly settings: Settings; readonly systemPrompt: string } {
    return { ...this.#titleAndOwner, settings, systemPrompt: ownPrompt }
  }

  /** Whether an update only sets a prompt that is not empty, and no chosen settings are pending. */
  isPromptOnly({ changes: { systemPrompt, ...others } }: ConversationSettings.Update): boolean {
    return !this.isPending && typeof systemPrompt === "string" && systemPrompt !== "" &&
      Object.keys(others).length === 0
  }

  /**
   * Runs a write that stores the chosen settings. If it fails, they stay pending. `isPersistent` is false for a
   * conversation without a store: its settings must be chosen again when the session is created again.
   */
  trackWrite<A, E>(write: Effect.Effect<A, E>, isPersistent: boolean): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      const update = this.#update
      const titleAndOwner = this.#titleAndOwner
      const flag = this.#storedFlag
      this.#update = ConversationSettings.noUpdate
      this.#titleAndOwner = noTitleAndOwner
      this.#storedFlag = undefined
      this.#applied = undefined
      // `onExit` also restores the settings after a defect of the store.
      return Effect.onExit(write, (exit) =>
        Effect.sync(() => {
          if (Exit.isSuccess(exit)) {
            if (flag !== undefined) flag.isStored = isPersistent
            return
          }
          this.#update = ConversationSettings.combine(update, this.#update)
          this.#titleAndOwner = { ...titleAndOwner, ...this.#titleAndOwner }
          this.#storedFlag = flag ?? this.#storedFlag
          this.#applied = undefined
        }))
    })
  }

  /** Whether the config of the conversation names another server than the manager's config. */
  get #isForeign(): boolean {
    return ConversationSettings.isForeign({ base: this.#base, defaults: this.#defaults })
  }

  #addUpdate(update: ConversationSettings.Update): void {
    this.#update = ConversationSettings.combine(this.#update, update)
    this.#applied = undefined
    if (update.isReset || Object.keys(update.changes).length > 0) this.#storedFlag ??= { isStored: false }
  }
}
