/**
 * The library's own ids of tool calls.
 */

/**
 * The id of a call. It depends only on the turn and the position of the call, so that another process, or another run of a
 * turn with the same id, gives the call the same id.
 */
export const callIdOf = (turnId: string, step: number, index: number): string => `${turnId}_${step}_${index}`

/** The id of the turn that a call belongs to. */
export const turnIdOf = (callId: string): string => callId.replace(/_\d+_\d+$/, "")
