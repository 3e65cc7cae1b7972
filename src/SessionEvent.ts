/**
 * The events of a manager's sessions. `LocalSessions` and `ChatManager` export all of this module.
 *
 * @since 0.1.0
 */

/**
 * An event of a session.
 *
 * - `Created`: a conversation entered memory: a new one, or one that is used again after it left.
 * - `Evicted`: it left memory because it was idle for the `timeout`, or because there were more than `capacity`. Its store
 *   keeps it.
 * - `Removed`: `removeChat` or `removeOlderThan` removed it while it was in memory.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionEvent =
  | { readonly _tag: "Created"; readonly id: string }
  | { readonly _tag: "Evicted"; readonly id: string; readonly reason: "idle" | "capacity" }
  | { readonly _tag: "Removed"; readonly id: string }
