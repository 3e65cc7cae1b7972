/**
 * Answers to open calls.
 *
 * @since 0.1.0
 */
import type { ContentPart } from "../../ChatMessage.ts"

/**
 * The answer to an open call: an approval or a denial, or the result of the call.
 *
 * @since 0.1.0
 * @category models
 */
export type Answer =
  | { readonly callId: string; readonly approved: boolean; readonly reason?: string | undefined }
  | { readonly callId: string; readonly result: string | ReadonlyArray<ContentPart> }
