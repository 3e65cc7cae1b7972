/**
 * The library's own ids of calls.
 */

/**
 * The id of a call by its place in its turn, so that it is the same in another process, and in a turn that is asked again
 * under its id.
 */
export const callIdOf = (turnId: string, step: number, index: number): string => `${turnId}_${step}_${index}`

/** The id of the turn that a call belongs to. */
export const turnIdOf = (callId: string): string => callId.replace(/_\d+_\d+$/, "")
