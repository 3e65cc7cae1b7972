/**
 * The events of a manager's sessions. `LocalSessions` and `ChatManager` export all of this module.
 *
 * @since 0.1.0
 */

/**
 * An event of a session.
 *
 * - `Created`: a conversation was created in memory or read from the store.
 * - `Evicted`: it left memory because it was idle for the `timeout`, or because there were more than `capacity`.
 * - `Removed`: `removeChat` removed it.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionEvent =
  | { readonly _tag: "Created"; readonly id: string }
  | { readonly _tag: "Evicted"; readonly id: string; readonly reason: "idle" | "capacity" }
  | { readonly _tag: "Removed"; readonly id: string }
