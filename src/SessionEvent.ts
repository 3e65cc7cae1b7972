/**
 * What happens to the sessions of a manager.
 *
 * @since 0.1.0
 */

/**
 * What becomes of sessions.
 *
 * - `Created`: a conversation came into memory.
 * - `Evicted`: it left memory, because it was idle for the `timeout` or because of the `capacity`.
 * - `Removed`: `removeChat` ended it.
 *
 * @since 0.1.0
 * @category models
 */
export type SessionEvent =
  | { readonly _tag: "Created"; readonly id: string }
  | { readonly _tag: "Evicted"; readonly id: string; readonly reason: "idle" | "capacity" }
  | { readonly _tag: "Removed"; readonly id: string }
