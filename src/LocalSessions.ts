/**
 * The sessions of a manager on this machine: which conversations are in memory, their token usage, and their events.
 *
 * `ChatManager.layer` provides this service too. In a cluster, each machine has its own.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Effect from "effect/Effect"
import type * as Stream from "effect/Stream"
import type { Usage } from "./ChatResponse.ts"
import type { SessionEvent } from "./SessionEvent.ts"

/**
 * The events of sessions.
 *
 * @since 0.1.0
 */
export * from "./SessionEvent.ts"

/**
 * The sessions of one manager.
 *
 * @since 0.1.0
 * @category models
 */
export interface Service {
  /** Whether the conversation is in memory. */
  readonly has: (id: string) => Effect.Effect<boolean>
  /** How many conversations are in memory. */
  readonly size: Effect.Effect<number>
  /** The ids of the conversations in memory, oldest first. */
  readonly ids: Effect.Effect<ReadonlyArray<string>>
  /**
   * The tokens of all turns since the manager was created. Includes conversations that were evicted or removed, and turns
   * that failed or were not stored. Counts as `LLMChat.Service.usage` does.
   */
  readonly usage: Effect.Effect<Usage>
  /** The events of sessions from now on. */
  readonly events: Stream.Stream<SessionEvent>
}

/**
 * The tag of the sessions.
 *
 * @since 0.1.0
 * @category services
 */
export class LocalSessions extends Context.Tag("effect-chat/LocalSessions")<LocalSessions, Service>() {}
